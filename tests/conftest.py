"""Fixtures for all tests."""

import functools
from collections.abc import Iterator

import httpx
import pytest
from hypothesis import HealthCheck, settings

# No deadline: a busy machine would fail it. Other tests check speed.
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
    """httpx loads all CA certificates for each client, which takes 30 ms; here it does so once."""
    target = "httpx._transports.default.create_ssl_context"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(target, functools.cache(httpx.create_ssl_context))
        yield
