"""An empty, open store of either engine."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from relay.store import store_at
from relay.store.base import Store
from tests.servers.postgres import Postgres


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("relay.store.sqlite.LOCK_TIMEOUT", 0.2)
    return tmp_path / "folder" / "relay.db"


@pytest.fixture
def url(postgres: Postgres) -> str:
    """Of an empty database."""
    return postgres.fresh()


@pytest.fixture(params=["sqlite", "postgresql"])
async def store(request: pytest.FixtureRequest, path: Path) -> AsyncIterator[Store]:
    if request.param == "sqlite":
        store = store_at(f"sqlite:///{path}")
    else:
        store = store_at(request.getfixturevalue("postgres").fresh())
    await store.open()
    for name in ("fan-out", "sync", "queue:a", "queue:b", "queue:queue", "queue:acme/ops"):
        assert await store.acquire_lease(name)
    yield store
    await store.close()
