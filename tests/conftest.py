"""Fixtures for all tests."""

import functools
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, settings

from relay.store.sqlite import SqliteStore

# No deadline: a busy machine would fail it. Other tests check speed.
settings.register_profile(
    "relay", deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("relay")

LONG_FOLDERS = ("faults", "scenarios", "deploy", "inspector")
"""Their tests come first, so that no process is left alone with them: see the Makefile."""

pytest_plugins = ["tests.servers.fixtures"]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--long", action="store_true", help="the long form of tests/faults")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    tests = Path(__file__).parent

    def rank(item: pytest.Item) -> int:
        folder = item.path.relative_to(tests).parts[0]
        return LONG_FOLDERS.index(folder) if folder in LONG_FOLDERS else len(LONG_FOLDERS)

    items.sort(key=rank)


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


@pytest.fixture
def environment_without_proxies(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    return monkeypatch


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    store = SqliteStore(tmp_path / "relay.db")
    await store.open()
    yield store
    await store.close()


@pytest.fixture
def quick_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    """Queues repeat a failed send at once, or after the time that the server asks for."""
    target = "relay.delivery.queue.retry_delay"
    monkeypatch.setattr(target, lambda attempts, asked=None: asked or 0.01)


@pytest.fixture
async def house(
    request: pytest.FixtureRequest, store: SqliteStore, quick_retries: None
) -> AsyncIterator[Any]:
    """The test module's ``House``: queues on a store."""
    house = request.module.House(store)
    yield house
    await house.queues.stop(1.0)
