"""The store in a SQLite file: the default, for one machine."""

import contextlib
import sqlite3
import time
import uuid
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any

from relay.store.attempts import sqlite_save_attempts, sqlite_save_summaries
from relay.store.columns import DELIVERY_COLUMNS, EVENT_COLUMNS, LOG_BODY_BYTES, MAX_BATCH_BYTES
from relay.store.event_search import Statement
from relay.store.queries import EventQueries
from relay.store.records import (
    EVENT_STATES,
    RESEND_BATCH_SIZE,
    Delivery,
    FactKey,
    FanOutResult,
    LogEntry,
    NewDelivery,
    NewEvent,
    QueueHead,
    ShownMessage,
    StoredEvent,
    StoredValue,
    StoreUnavailable,
    StoreUnusable,
    ThreadReceipts,
)
from relay.store.sql_queries import SqlEventQueries
from relay.store.sqlite_file import SqliteFile
from relay.store.sqlite_sync_threads import SqliteSyncThreads
from relay.store.sqlite_writer import EVENT_VALUES_SQL, INSERT_EVENTS_SQL
from relay.store.sync_threads import SyncThreads

_INSERT_DELIVERY_SQL = (
    "INSERT INTO deliveries (event_id, queue, key, message, state, attempts, next_at, error,"
    " receipt, created_at, digest, thread, comment)"
    " VALUES (?, ?, ?, ?, 'waiting', 0, 0, '', '', ?, '', ?, ?)"
)
_UPDATE_EVENT_SQL = "UPDATE events SET state = ?, reason = ? WHERE id = ?"
_SAVE_FACT_SQL = (
    "INSERT INTO facts (team, kind, id, fields, updated_at) VALUES (?, ?, ?, ?, ?)"
    " ON CONFLICT DO UPDATE SET fields = excluded.fields, updated_at = excluded.updated_at"
)
_END_ATTEMPT_SQL = (
    "UPDATE deliveries SET state = ?, error = ?, receipt = ?, next_at = ?,"
    " attempts = attempts + 1 WHERE id = ?"
)
_SAVE_THREAD_SQL = (
    "INSERT INTO threads (queue, thread, root, last, title) VALUES (?, ?, ?, ?, ?)"
    " ON CONFLICT DO UPDATE SET last = excluded.last"
)
_BUSY_QUEUES_SQL = """
    WITH RECURSIVE busy (queue) AS (
        SELECT min(queue) FROM deliveries WHERE state = 'waiting'
        UNION ALL
        SELECT (SELECT min(queue) FROM deliveries WHERE state = 'waiting' AND queue > busy.queue)
        FROM busy WHERE queue IS NOT NULL
    )
    SELECT busy.queue, first.id, first.next_at FROM busy JOIN deliveries AS first ON first.id =
        (SELECT min(id) FROM deliveries WHERE state = 'waiting' AND queue = busy.queue)
"""
"""One index lookup for each queue, which skips the queue's other deliveries."""


