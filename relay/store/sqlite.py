"""The store in a SQLite file: the default, for one machine."""

import sqlite3
import time
import uuid
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from relay.store.base import (
    Delivery,
    Entry,
    FactKey,
    FannedOut,
    NewEvent,
    StoredEvent,
    StoreUnavailable,
    ThreadPlace,
)
from relay.store.file import SqliteFile

AT_ONCE = 4 * 1024 * 1024
"""Bytes of bodies after which no further event is read in one go."""
EXCERPT = 1000
"""Bytes of a body that the log shows."""
_EVENT = "id, team, content_type, body, name, state, reason, received_at"
_DELIVERY = "id, event_id, lane, key, message, state, attempts, next_at, error, receipt, created_at"
_SETTLE = (
    "UPDATE deliveries SET state = ?, error = ?, receipt = ?, next_at = ?,"
    " attempts = attempts + 1 WHERE id = ?"
)
_JOIN = (
    "INSERT INTO threads (lane, thread, root, last, title) VALUES (?, ?, ?, ?, ?)"
    " ON CONFLICT DO UPDATE SET last = excluded.last,"
    " title = iif(root = '', excluded.title, title), root = iif(root = '', excluded.root, root)"
)
_EVENT_STATES = ("stored", "fanned-out", "ignored", "unreadable")


