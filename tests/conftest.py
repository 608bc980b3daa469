"""What all tests share."""

import pytest

pytest_plugins = ["tests.servers.fixtures"]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--long", action="store_true", help="the long form of tests/faults")


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """The event loop that Relay runs on."""
    return "asyncio"
