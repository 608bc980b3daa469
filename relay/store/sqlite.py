"""The store in a SQLite file: the default, for one machine."""

import contextlib
import sqlite3
import time
import uuid
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any

from relay.store.base import (
    AT_A_TIME,
    Delivery,
    FactKey,
    FannedOut,
    LogEntry,
    NewDelivery,
    NewEvent,
    QueueHead,
    ShownMessage,
    StoredEvent,
    StoredValue,
    StoreMisfit,
    StoreUnavailable,
    ThreadPlace,
)
from relay.store.columns import DELIVERY, EVENT, EVENT_STATES
from relay.store.file import SqliteFile
from relay.store.inspect import StoreReading
from relay.store.reading import Reading
from relay.store.seen import Seen
from relay.store.sqlite_seen import SqliteSeen
from relay.store.statements import Statement
from relay.store.traces import note_events, note_tries

AT_ONCE = 4 * 1024 * 1024
"""Bytes of bodies after which no further event is read in one go."""
EXCERPT = 1000
"""Bytes of a body that the log shows."""
_SEND = (
    "INSERT INTO deliveries (event_id, queue, key, message, state, attempts, next_at, error,"
    " receipt, created_at, thread, comment)"
    " VALUES (?, ?, ?, ?, 'waiting', 0, 0, '', '', ?, ?, ?)"
)
_SETTLE = (
    "UPDATE deliveries SET state = ?, error = ?, receipt = ?, next_at = ?,"
    " attempts = attempts + 1 WHERE id = ?"
)
_JOIN = (
    "INSERT INTO threads (queue, thread, root, last, title) VALUES (?, ?, ?, ?, ?)"
    " ON CONFLICT DO UPDATE SET last = excluded.last"
)
_BUSY = """
    WITH RECURSIVE busy (queue) AS (
        SELECT min(queue) FROM deliveries WHERE state = 'waiting'
        UNION ALL
        SELECT (SELECT min(queue) FROM deliveries WHERE state = 'waiting' AND queue > busy.queue)
        FROM busy WHERE queue IS NOT NULL
    )
    SELECT busy.queue, first.id, first.next_at FROM busy JOIN deliveries AS first ON first.id =
        (SELECT min(id) FROM deliveries WHERE state = 'waiting' AND queue = busy.queue)
"""
"""One step in the index for each queue, past all that waits in it."""


