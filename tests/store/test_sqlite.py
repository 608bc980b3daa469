"""SQLite: changes to the file by other processes, and the dialect."""

import contextlib
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from relay.store.records import NewEvent, StoreUnavailable, StoreUnusable
from relay.store.sqlite import WAL_SIZE_LIMIT, SqliteStore, translated
from relay.store.sync_threads import SyncThread

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


async def test_a_probe_writes_more_than_an_event(store: SqliteStore, tmp_path: Path) -> None:
    """Otherwise a full disk, on which no event has room, looks writable."""

    def written() -> int:
        return (tmp_path / "relay.db-wal").stat().st_size

    for number in range(20):
        before = written()
        await store.accept(
            event(number)._replace(body=b"x" * 4000, digest=bytes([9 * number] * 24))
        )
        between = written()
        await store.probe()
        assert written() - between > between - before > 0


async def test_the_file_shrinks_after_pruning(store: SqliteStore, tmp_path: Path) -> None:
    file = tmp_path / "relay.db"
    for number in range(20):
        await store.accept(event(number)._replace(state="unreadable", received_at=float(number)))
    large = file.stat().st_size
    assert large > 30 * MIB
    assert not await store.shrink()

    assert await store.prune(15.0, 99) == 15
    steps = 1
    while await store.shrink():
        steps += 1
    assert steps > 10  # each one is short, so that intake does not wait
    await store.backup(tmp_path / "copy.db")
    await store.close()
    assert 10 * MIB < file.stat().st_size < 13 * MIB  # a tenth may be free
    for path in (file, tmp_path / "copy.db"):
        with contextlib.closing(sqlite3.connect(path)) as connection:
            assert connection.execute("PRAGMA auto_vacuum").fetchone() == (2,)  # incremental
            assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    await store.open()
    entries = await store.log(team="acme", state=None, limit=99)
    assert [entry.event.id for entry in entries] == [20, 19, 18, 17, 16]


async def test_a_file_that_can_not_shrink_ends_the_attempts(tmp_path: Path) -> None:
    """It was made without ``auto_vacuum``."""
    path = tmp_path / "old.db"
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("CREATE TABLE x (y); ")
        connection.execute("DROP TABLE x")
    store = SqliteStore(path)
    await store.open()
    for number in range(5):
        await store.accept(event(number)._replace(state="ignored"))
    assert await store.prune(1.0, 99) == 5
    assert not await store.shrink()
    await store.close()


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


async def test_the_file_may_be_a_symbolic_link(store: SqliteStore, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    link = tmp_path / "folder/link.db"
    link.symlink_to(tmp_path / "relay.db")
    linked = SqliteStore(link)
    await linked.open()
    await linked.probe()
    (tmp_path / "relay.db-wal").unlink()
    with pytest.raises(StoreUnavailable, match=r"relay\.db-wal was removed or replaced"):
        await linked.probe()
    await linked.close()


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        (
            "SELECT a FROM relay.b WHERE c = $2 AND d = $1",
            "SELECT a FROM b WHERE c = ?2 AND d = ?1",
        ),
        (
            "UPDATE relay.b SET a = $2 WHERE id = ANY($1::int8[])",
            "UPDATE b SET a = ?1 WHERE id = ?2",
        ),
        (
            "UPDATE relay.b SET a = new.c FROM unnest($1::int8[], $2::text[]) AS new (id, c)"
            " WHERE b.id = new.id",
            "UPDATE b SET a = ?2 WHERE b.id = ?1",
        ),
        (
            "INSERT INTO relay.b (x, y) SELECT new.x, $2::text FROM unnest($1::int8[]) AS new (x)"
            " WHERE true ON CONFLICT (x) DO NOTHING",
            "INSERT INTO b (x, y) VALUES (?2, ?1) ON CONFLICT (x) DO NOTHING",
        ),
        (
            "INSERT INTO relay.b (x) SELECT y FROM relay.c, unnest($1::int8[]) AS new (x)"
            " WHERE id = new.x",
            "INSERT INTO b (x) SELECT y FROM c WHERE id = ?1",
        ),
        ("SELECT 1 WHERE strpos(a, $1) > 0", "SELECT 1 WHERE instr(a, ?1) > 0"),
    ],
)
def test_statements_are_translated_for_one_row(sql: str, expected: str) -> None:
    assert translated(sql) == expected


def test_an_insert_of_rows_is_translated_for_several() -> None:
    sql = (
        "INSERT INTO relay.b (x, y, z) SELECT new.x, $3, new.z"
        " FROM unnest($1::int8[], $2::text[]) AS new (x, z)"
    )
    assert translated(sql, 2) == "INSERT INTO b (x, y, z) VALUES (?2, ?1, ?3), (?4, ?1, ?5)"


async def test_more_rows_than_fit_into_one_statement_are_inserted(store: SqliteStore) -> None:
    threads = [SyncThread(f"t{number}", "f", "a", 0.0, "") for number in range(300)]
    await store.sync_threads.save("acme", [], threads)
    assert len(await store.sync_threads.fingerprints("acme")) == 300


async def test_a_damaged_file_is_refused_with_the_remedy(tmp_path: Path) -> None:
    path = tmp_path / "relay.db"
    store = SqliteStore(path)
    await store.open()
    await store.close()
    content = bytearray(path.read_bytes())
    content[4096:] = b"\xff" * (len(content) - 4096)
    path.write_bytes(content)
    with pytest.raises(StoreUnusable, match="malformed: move it away, and restore a backup"):
        await SqliteStore(path).open()
