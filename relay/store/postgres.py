"""The store in a PostgreSQL database: for several replicas."""

import time
import uuid
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from relay.store.attempts import postgres_save_attempts, postgres_save_summaries
from relay.store.columns import (
    DELIVERY_COLUMNS,
    EVENT_COLUMNS,
    LOG_BODY_BYTES,
    MAX_BATCH_BYTES,
    without_nul,
)
from relay.store.event_search import Statement
from relay.store.postgres_intake import PostgresIntake
from relay.store.postgres_leases import PostgresLeases
from relay.store.postgres_notifications import NotificationListener, notify_queues
from relay.store.postgres_pool import PostgresPool
from relay.store.postgres_sync_threads import PostgresSyncThreads
from relay.store.queries import EventQueries
from relay.store.records import (
    EVENT_STATES,
    FAN_OUT_LEASE,
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
    queue_lease,
)
from relay.store.sql_queries import SqlEventQueries
from relay.store.sync_threads import SyncThreads

_INTAKE_CONNECTIONS_COUNT = 2
_INSERT_DELIVERIES_SQL = (
    "INSERT INTO relay.deliveries (event_id, queue, key, message, state, attempts, next_at, error,"
    " receipt, created_at, digest, thread, comment)"
    " SELECT event, queue, key, message, 'waiting', 0, 0, '', '', $7, '', thread, comment"
    " FROM unnest($1::int8[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[])"
    " AS new (event, queue, key, message, thread, comment)"
)
_UPDATE_EVENTS_SQL = (
    "UPDATE relay.events SET state = new.state, reason = new.reason"
    " FROM unnest($1::int8[], $2::text[], $3::text[]) AS new (id, state, reason)"
    " WHERE events.id = new.id"
)
_SAVE_FACTS_SQL = (
    "INSERT INTO relay.facts (team, kind, id, fields, updated_at)"
    " SELECT team, kind, id, fields, $5"
    " FROM unnest($1::text[], $2::text[], $3::text[], $4::text[]) AS new (team, kind, id, fields)"
    " ON CONFLICT (team, kind, id)"
    " DO UPDATE SET fields = excluded.fields, updated_at = excluded.updated_at"
)
_END_ATTEMPT_SQL = (
    "UPDATE relay.deliveries SET state = $2, error = $3, receipt = $4, next_at = $5,"
    " attempts = attempts + 1 WHERE id = ANY($1::int8[])"
)
_SAVE_THREAD_SQL = (
    "INSERT INTO relay.threads (queue, thread, root, last, title) VALUES ($1, $2, $3, $3, $4)"
    " ON CONFLICT (thread, queue) DO UPDATE SET last = excluded.last"
)
_BUSY_QUEUES_SQL = """
    WITH RECURSIVE busy (queue) AS (
        SELECT min(queue) FROM relay.deliveries WHERE state = 'waiting'
        UNION ALL
        SELECT (SELECT min(queue) FROM relay.deliveries
            WHERE state = 'waiting' AND queue > busy.queue)
        FROM busy WHERE queue IS NOT NULL
    )
    SELECT busy.queue, first.id, first.next_at FROM busy JOIN relay.deliveries AS first
        ON first.id = (
            SELECT min(id) FROM relay.deliveries WHERE state = 'waiting' AND queue = busy.queue
        )
    WHERE NOT EXISTS (
        SELECT FROM relay.leases AS held JOIN relay.replicas USING (owner)
        WHERE held.name = 'queue:' || busy.queue AND owner <> $1 AND expires_at > now()
    )
"""
"""One index lookup for each queue, which skips the queue's other deliveries."""


