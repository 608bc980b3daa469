"""An empty, open store of either engine, and of PostgreSQL behind a pooler in transaction mode."""

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


@pytest.fixture(params=["sqlite", "postgresql", "pgbouncer"])
async def store(request: pytest.FixtureRequest, path: Path) -> AsyncIterator[Store]:
    if request.param == "sqlite":
        store = store_at(f"sqlite:///{path}")
    else:
        url = request.getfixturevalue("postgres").fresh()
        if request.param == "pgbouncer":
            url = request.getfixturevalue("transaction_pooler")(url)
        store = store_at(url)
    await store.open()
    for name in ("fan-out", "sync", "queue:a", "queue:b", "queue:queue", "queue:acme/ops"):
        assert await store.acquire_lease(name)
    yield store
    await store.close()
