"""What all tests share."""

import pytest

pytest_plugins = ["tests.servers.fixtures"]


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """The event loop that Relay runs on."""
    return "asyncio"
