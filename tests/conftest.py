"""What all tests share."""

import functools
from collections.abc import Iterator

import httpx
import pytest
from hypothesis import HealthCheck, settings

# A busy machine takes as long for an example as it will; what must be fast has tests of its own.
settings.register_profile("relay", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("relay")

pytest_plugins = ["tests.servers.fixtures"]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--long", action="store_true", help="the long form of tests/faults")


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """The event loop that Relay runs on."""
    return "asyncio"


@pytest.fixture(scope="session", autouse=True)
def _authorities() -> Iterator[None]:
    """httpx reads all of the world's certificates for each client, also for one that talks to
    loopback in plain text, in 30 ms. Here it does so once."""
    place = "httpx._transports.default.create_ssl_context"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(place, functools.cache(httpx.create_ssl_context))
        yield