class SqliteStore:
    """Events, deliveries and names in one file."""

    def __init__(self, path: Path) -> None:
        """``path`` names the file; it and its folder are made where they are missing."""
        self._file = SqliteFile(path)

    async def open(self, *, service: bool = True) -> None:
        """See ``Store``; with ``service`` false beside a running service."""
        await self._file.open(service=service)

    async def close(self) -> None:
        """See ``Store``."""
        await self._file.close()

    async def accept(self, event: NewEvent) -> None:
        """See ``Store``."""
        await self._file.accept(event)

    async def stored(self, limit: int) -> list[StoredEvent]:
        """See ``Store``."""
        sql = f"SELECT {_EVENT} FROM events WHERE state = 'stored' ORDER BY id LIMIT ?"

        def query(db: sqlite3.Connection) -> list[StoredEvent]:
            found: list[StoredEvent] = []
            size = 0
            for row in db.execute(sql, (limit,)):
                found.append(StoredEvent(*row))
                size += len(found[-1].body)
                if size > AT_ONCE:
                    break
            return found

        return await self._file.read(query)

    async def fanned_out(self, batch: Sequence[FannedOut]) -> None:
        """See ``Store``."""
        now = time.time()
        states = [(item.state, item.reason, item.event_id) for item in batch]
        deliveries = [
            (item.event_id, new.lane, new.key, new.message, now)
            for item in batch
            for new in item.deliveries
        ]
        threads = [
            (new.lane, new.thread) for item in batch for new in item.deliveries if new.thread
        ]
        facts = [
            (item.team, kind, id_, fields, now)
            for item in batch
            for (kind, id_), fields in (item.facts or {}).items()
        ]

        def work(db: sqlite3.Connection) -> None:
            db.executemany("UPDATE events SET state = ?, reason = ? WHERE id = ?", states)
            db.executemany(
                "INSERT INTO deliveries (event_id, lane, key, message, state, attempts, next_at,"
                " error, receipt, created_at) VALUES (?, ?, ?, ?, 'waiting', 0, 0, '', '', ?)",
                deliveries,
            )
            db.executemany(
                "INSERT INTO threads (lane, thread, root, last, title) VALUES (?, ?, '', '', '')"
                " ON CONFLICT DO NOTHING",
                threads,
            )
            db.executemany(
                "INSERT INTO facts (team, kind, id, fields, learned_at) VALUES (?, ?, ?, ?, ?)"
                " ON CONFLICT DO UPDATE SET fields = excluded.fields,"
                " learned_at = excluded.learned_at",
                facts,
            )

        await self._file.write(work)

    async def facts(self, team: str, keys: Collection[FactKey]) -> dict[FactKey, str]:
        """See ``Store``."""
        sql = "SELECT fields FROM facts WHERE team = ? AND kind = ? AND id = ?"

        def query(db: sqlite3.Connection) -> dict[FactKey, str]:
            found = {key: db.execute(sql, (team, *key)).fetchone() for key in keys}
            return {key: row[0] for key, row in found.items() if row is not None}

        return await self._file.read(query)

    async def waiting(self, lane: str, limit: int) -> list[Delivery]:
        """See ``Store``."""
        sql = (
            f"SELECT {_DELIVERY} FROM deliveries"
            " WHERE state = 'waiting' AND lane = ? ORDER BY id LIMIT ?"
        )
        rows = await self._file.read(lambda db: db.execute(sql, (lane, limit)).fetchall())
        return [Delivery(*row) for row in rows]

    async def waiting_lanes(self) -> dict[str, int]:
        """See ``Store``."""
        sql = "SELECT lane, count(*) FROM deliveries WHERE state = 'waiting' GROUP BY lane"
        return dict(await self._file.read(lambda db: db.execute(sql).fetchall()))

    async def sent(
        self, delivery_id: int, receipt: str, *, lane: str = "", thread: str = "", title: str = ""
    ) -> None:
        """See ``Store``."""

        def work(db: sqlite3.Connection) -> None:
            db.execute(_SETTLE, ("sent", "", receipt, 0.0, delivery_id))
            if thread:
                db.execute(_JOIN, (lane, thread, receipt, receipt, title))

        await self._file.write(work)

    async def thread(self, lane: str, thread: str) -> ThreadPlace | None:
        """See ``Store``."""
        sql = "SELECT root, last, title FROM threads WHERE lane = ? AND thread = ? AND root <> ''"
        row = await self._file.read(lambda db: db.execute(sql, (lane, thread)).fetchone())
        return None if row is None else ThreadPlace(*row)

    async def threads(self, thread: str) -> set[str]:
        """See ``Store``."""
        sql = "SELECT lane FROM threads WHERE thread = ?"
        rows = await self._file.read(lambda db: db.execute(sql, (thread,)).fetchall())
        return {lane for (lane,) in rows}

    async def forget_thread(self, lane: str, thread: str) -> None:
        """See ``Store``."""
        sql = "DELETE FROM threads WHERE lane = ? AND thread = ?"
        await self._file.write(lambda db: db.execute(sql, (lane, thread)) and None)

    async def failed(self, delivery_id: int, error: str, next_at: float) -> None:
        """See ``Store``."""
        await self._settle(delivery_id, "waiting", error=error, next_at=next_at)

    async def dead(self, delivery_id: int, error: str) -> None:
        """See ``Store``."""
        await self._settle(delivery_id, "dead", error=error)

    async def _settle(
        self,
        delivery_id: int,
        state: str,
        *,
        error: str = "",
        next_at: float = 0.0,
    ) -> None:
        values = (state, error, "", next_at, delivery_id)
        await self._file.write(lambda db: db.execute(_SETTLE, values) and None)

    async def resend(self, delivery_ids: Sequence[int]) -> list[int]:
        """See ``Store``."""

        def work(db: sqlite3.Connection) -> list[int]:
            # a new key: servers that know the old one would take it for a repetition
            sql = (
                "UPDATE deliveries SET state = 'waiting', key = ?, attempts = 0, next_at = 0,"
                " created_at = ? WHERE id = ?"
            )
            now = time.time()
            return [
                id_
                for id_ in delivery_ids
                if db.execute(sql, (uuid.uuid4().hex, now, id_)).rowcount
            ]

        return await self._file.write(work)

    async def resend_dead(self, lane: str | None = None) -> list[int]:
        """See ``Store``."""
        sql = "SELECT id FROM deliveries WHERE state = 'dead' AND (? IS NULL OR lane = ?)"
        rows = await self._file.read(lambda db: db.execute(sql, (lane, lane)).fetchall())
        return await self.resend([id_ for (id_,) in rows])

    async def log(self, *, team: str | None, state: str | None, limit: int) -> list[Entry]:
        """See ``Store``."""
        where, values = ["1"], list[Any]()
        if team is not None:
            where.append("team = ?")
            values.append(team)
        if state in _EVENT_STATES:
            where.append("state = ?")
            values.append(state)
        elif state is not None:
            where.append(
                "EXISTS (SELECT 1 FROM deliveries WHERE event_id = events.id AND state = ?)"
            )
            values.append(state)
        columns = _EVENT.replace("body", f"coalesce(substr(body, 1, {EXCERPT}), x'')")
        sql = f"SELECT {columns} FROM events WHERE {' AND '.join(where)} ORDER BY id DESC LIMIT ?"
        of_event = f"SELECT {_DELIVERY} FROM deliveries WHERE event_id = ? ORDER BY id"

        def query(db: sqlite3.Connection) -> list[Entry]:
            events = [StoredEvent(*row) for row in db.execute(sql, (*values, limit))]
            return [
                Entry(event, [Delivery(*row) for row in db.execute(of_event, (event.id,))])
                for event in events
            ]

        return await self._file.read(query)

    async def prune(self, before: float, limit: int) -> int:
        """See ``Store``."""

        def work(db: sqlite3.Connection) -> int:
            ids = db.execute(
                "SELECT id FROM events WHERE received_at < ? AND state <> 'stored' AND NOT EXISTS"
                " (SELECT 1 FROM deliveries WHERE event_id = events.id AND state = 'waiting'"
                " AND created_at >= ?) ORDER BY received_at LIMIT ?",
                (before, before, limit),
            ).fetchall()
            db.executemany("DELETE FROM deliveries WHERE event_id = ?", ids)
            db.executemany("DELETE FROM events WHERE id = ?", ids)
            return len(ids)

        return await self._file.write(work)

    async def probe(self) -> None:
        """See ``Store``."""
        now = time.time()
        await self._file.write(lambda db: db.execute("UPDATE probe SET at = ?", (now,)) and None)
        (at,) = await self._file.read(lambda db: db.execute("SELECT at FROM probe").fetchone())
        if at < now:
            raise StoreUnavailable("what was written is not what is read")
