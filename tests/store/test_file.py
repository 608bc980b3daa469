"""The SQLite file itself: what happens to it from outside."""

import contextlib
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from relay.store.base import NewEvent, StoreUnavailable
from relay.store.file import WAL_SIZE
from relay.store.sqlite import SqliteStore

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


async def test_what_a_long_reader_made_grow_is_small_again_after_it(
    store: SqliteStore, tmp_path: Path
) -> None:
    wal = tmp_path / "relay.db-wal"
    with contextlib.closing(sqlite3.connect(tmp_path / "relay.db", isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM events").fetchone()
        for number in range(20):
            await store.accept(event(number))
        assert wal.stat().st_size > WAL_SIZE
    for number in range(20, 24):
        await store.accept(event(number))
    assert wal.stat().st_size <= WAL_SIZE


async def test_nothing_is_taken_into_a_file_that_was_removed_or_replaced(
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
    assert len(await store.stored(10)) == 2