class SqliteStore:
    """Events, deliveries and names in one file, for one service at a time."""

    shared = False

    def __init__(self, path: Path) -> None:
        """``path`` names the file; it and its folder are made where they are missing."""
        self._file = SqliteFile(path)
        self.reading: Reading = StoreReading(self._fetch, postgres=False)
        self.seen: Seen = SqliteSeen(self._file)

    async def open(self, *, service: bool = True) -> None:
        """See ``Store``; with ``service`` false beside a running service."""
        await self._file.open(service=service)

    async def close(self) -> None:
        """See ``Store``."""
        await self._file.close()

    async def _fetch(self, statements: Sequence[Statement]) -> list[list[Sequence[Any]]]:
        return await self._file.look(
            lambda db: [db.execute(sql.text, sql.values).fetchall() for sql in statements]
        )

    async def accept(self, event: NewEvent) -> None:
        """See ``Store``."""
        await self._file.accept(event)

    async def stored(self, limit: int) -> list[StoredEvent]:
        """See ``Store``."""
        sql = f"SELECT {EVENT} FROM events WHERE state = 'stored' ORDER BY id LIMIT ?"

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
            (item.event_id, new.queue, new.key, new.message, now, new.thread, new.comment)
            for item in batch
            for new in item.deliveries
        ]
        facts = [
            (item.team, kind, id_, fields, now)
            for item in batch
            for (kind, id_), fields in (item.facts or {}).items()
        ]

        def work(db: sqlite3.Connection) -> None:
            db.executemany("UPDATE events SET state = ?, reason = ? WHERE id = ?", states)
            db.executemany(_SEND, deliveries)
            note_events(db, batch)
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

    async def waiting(self, queue: str, limit: int) -> list[Delivery]:
        """See ``Store``."""
        sql = (
            f"SELECT {DELIVERY} FROM deliveries"
            " WHERE state = 'waiting' AND queue = ? ORDER BY id LIMIT ?"
        )
        rows = await self._file.read(lambda db: db.execute(sql, (queue, limit)).fetchall())
        return [Delivery(*row) for row in rows]

    async def busy_queues(self) -> dict[str, QueueHead]:
        """See ``Store``."""
        rows = await self._file.read(lambda db: db.execute(_BUSY).fetchall())
        return {queue: QueueHead(*head) for queue, *head in rows}

    async def waiting_queues(self) -> dict[str, int]:
        """See ``Store``."""
        sql = "SELECT queue, count(*) FROM deliveries WHERE state = 'waiting' GROUP BY queue"
        return dict(await self._file.read(lambda db: db.execute(sql).fetchall()))

    async def sent(
        self,
        delivery_ids: Sequence[int],
        receipt: str,
        *,
        queue: str = "",
        thread: str = "",
        title: str = "",
        seconds: float = 0.0,
    ) -> None:
        """See ``Store``."""

        def work(db: sqlite3.Connection) -> None:
            db.executemany(_SETTLE, [("sent", "", receipt, 0.0, id_) for id_ in delivery_ids])
            note_tries(db, delivery_ids, "sent", seconds, receipt)
            if thread:
                db.execute(_JOIN, (queue, thread, receipt, receipt, title))

        await self._file.write(work)

    async def bundle(self, delivery_ids: Sequence[int], digest: str) -> None:
        """See ``Store``."""
        sql = "UPDATE deliveries SET digest = ? WHERE id = ?"
        values = [(digest, id_) for id_ in delivery_ids]
        await self._file.write(lambda db: db.executemany(sql, values) and None)

    async def thread(self, queue: str, thread: str) -> ThreadPlace | None:
        """See ``Store``."""
        sql = "SELECT root, last, title FROM threads WHERE queue = ? AND thread = ? AND root <> ''"
        row = await self._file.read(lambda db: db.execute(sql, (queue, thread)).fetchone())
        return None if row is None else ThreadPlace(*row)

    async def shown(self, queue: str, thread: str) -> list[ShownMessage]:
        """See ``Store``."""
        sql = (
            "SELECT id, comment, state, CASE digest WHEN '' THEN receipt ELSE '' END"
            " FROM deliveries WHERE thread = ? AND thread <> '' AND queue = ? ORDER BY id"
        )
        rows = await self._file.read(lambda db: db.execute(sql, (thread, queue)).fetchall())
        return [ShownMessage(*row) for row in rows]

    async def forget_thread(self, queue: str, thread: str) -> None:
        """See ``Store``."""
        sql = "DELETE FROM threads WHERE queue = ? AND thread = ?"
        await self._file.write(lambda db: db.execute(sql, (queue, thread)) and None)

    async def failed(
        self, delivery_id: int, error: str, next_at: float, *, seconds: float = 0.0
    ) -> None:
        """See ``Store``."""
        await self._settle(delivery_id, "waiting", error, next_at, "failed", seconds)

    async def dead(self, delivery_id: int, error: str, *, seconds: float = 0.0) -> None:
        """See ``Store``."""
        await self._settle(delivery_id, "dead", error, 0.0, "dead", seconds)

    async def _settle(
        self,
        delivery_id: int,
        state: str,
        error: str,
        next_at: float,
        outcome: str,
        seconds: float,
    ) -> None:
        def work(db: sqlite3.Connection) -> None:
            db.execute(_SETTLE, (state, error, "", next_at, delivery_id))
            note_tries(db, [delivery_id], outcome, seconds, error)

        await self._file.write(work)

    async def resend(self, delivery_ids: Sequence[int]) -> list[int]:
        """See ``Store``."""

        def work(db: sqlite3.Connection) -> list[int]:
            # a new key: servers that know the old one would take it for a repetition
            sql = (
                "UPDATE deliveries SET state = 'waiting', key = ?, digest = '', attempts = 0,"
                " next_at = 0, created_at = ? WHERE id = ?"
            )
            now = time.time()
            return [
                id_
                for id_ in delivery_ids
                if db.execute(sql, (uuid.uuid4().hex, now, id_)).rowcount
            ]

        return await self._file.write(work)

    async def resend_dead(self) -> list[int]:
        """See ``Store``."""
        sql = (
            "SELECT queue, id FROM deliveries WHERE state = 'dead' AND (queue, id) > (?, ?)"
            " ORDER BY queue, id LIMIT ?"
        )
        found: list[int] = []
        last = "", 0  # never back: what dies again meanwhile is not put back twice

        def query(db: sqlite3.Connection) -> list[tuple[str, int]]:
            return db.execute(sql, (*last, AT_A_TIME)).fetchall()

        while rows := await self._file.read(query):
            last = rows[-1]
            found += await self.resend([id_ for _, id_ in rows])
        return sorted(found)

    async def log(self, *, team: str | None, state: str | None, limit: int) -> list[LogEntry]:
        """See ``Store``."""
        where, values = ["1"], list[Any]()
        if team is not None:
            where.append("team = ?")
            values.append(team)
        if state in EVENT_STATES:
            where.append("state = ?")
            values.append(state)
        elif state is not None:
            where.append(
                "EXISTS (SELECT 1 FROM deliveries WHERE event_id = events.id AND state = ?)"
            )
            values.append(state)
        columns = EVENT.replace("body", f"coalesce(substr(body, 1, {EXCERPT}), x'')")
        sql = f"SELECT {columns} FROM events WHERE {' AND '.join(where)} ORDER BY id DESC LIMIT ?"
        of_event = f"SELECT {DELIVERY} FROM deliveries WHERE event_id = ? ORDER BY id"

        def query(db: sqlite3.Connection) -> list[LogEntry]:
            events = [StoredEvent(*row) for row in db.execute(sql, (*values, limit))]
            return [
                LogEntry(event, [Delivery(*row) for row in db.execute(of_event, (event.id,))])
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
            db.executemany(
                "DELETE FROM attempts WHERE delivery_id IN"
                " (SELECT id FROM deliveries WHERE event_id = ?)",
                ids,
            )
            db.executemany("DELETE FROM deliveries WHERE event_id = ?", ids)
            db.executemany("DELETE FROM summaries WHERE event_id = ?", ids)
            db.executemany("DELETE FROM events WHERE id = ?", ids)
            return len(ids)

        return await self._file.write(work)

    async def announce(
        self, team: str, name: str, deliveries: Sequence[NewDelivery], about: str = ""
    ) -> None:
        """See ``Store``."""
        event = NewEvent(
            team, "", b"", uuid.uuid4().bytes, name, "fanned-out", received_at=time.time()
        )
        columns = ", ".join(event._fields)
        marks = ", ".join("?" for _ in event)

        def work(db: sqlite3.Connection) -> None:
            id_ = db.execute(f"INSERT INTO events ({columns}) VALUES ({marks})", event).lastrowid
            rows = [
                (id_, one.queue, one.key, one.message, event.received_at, one.thread, one.comment)
                for one in deliveries
            ]
            db.executemany(_SEND, rows)
            note_events(db, [FannedOut(id_ or 0, team, "fanned-out", about=about)])

        await self._file.write(work)

    async def note(self, key: str) -> StoredValue | None:
        """See ``Store``."""
        sql = "SELECT value, at FROM notes WHERE key = ?"
        row = await self._file.read(lambda db: db.execute(sql, (key,)).fetchone())
        return None if row is None else StoredValue(*row)

    async def keep_note(self, key: str, value: str) -> None:
        """See ``Store``."""
        sql = "INSERT OR REPLACE INTO notes (key, value, at) VALUES (?, ?, ?)"
        values = key, value, time.time()
        await self._file.write(lambda db: db.execute(sql, values) and None)

    async def lease(self, name: str) -> bool:
        """See ``Store``. The file's lock keeps every other service out, so all leases are ours."""
        return True

    def lease_is_sure(self, name: str) -> bool:
        """See ``Store``."""
        return True

    async def release(self, name: str) -> None:
        """See ``Store``."""

    def watch(
        self, on_events: Callable[[], None], on_queues: Callable[[Collection[str]], None]
    ) -> None:
        """See ``Store``. Nobody else stores events; `relay resend` puts deliveries back, which the
        queues look for."""

    async def backup(self, path: Path) -> None:
        """See ``Store``."""
        await self._file.read(lambda db: _copy(db, path))

    async def probe(self) -> None:
        """See ``Store``."""
        now = time.time()
        await self._file.write(lambda db: db.execute("UPDATE probe SET at = ?", (now,)) and None)
        (at,) = await self._file.read(lambda db: db.execute("SELECT at FROM probe").fetchone())
        if at < now:
            raise StoreUnavailable("what was written is not what is read")


def _copy(db: sqlite3.Connection, path: Path) -> None:
    try:
        path.touch(mode=0o600, exist_ok=False)
    except OSError as error:
        raise StoreMisfit(f"{path} can't be made: {error.strerror}") from error
    with contextlib.closing(sqlite3.connect(path)) as copy:
        db.backup(copy)
