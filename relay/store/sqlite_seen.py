"""What the watch keeps, in the SQLite file."""

import json
import sqlite3
from collections.abc import Collection, Sequence
from itertools import chain

from relay.store.base import NewEvent, StoredEvent
from relay.store.columns import EVENT
from relay.store.file import SqliteFile
from relay.store.seen import LARGEST, Fingerprint, SeenThread
from relay.store.writer import ACCEPT, ROW

_SEE = (
    "INSERT INTO seen (team, thread, file, mark, gone_at, state) VALUES (?, ?, ?, ?, ?, ?)"
    " ON CONFLICT DO UPDATE SET file = excluded.file, mark = excluded.mark,"
    " gone_at = excluded.gone_at, state = excluded.state"
)


class SqliteSeen:
    """See ``Seen``."""

    def __init__(self, file: SqliteFile) -> None:
        self._file = file

    async def marks(self, team: str, file: str = "") -> list[Fingerprint]:
        """See ``Seen``."""
        sql = "SELECT thread, file, mark, gone_at FROM seen WHERE team = ?"
        values = (team, file) if file else (team,)
        sql += " AND file = ?" if file else ""
        rows = await self._file.read(lambda db: db.execute(sql, values).fetchall())
        return [Fingerprint(*row) for row in rows]

    async def threads(self, team: str, threads: Collection[str]) -> dict[str, SeenThread]:
        """See ``Seen``."""
        sql = "SELECT thread, file, mark, gone_at, state FROM seen WHERE team = ? AND thread = ?"

        def query(db: sqlite3.Connection) -> dict[str, SeenThread]:
            found = (db.execute(sql, (team, thread)).fetchone() for thread in threads)
            return {row[0]: SeenThread(*row) for row in found if row is not None}

        return await self._file.read(query)

    async def notice(
        self, team: str, events: Sequence[NewEvent], threads: Sequence[SeenThread]
    ) -> int:
        """See ``Seen``."""

        accept = ACCEPT.format(ROW)

        def work(db: sqlite3.Connection) -> int:
            new = sum(db.execute(accept, event).rowcount for event in events)
            db.executemany(_SEE, [(team, *thread) for thread in threads])
            return new

        return await self._file.write(work)

    async def forget(self, team: str, before: float) -> None:
        """See ``Seen``."""
        sql = "DELETE FROM seen WHERE team = ? AND gone_at > 0 AND gone_at < ?"
        await self._file.write(lambda db: db.execute(sql, (team, before)) and None)

    async def end(self, notes: str, but: Collection[str] = ()) -> None:
        """See ``Seen``."""
        others = "NOT IN (SELECT value FROM json_each(?))"
        begins = "DELETE FROM notes WHERE substr(key, 1, ?) = ?"
        size, teams = len(notes), json.dumps(list(but))

        def work(db: sqlite3.Connection) -> None:
            db.execute(f"DELETE FROM seen WHERE team {others}", (teams,))
            db.execute(f"{begins} AND substr(key, ? + 1) {others}", (size, notes, size, teams))

        await self._file.write(work)

    async def recent(self, names: Collection[str], since: float, limit: int) -> list[StoredEvent]:
        """See ``Seen``."""
        marks = ", ".join("?" for _ in names)
        sql = (
            f"SELECT {EVENT} FROM events"
            f" WHERE received_at >= ? AND name IN ({marks}) AND length(body) <= {LARGEST}"
            " ORDER BY received_at DESC LIMIT ?"
        )
        values = list(chain([since], names, [limit]))
        rows = await self._file.read(lambda db: db.execute(sql, values).fetchall())
        return [StoredEvent(*row) for row in reversed(rows)]