class SqliteStore:
    """A store for one service at a time."""

    shared = False

    def __init__(self, path: Path) -> None:
        self._file = SqliteFile(path)
        self.queries: EventQueries = SqlEventQueries(self._fetch, postgres=False)
        self.sync_threads: SyncThreads = SqliteSyncThreads(self._file)

    async def open(self, *, service: bool = True) -> None:
        await self._file.open(service=service)

    async def close(self) -> None:
        await self._file.close()

    async def _fetch(self, statements: Sequence[Statement]) -> list[list[Sequence[Any]]]:
        return await self._file.read_for_inspector(
            lambda db: [db.execute(sql.text, sql.values).fetchall() for sql in statements]
        )

    async def accept(self, event: NewEvent) -> None:
        await self._file.accept(event)

    async def stored_events(self, limit: int) -> list[StoredEvent]:
        sql = f"SELECT {EVENT_COLUMNS} FROM events WHERE state = 'stored' ORDER BY id LIMIT ?"

        def query(db: sqlite3.Connection) -> list[StoredEvent]:
            events: list[StoredEvent] = []
            size = 0
            for row in db.execute(sql, (limit,)):
                events.append(StoredEvent(*row))
                size += len(events[-1].body)
                if size > MAX_BATCH_BYTES:
                    break
            return events

        return await self._file.read(query)

    async def save_fan_out(self, batch: Sequence[FanOutResult]) -> None:
        now = time.time()
        states = [(result.state, result.reason, result.event_id) for result in batch]
        deliveries = [
            (result.event_id, new.queue, new.key, new.message, now, new.thread, new.comment)
            for result in batch
            for new in result.deliveries
        ]
        facts = [
            (result.team, kind, id_, fields, now)
            for result in batch
            for (kind, id_), fields in (result.facts or {}).items()
        ]

        def work(db: sqlite3.Connection) -> None:
            db.executemany(_UPDATE_EVENT_SQL, states)
            db.executemany(_INSERT_DELIVERY_SQL, deliveries)
            sqlite_save_summaries(db, batch)
            db.executemany(_SAVE_FACT_SQL, facts)

        await self._file.write(work)

    async def facts(self, team: str, keys: Collection[FactKey]) -> dict[FactKey, str]:
        sql = "SELECT fields FROM facts WHERE team = ? AND kind = ? AND id = ?"

        def query(db: sqlite3.Connection) -> dict[FactKey, str]:
            rows = {key: db.execute(sql, (team, *key)).fetchone() for key in keys}
            return {key: row[0] for key, row in rows.items() if row is not None}

        return await self._file.read(query)

    async def waiting_deliveries(self, queue: str, limit: int) -> list[Delivery]:
        sql = (
            f"SELECT {DELIVERY_COLUMNS} FROM deliveries"
            " WHERE state = 'waiting' AND queue = ? ORDER BY id LIMIT ?"
        )
        rows = await self._file.read(lambda db: db.execute(sql, (queue, limit)).fetchall())
        return [Delivery(*row) for row in rows]

    async def busy_queues(self) -> dict[str, QueueHead]:
        rows = await self._file.read(lambda db: db.execute(_BUSY_QUEUES_SQL).fetchall())
        return {queue: QueueHead(*head) for queue, *head in rows}

    async def waiting_queues(self) -> dict[str, int]:
        sql = "SELECT queue, count(*) FROM deliveries WHERE state = 'waiting' GROUP BY queue"
        return dict(await self._file.read(lambda db: db.execute(sql).fetchall()))

    async def mark_sent(
        self,
        delivery_ids: Sequence[int],
        receipt: str,
        *,
        queue: str = "",
        thread: str = "",
        title: str = "",
        seconds: float = 0.0,
    ) -> None:
        values = [("sent", "", receipt, 0.0, id_) for id_ in delivery_ids]

        def work(db: sqlite3.Connection) -> None:
            db.executemany(_END_ATTEMPT_SQL, values)
            sqlite_save_attempts(db, delivery_ids, "sent", seconds, receipt)
            if thread:
                db.execute(_SAVE_THREAD_SQL, (queue, thread, receipt, receipt, title))

        await self._file.write(work)

    async def set_digest(self, delivery_ids: Sequence[int], digest: str) -> None:
        sql = "UPDATE deliveries SET digest = ? WHERE id = ?"
        values = [(digest, id_) for id_ in delivery_ids]
        await self._file.write(lambda db: db.executemany(sql, values) and None)

    async def get_thread(self, queue: str, thread: str) -> ThreadReceipts | None:
        sql = "SELECT root, last, title FROM threads WHERE thread = ? AND queue = ?"
        row = await self._file.read(lambda db: db.execute(sql, (thread, queue)).fetchone())
        return None if row is None else ThreadReceipts(*row)

    async def shown_messages(self, queue: str, thread: str) -> list[ShownMessage]:
        sql = (
            "SELECT id, comment, state, CASE digest WHEN '' THEN receipt ELSE '' END"
            " FROM deliveries WHERE thread = ? AND thread <> '' AND queue = ? ORDER BY id"
        )
        rows = await self._file.read(lambda db: db.execute(sql, (thread, queue)).fetchall())
        return [ShownMessage(*row) for row in rows]

    async def delete_thread(self, queue: str, thread: str) -> None:
        sql = "DELETE FROM threads WHERE thread = ? AND queue = ?"
        await self._file.write(lambda db: db.execute(sql, (thread, queue)) and None)

    async def mark_failed(
        self, delivery_id: int, error: str, next_at: float, *, seconds: float = 0.0
    ) -> None:
        await self._end_attempt(delivery_id, "waiting", error, next_at, "failed", seconds)

    async def mark_dead(self, delivery_id: int, error: str, *, seconds: float = 0.0) -> None:
        await self._end_attempt(delivery_id, "dead", error, 0.0, "dead", seconds)

    async def _end_attempt(
        self,
        delivery_id: int,
        state: str,
        error: str,
        next_at: float,
        outcome: str,
        seconds: float,
    ) -> None:
        def work(db: sqlite3.Connection) -> None:
            db.execute(_END_ATTEMPT_SQL, (state, error, "", next_at, delivery_id))
            sqlite_save_attempts(db, [delivery_id], outcome, seconds, error)

        await self._file.write(work)

    async def resend(self, delivery_ids: Sequence[int]) -> list[int]:
        # under a new key: a server that knows the old one would drop the message as a duplicate
        sql = (
            "UPDATE deliveries SET state = 'waiting', key = ?, digest = '', attempts = 0,"
            " next_at = 0, created_at = ? WHERE id = ?"
        )
        now = time.time()

        def work(db: sqlite3.Connection) -> list[int]:
            return [
                id_
                for id_ in delivery_ids
                if db.execute(sql, (uuid.uuid4().hex, now, id_)).rowcount
            ]

        return await self._file.write(work)

    async def resend_dead(self) -> list[int]:
        sql = (
            "SELECT queue, id FROM deliveries WHERE state = 'dead' AND (queue, id) > (?, ?)"
            " ORDER BY queue, id LIMIT ?"
        )
        ids: list[int] = []
        last = "", 0  # ascending, so that no delivery that dies again meanwhile is re-queued twice

        def query(db: sqlite3.Connection) -> list[tuple[str, int]]:
            return db.execute(sql, (*last, RESEND_BATCH_SIZE)).fetchall()

        while rows := await self._file.read(query):
            last = rows[-1]
            ids += await self.resend([id_ for _, id_ in rows])
        return sorted(ids)

    async def log(self, *, team: str | None, state: str | None, limit: int) -> list[LogEntry]:
        where, values = ["true"], list[Any]()
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
        columns = EVENT_COLUMNS.replace("body", f"coalesce(substr(body, 1, {LOG_BODY_BYTES}), x'')")
        sql = f"SELECT {columns} FROM events WHERE {' AND '.join(where)} ORDER BY id DESC LIMIT ?"
        of_event = f"SELECT {DELIVERY_COLUMNS} FROM deliveries WHERE event_id = ? ORDER BY id"

        def query(db: sqlite3.Connection) -> list[LogEntry]:
            events = [StoredEvent(*row) for row in db.execute(sql, (*values, limit))]
            return [
                LogEntry(event, [Delivery(*row) for row in db.execute(of_event, (event.id,))])
                for event in events
            ]

        return await self._file.read(query)

    async def prune(self, before: float, limit: int) -> int:
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
        now = time.time()
        event = NewEvent(team, "", b"", uuid.uuid4().bytes, name, "fanned-out", received_at=now)

        def work(db: sqlite3.Connection) -> None:
            id_ = db.execute(INSERT_EVENTS_SQL.format(EVENT_VALUES_SQL), event).lastrowid or 0
            rows = [
                (id_, new.queue, new.key, new.message, now, new.thread, new.comment)
                for new in deliveries
            ]
            db.executemany(_INSERT_DELIVERY_SQL, rows)
            sqlite_save_summaries(db, [FanOutResult(id_, team, "fanned-out", about=about)])

        await self._file.write(work)

    async def get_value(self, key: str) -> StoredValue | None:
        sql = "SELECT value, at FROM key_values WHERE key = ?"
        row = await self._file.read(lambda db: db.execute(sql, (key,)).fetchone())
        return None if row is None else StoredValue(*row)

    async def put_value(self, key: str, value: str) -> None:
        sql = "INSERT OR REPLACE INTO key_values (key, value, at) VALUES (?, ?, ?)"
        values = key, value, time.time()
        await self._file.write(lambda db: db.execute(sql, values) and None)

    async def acquire_lease(self, name: str) -> bool:
        return True  # the file's lock excludes every other service

    def holds_lease(self, name: str) -> bool:
        return True

    async def release_lease(self, name: str) -> None:
        pass

    def listen(
        self, on_events: Callable[[], None], on_queues: Callable[[Collection[str]], None]
    ) -> None:
        """No other process stores events; queues poll for what `relay resend` re-queued."""

    async def backup(self, path: Path) -> None:
        await self._file.read(lambda db: _copy(db, path))

    async def probe(self) -> None:
        now = time.time()
        await self._file.write(lambda db: db.execute("UPDATE probe SET at = ?", (now,)) and None)
        (at,) = await self._file.read(lambda db: db.execute("SELECT at FROM probe").fetchone())
        if at < now:
            raise StoreUnavailable("the file does not contain what was written to it")


def _copy(db: sqlite3.Connection, path: Path) -> None:
    try:
        path.touch(mode=0o600, exist_ok=False)
    except OSError as error:
        raise StoreUnusable(f"{path} can't be created: {error.strerror}") from error
    with contextlib.closing(sqlite3.connect(path)) as copy:
        db.backup(copy)
