"""``SyncThreads`` in SQLite."""

import json
import sqlite3
from collections.abc import Collection, Sequence
from itertools import chain

from relay.store.columns import EVENT_COLUMNS
from relay.store.records import NewEvent, StoredEvent
from relay.store.sqlite_file import SqliteFile
from relay.store.sqlite_writer import EVENT_VALUES_SQL, INSERT_EVENTS_SQL
from relay.store.sync_threads import MAX_RECENT_BODY_BYTES, SyncThread, ThreadFingerprint

_SAVE_THREAD_SQL = (
    "INSERT INTO sync_threads (team, thread, file, fingerprint, gone_at, state)"
    " VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET"
    " file = excluded.file, fingerprint = excluded.fingerprint, gone_at = excluded.gone_at,"
    " state = excluded.state"
)


class SqliteSyncThreads:
    def __init__(self, file: SqliteFile) -> None:
        self._file = file

    async def fingerprints(self, team: str, file: str = "") -> list[ThreadFingerprint]:
        sql = "SELECT thread, file, fingerprint, gone_at FROM sync_threads WHERE team = ?"
        values = (team, file) if file else (team,)
        sql += " AND file = ?" if file else ""
        rows = await self._file.read(lambda db: db.execute(sql, values).fetchall())
        return [ThreadFingerprint(*row) for row in rows]

    async def get(self, team: str, threads: Collection[str]) -> dict[str, SyncThread]:
        sql = (
            "SELECT thread, file, fingerprint, gone_at, state FROM sync_threads"
            " WHERE team = ? AND thread = ?"
        )

        def query(db: sqlite3.Connection) -> dict[str, SyncThread]:
            rows = (db.execute(sql, (team, thread)).fetchone() for thread in threads)
            return {row[0]: SyncThread(*row) for row in rows if row is not None}

        return await self._file.read(query)

    async def save(
        self, team: str, events: Sequence[NewEvent], threads: Sequence[SyncThread]
    ) -> int:
        insert = INSERT_EVENTS_SQL.format(EVENT_VALUES_SQL)

        def work(db: sqlite3.Connection) -> int:
            count = sum(db.execute(insert, event).rowcount for event in events)
            db.executemany(_SAVE_THREAD_SQL, [(team, *thread) for thread in threads])
            return count

        return await self._file.write(work)

    async def delete_gone(self, team: str, before: float) -> None:
        sql = "DELETE FROM sync_threads WHERE team = ? AND gone_at > 0 AND gone_at < ?"
        await self._file.write(lambda db: db.execute(sql, (team, before)) and None)

    async def delete_teams_except(self, key_prefix: str, teams: Collection[str] = ()) -> None:
        is_other = "NOT IN (SELECT value FROM json_each(?))"
        values_sql = (
            f"DELETE FROM key_values WHERE substr(key, 1, ?) = ? AND substr(key, ? + 1) {is_other}"
        )
        size, names = len(key_prefix), json.dumps(list(teams))

        def work(db: sqlite3.Connection) -> None:
            db.execute(f"DELETE FROM sync_threads WHERE team {is_other}", (names,))
            db.execute(values_sql, (size, key_prefix, size, names))

        await self._file.write(work)

    async def recent_events(
        self, names: Collection[str], since: float, limit: int
    ) -> list[StoredEvent]:
        marks = ", ".join("?" for _ in names)
        sql = (
            f"SELECT {EVENT_COLUMNS} FROM events WHERE received_at >= ? AND name IN ({marks})"
            f" AND length(body) <= {MAX_RECENT_BODY_BYTES} ORDER BY received_at DESC LIMIT ?"
        )
        values = list(chain([since], names, [limit]))
        rows = await self._file.read(lambda db: db.execute(sql, values).fetchall())
        return [StoredEvent(*row) for row in reversed(rows)]