class PostgresStore:
    """A store that several replicas share."""

    shared = True

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        place = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
        self._pool = PostgresPool(url, place)
        self._intake_pool = PostgresPool(url, place, _INTAKE_CONNECTIONS_COUNT)
        self._intake = PostgresIntake(self._intake_pool)
        self._leases = PostgresLeases(self._pool, self._intake_pool)
        self.sync_threads: SyncThreads = PostgresSyncThreads(self._pool, self._leases)
        self._listener: NotificationListener | None = None
        self.queries: EventQueries = SqlEventQueries(self._fetch, postgres=True)

    async def open(self, *, service: bool = True) -> None:
        await self._pool.prepare(service=service)
        await self._pool.open()
        if not service:
            return
        try:
            await self._intake_pool.open()
            await self._leases.open()
        except (StoreUnusable, StoreUnavailable) as error:
            await self._intake_pool.close()
            await self._pool.close()
            raise StoreUnusable(f"{self._pool.place} can't be written: {error}") from None
        if self._listener is not None:
            self._listener.start()

    async def close(self) -> None:
        if self._listener is not None:
            await self._listener.stop()
        await self._intake.close()
        await self._leases.close()
        await self._intake_pool.close()
        await self._pool.close()

    async def _fetch(self, statements: Sequence[Statement]) -> list[list[Sequence[Any]]]:
        async with self._pool.connection() as connection:
            return [await connection.fetch(sql.text, *sql.values) for sql in statements]

    async def accept(self, event: NewEvent) -> None:
        await self._intake.accept(event)

    async def stored_events(self, limit: int) -> list[StoredEvent]:
        # sizes first, so that no more bodies are transferred than fit into the batch
        sizes_sql = (
            "SELECT id, octet_length(body) AS size FROM relay.events WHERE state = 'stored'"
            " ORDER BY id LIMIT $1"
        )
        sql = f"SELECT {EVENT_COLUMNS} FROM relay.events WHERE id = ANY($1::int8[]) ORDER BY id"
        async with self._pool.connection() as connection:
            ids: list[int] = []
            size = 0
            for row in await connection.fetch(sizes_sql, limit):
                ids.append(row["id"])
                size += row["size"]
                if size > MAX_BATCH_BYTES:
                    break
            return [StoredEvent(*row) for row in await connection.fetch(sql, ids)]

    async def save_fan_out(self, batch: Sequence[FanOutResult]) -> None:
        """An earlier call may have committed although its answer was lost, so this inserts
        deliveries only for events that are still in state stored."""
        now = time.time()
        ids = [result.event_id for result in batch]
        states = [(result.event_id, result.state, without_nul(result.reason)) for result in batch]
        facts = {
            (result.team, *key): without_nul(fields)
            for result in batch
            for key, fields in (result.facts or {}).items()
        }
        async with self._pool.transaction() as connection:
            await self._leases.require(connection, FAN_OUT_LEASE)
            sql = "SELECT id FROM relay.events WHERE id = ANY($1::int8[]) AND state = 'stored'"
            stored = {row["id"] for row in await connection.fetch(sql, ids)}
            results = [result for result in batch if result.event_id in stored]
            await connection.execute(_UPDATE_EVENTS_SQL, *_columns(states))
            await postgres_save_summaries(connection, results)
            rows = [_delivery(r.event_id, new) for r in results for new in r.deliveries]
            if rows:
                await connection.execute(_INSERT_DELIVERIES_SQL, *_columns(rows), now)
                await notify_queues(connection, {queue for _, queue, *_ in rows})
            if facts:
                values = [(*key, fields) for key, fields in facts.items()]
                await connection.execute(_SAVE_FACTS_SQL, *_columns(values), now)

    async def facts(self, team: str, keys: Collection[FactKey]) -> dict[FactKey, str]:
        sql = (
            "SELECT facts.kind, facts.id, fields FROM relay.facts JOIN"
            " unnest($2::text[], $3::text[]) AS keys (kind, id) USING (kind, id) WHERE team = $1"
        )
        kinds, ids = [kind for kind, _ in keys], [id_ for _, id_ in keys]
        async with self._pool.connection() as connection:
            rows = await connection.fetch(sql, team, kinds, ids)
        return {(row["kind"], row["id"]): row["fields"] for row in rows}

    async def waiting_deliveries(self, queue: str, limit: int) -> list[Delivery]:
        sql = (
            f"SELECT {DELIVERY_COLUMNS} FROM relay.deliveries"
            " WHERE state = 'waiting' AND queue = $1 ORDER BY id LIMIT $2"
        )
        async with self._pool.connection() as connection:
            return [Delivery(*row) for row in await connection.fetch(sql, queue, limit)]

    async def busy_queues(self) -> dict[str, QueueHead]:
        async with self._pool.connection() as connection:
            rows = await connection.fetch(_BUSY_QUEUES_SQL, self._leases.owner)
        return {queue: QueueHead(*head) for queue, *head in rows}

    async def waiting_queues(self) -> dict[str, int]:
        sql = "SELECT queue, count(*) FROM relay.deliveries WHERE state = 'waiting' GROUP BY queue"
        async with self._pool.connection() as connection:
            return dict(await connection.fetch(sql))

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
        kept = without_nul(receipt)
        async with self._pool.transaction() as connection:
            await self._require_leases(connection, delivery_ids)
            await connection.execute(_END_ATTEMPT_SQL, delivery_ids, "sent", "", kept, 0.0)
            await postgres_save_attempts(connection, delivery_ids, "sent", seconds, receipt)
            if thread:
                values = queue, thread, kept, without_nul(title)
                await connection.execute(_SAVE_THREAD_SQL, *values)

    async def set_digest(self, delivery_ids: Sequence[int], digest: str) -> None:
        sql = "UPDATE relay.deliveries SET digest = $2 WHERE id = ANY($1::int8[])"
        async with self._pool.transaction() as connection:
            await self._require_leases(connection, delivery_ids)
            await connection.execute(sql, delivery_ids, digest)

    async def get_thread(self, queue: str, thread: str) -> ThreadReceipts | None:
        sql = "SELECT root, last, title FROM relay.threads WHERE thread = $1 AND queue = $2"
        async with self._pool.connection() as connection:
            row = await connection.fetchrow(sql, thread, queue)
        return None if row is None else ThreadReceipts(*row)

    async def shown_messages(self, queue: str, thread: str) -> list[ShownMessage]:
        sql = (
            "SELECT id, comment, state, CASE digest WHEN '' THEN receipt ELSE '' END"
            " FROM relay.deliveries WHERE thread = $1 AND thread <> '' AND queue = $2 ORDER BY id"
        )
        async with self._pool.connection() as connection:
            return [ShownMessage(*row) for row in await connection.fetch(sql, thread, queue)]

    async def delete_thread(self, queue: str, thread: str) -> None:
        sql = "DELETE FROM relay.threads WHERE thread = $1 AND queue = $2"
        async with self._pool.transaction() as connection:
            await self._leases.require(connection, queue_lease(queue))
            await connection.execute(sql, thread, queue)

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
        values = [delivery_id], state, without_nul(error), "", next_at
        async with self._pool.transaction() as connection:
            await self._require_leases(connection, [delivery_id])
            await connection.execute(_END_ATTEMPT_SQL, *values)
            await postgres_save_attempts(connection, [delivery_id], outcome, seconds, error)

    async def _require_leases(self, connection: Any, delivery_ids: Sequence[int]) -> None:
        sql = "SELECT DISTINCT queue FROM relay.deliveries WHERE id = ANY($1::int8[])"
        for (queue,) in await connection.fetch(sql, delivery_ids):
            await self._leases.require(connection, queue_lease(queue))

    async def resend(self, delivery_ids: Sequence[int]) -> list[int]:
        # under a new key: a server that knows the old one would drop the message as a duplicate
        sql = (
            "UPDATE relay.deliveries SET state = 'waiting', key = new.key, digest = '',"
            " attempts = 0, next_at = 0, created_at = $3"
            " FROM unnest($1::int8[], $2::text[]) AS new (id, key) WHERE deliveries.id = new.id"
            " RETURNING deliveries.id, queue"
        )
        keys = [uuid.uuid4().hex for _ in delivery_ids]
        async with self._pool.transaction() as connection:
            rows = await connection.fetch(sql, delivery_ids, keys, time.time())
            await notify_queues(connection, {row["queue"] for row in rows})
        return sorted(row["id"] for row in rows)

    async def resend_dead(self) -> list[int]:
        sql = (
            "SELECT queue, id FROM relay.deliveries WHERE state = 'dead' AND (queue, id) > ($1, $2)"
            " ORDER BY queue, id LIMIT $3"
        )
        ids: list[int] = []
        last = "", 0  # ascending, so that no delivery that dies again meanwhile is re-queued twice
        while True:
            async with self._pool.connection() as connection:
                rows = await connection.fetch(sql, *last, RESEND_BATCH_SIZE)
            if not rows:
                return sorted(ids)
            last = rows[-1]["queue"], rows[-1]["id"]
            ids += await self.resend([row["id"] for row in rows])

    async def log(self, *, team: str | None, state: str | None, limit: int) -> list[LogEntry]:
        where, values = ["true"], list[Any]()
        if team is not None:
            values.append(team)
            where.append(f"team = ${len(values)}")
        if state in EVENT_STATES:
            values.append(state)
            where.append(f"state = ${len(values)}")
        elif state is not None:
            values.append(state)
            where.append(
                "EXISTS (SELECT FROM relay.deliveries"
                f" WHERE event_id = events.id AND state = ${len(values)})"
            )
        columns = EVENT_COLUMNS.replace("body", f"substr(body, 1, {LOG_BODY_BYTES})")
        sql = (
            f"SELECT {columns} FROM relay.events WHERE {' AND '.join(where)}"
            f" ORDER BY id DESC LIMIT ${len(values) + 1}"
        )
        of_events = (
            f"SELECT {DELIVERY_COLUMNS} FROM relay.deliveries WHERE event_id = ANY($1::int8[])"
            " ORDER BY id"
        )
        async with self._pool.connection() as connection:
            events = [StoredEvent(*row) for row in await connection.fetch(sql, *values, limit)]
            deliveries: dict[int, list[Delivery]] = {event.id: [] for event in events}
            for row in await connection.fetch(of_events, list(deliveries)):
                deliveries[row["event_id"]].append(Delivery(*row))
        return [LogEntry(event, deliveries[event.id]) for event in events]

    async def prune(self, before: float, limit: int) -> int:
        sql = (
            "SELECT id FROM relay.events WHERE received_at < $1 AND state <> 'stored'"
            " AND NOT EXISTS (SELECT FROM relay.deliveries WHERE event_id = events.id"
            " AND state = 'waiting' AND created_at >= $1)"
            " ORDER BY received_at LIMIT $2 FOR UPDATE SKIP LOCKED"
        )
        async with self._pool.transaction() as connection:
            ids = [row["id"] for row in await connection.fetch(sql, before, limit)]
            await connection.execute(
                "DELETE FROM relay.attempts WHERE delivery_id IN"
                " (SELECT id FROM relay.deliveries WHERE event_id = ANY($1::int8[]))",
                ids,
            )
            tables = ("deliveries", "event_id"), ("summaries", "event_id"), ("events", "id")
            for table, column in tables:
                await connection.execute(
                    f"DELETE FROM relay.{table} WHERE {column} = ANY($1::int8[])", ids
                )
        return len(ids)

    async def announce(
        self, team: str, name: str, deliveries: Sequence[NewDelivery], about: str = ""
    ) -> None:
        now = time.time()
        sql = (
            "INSERT INTO relay.events (team, content_type, body, digest, name, state, reason,"
            " received_at) VALUES ($1, '', '', $2, $3, 'fanned-out', '', $4) RETURNING id"
        )
        async with self._pool.transaction() as connection:
            id_ = await connection.fetchval(sql, team, uuid.uuid4().bytes, name, now)
            rows = [_delivery(id_, new) for new in deliveries]
            await connection.execute(_INSERT_DELIVERIES_SQL, *_columns(rows), now)
            await notify_queues(connection, {new.queue for new in deliveries})
            result = FanOutResult(id_, team, "fanned-out", about=about)
            await postgres_save_summaries(connection, [result])

    async def get_value(self, key: str) -> StoredValue | None:
        sql = "SELECT value, at FROM relay.key_values WHERE key = $1"
        async with self._pool.connection() as connection:
            row = await connection.fetchrow(sql, key)
        return None if row is None else StoredValue(*row)

    async def put_value(self, key: str, value: str) -> None:
        sql = (
            "INSERT INTO relay.key_values (key, value, at) VALUES ($1, $2, $3) ON CONFLICT (key)"
            " DO UPDATE SET value = excluded.value, at = excluded.at"
        )
        async with self._pool.connection() as connection:
            await connection.execute(sql, key, without_nul(value), time.time())

    async def acquire_lease(self, name: str) -> bool:
        return await self._leases.acquire(name)

    def holds_lease(self, name: str) -> bool:
        return self._leases.holds(name)

    async def release_lease(self, name: str) -> None:
        await self._leases.release(name)

    def listen(
        self, on_events: Callable[[], None], on_queues: Callable[[Collection[str]], None]
    ) -> None:
        self._listener = NotificationListener(self._pool, on_events, on_queues)

    async def backup(self, path: Path) -> None:
        raise StoreUnusable(f"to back up {self._pool.place} run pg_dump --schema=relay")

    async def probe(self) -> None:
        async with self._intake_pool.connection() as connection:
            await connection.execute("UPDATE relay.probe SET at = $1", time.time())


def _delivery(event_id: int, new: NewDelivery) -> tuple[Any, ...]:
    message = without_nul(new.message)
    return event_id, new.queue, new.key, message, new.thread, new.comment


def _columns(rows: Sequence[Sequence[object]]) -> list[list[object]]:
    """For ``unnest``. One statement with all rows is one message to the server, so a replica that
    hangs can't leave the server in the middle of a batch."""
    return [list(column) for column in zip(*rows, strict=True)]
