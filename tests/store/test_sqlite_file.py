"""Changes to the SQLite file by other processes."""

import contextlib
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from relay.store.records import NewEvent, StoreUnavailable
from relay.store.sqlite import SqliteStore
from relay.store.sqlite_file import WAL_SIZE_LIMIT

pytestmark = pytest.mark.anyio
MIB = 1024 * 1024


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    store = SqliteStore(tmp_path / "relay.db")
    await store.open()
    yield store
    await store.close()


def event(number: int) -> NewEvent:
    return NewEvent("acme", "", b"x" * 2 * MIB, bytes([number]), "x")


async def test_the_write_ahead_log_is_truncated_after_a_long_read(
    store: SqliteStore, tmp_path: Path
) -> None:
    wal = tmp_path / "relay.db-wal"
    with contextlib.closing(sqlite3.connect(tmp_path / "relay.db", isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM events").fetchone()
        for number in range(20):
            await store.accept(event(number))
        assert wal.stat().st_size > WAL_SIZE_LIMIT
    for number in range(20, 24):
        await store.accept(event(number))
    assert wal.stat().st_size <= WAL_SIZE_LIMIT


async def test_writes_to_a_removed_or_replaced_file_are_refused(
    store: SqliteStore, tmp_path: Path
) -> None:
    file, away = tmp_path / "relay.db", tmp_path / "away.db"
    await store.accept(event(1))
    file.rename(away)
    with pytest.raises(StoreUnavailable, match="was removed or replaced"):
        await store.accept(event(2))
    file.touch()
    with pytest.raises(StoreUnavailable, match="was removed or replaced"):
        await store.probe()
    away.replace(file)
    await store.accept(event(3))
    assert len(await store.stored_events(10)) == 2
