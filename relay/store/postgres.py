"""The store in a PostgreSQL: for several replicas on one database."""

import json
import time
import uuid
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

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
    queue_lease,
)
from relay.store.columns import DELIVERY, EVENT, EVENT_STATES, fit
from relay.store.inspect import StoreReading
from relay.store.postgres_intake import Intake
from relay.store.postgres_leases import Leases
from relay.store.postgres_pool import PostgresPool
from relay.store.postgres_seen import PostgresSeen
from relay.store.postgres_watch import NotificationListener
from relay.store.reading import Reading
from relay.store.seen import Seen
from relay.store.statements import Statement
from relay.store.traces import post_events, post_tries

AT_ONCE = 4 * 1024 * 1024
"""Bytes of bodies after which no further event is read in one go."""
EXCERPT = 1000
"""Bytes of a body that the log shows."""
FAN_OUT = "fan-out"

_SEND = (
    "INSERT INTO relay.deliveries (event_id, queue, key, message, state, attempts, next_at, error,"
    " receipt, created_at, digest, thread, comment)"
    " SELECT event, queue, key, message, 'waiting', 0, 0, '', '', $7, '', thread, comment"
    " FROM unnest($1::int8[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[])"
    " AS new (event, queue, key, message, thread, comment)"
)
_BECOME = (
    "UPDATE relay.events SET state = new.state, reason = new.reason"
    " FROM unnest($1::int8[], $2::text[], $3::text[]) AS new (id, state, reason)"
    " WHERE events.id = new.id"
)
_LEARN = (
    "INSERT INTO relay.facts (team, kind, id, fields, learned_at)"
    " SELECT team, kind, id, fields, $5"
    " FROM unnest($1::text[], $2::text[], $3::text[], $4::text[]) AS new (team, kind, id, fields)"
    " ON CONFLICT (team, kind, id)"
    " DO UPDATE SET fields = excluded.fields, learned_at = excluded.learned_at"
)
_SETTLE = (
    "UPDATE relay.deliveries SET state = $2, error = $3, receipt = $4, next_at = $5,"
    " attempts = attempts + 1 WHERE id = ANY($1::int8[])"
)
_BUSY = """
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
"""One step in the index for each queue, past all that waits in it."""


class PostgresStore:
    """Events, deliveries and names in a database that several replicas share."""

    shared = True

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        place = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
        self._pool = PostgresPool(url, place)
        self._front = PostgresPool(url, place, most=2)
        self._intake = Intake(self._front)
        self._leases = Leases(self._pool, self._front)
        self.seen: Seen = PostgresSeen(self._pool, self._leases)
        self._watch: NotificationListener | None = None
        self.reading: Reading = StoreReading(self._fetch, postgres=True)

    async def open(self, *, service: bool = True) -> None:
        """See ``Store``; with ``service`` false beside services that may run."""
        await self._pool.prepare(service=service)
        await self._pool.open()
        if not service:
            return
        try:
            await self._front.open()
            await self._leases.open()
        except (StoreMisfit, StoreUnavailable) as error:
            await self._front.close()
            await self._pool.close()
            raise StoreMisfit(f"{self._pool.place} can't be written: {error}") from None
        if self._watch is not None:
            self._watch.start()

    async def close(self) -> None:
        """See ``Store``."""
        if self._watch is not None:
            await self._watch.stop()
        await self._intake.close()
        await self._leases.close()
        await self._front.close()
        await self._pool.close()

    async def _fetch(self, statements: Sequence[Statement]) -> list[list[Sequence[Any]]]:
        async with self._pool.connection() as connection:
            return [await connection.fetch(sql.text, *sql.values) for sql in statements]

    async def accept(self, event: NewEvent) -> None:
        """See ``Store``."""
        await self._intake.accept(event)

    async def stored(self, limit: int) -> list[StoredEvent]:
        """See ``Store``."""
        # The sizes first: bodies are read as far as they fit.
        sizes = (
            "SELECT id, octet_length(body) AS size FROM relay.events WHERE state = 'stored'"
            " ORDER BY id LIMIT $1"
        )
        async with self._pool.connection() as connection:
            ids: list[int] = []
            size = 0
            for row in await connection.fetch(sizes, limit):
                ids.append(row["id"])
                size += row["size"]
                if size > AT_ONCE:
                    break
            sql = f"SELECT {EVENT} FROM relay.events WHERE id = ANY($1::int8[]) ORDER BY id"
            return [StoredEvent(*row) for row in await connection.fetch(sql, ids)]

    async def fanned_out(self, batch: Sequence[FannedOut]) -> None:
        """See ``Store``. What an earlier try has written, though its answer was lost, is not
        written again."""
        now = time.time()
        ids = [item.event_id for item in batch]
        async with self._pool.transaction() as connection:
            await self._leases.require(connection, FAN_OUT)
            sql = "SELECT id FROM relay.events WHERE id = ANY($1::int8[]) AND state = 'stored'"
            fresh = {row["id"] for row in await connection.fetch(sql, ids)}
            states = [(one.event_id, one.state, fit(one.reason)) for one in batch]
            await connection.execute(_BECOME, *_columns(states))
            await post_events(connection, [one for one in batch if one.event_id in fresh])
            new = [
                (item.event_id, one.queue, one.key, fit(one.message), one.thread, one.comment)
                for item in batch
                if item.event_id in fresh
                for one in item.deliveries
            ]
            if new:
                await connection.execute(_SEND, *_columns(new), now)
                await _tell(connection, {queue for _, queue, *_ in new})
            facts = {
                (item.team, *key): fit(fields)
                for item in batch
                for key, fields in (item.facts or {}).items()
            }
            if facts:
                learned = [(*key, fields) for key, fields in facts.items()]
                await connection.execute(_LEARN, *_columns(learned), now)

    async def facts(self, team: str, keys: Collection[FactKey]) -> dict[FactKey, str]:
        """See ``Store``."""
        sql = (
            "SELECT facts.kind, facts.id, fields FROM relay.facts JOIN"
            " unnest($2::text[], $3::text[]) AS wanted (kind, id) USING (kind, id) WHERE team = $1"
        )
        kinds, ids = [kind for kind, _ in keys], [id_ for _, id_ in keys]
        async with self._pool.connection() as connection:
            rows = await connection.fetch(sql, team, kinds, ids)
        return {(row["kind"], row["id"]): row["fields"] for row in rows}

    async def waiting(self, queue: str, limit: int) -> list[Delivery]:
        """See ``Store``."""
        sql = (
            f"SELECT {DELIVERY} FROM relay.deliveries"
            " WHERE state = 'waiting' AND queue = $1 ORDER BY id LIMIT $2"
        )
        async with self._pool.connection() as connection:
            return [Delivery(*row) for row in await connection.fetch(sql, queue, limit)]

    async def busy_queues(self) -> dict[str, QueueHead]:
        """See ``Store``."""
        async with self._pool.connection() as connection:
            rows = await connection.fetch(_BUSY, self._leases.owner)
        return {queue: QueueHead(*head) for queue, *head in rows}

    async def waiting_queues(self) -> dict[str, int]:
        """See ``Store``."""
        sql = "SELECT queue, count(*) FROM relay.deliveries WHERE state = 'waiting' GROUP BY queue"
        async with self._pool.connection() as connection:
            return dict(await connection.fetch(sql))

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
        async with self._pool.transaction() as connection:
            await self._require_queues(connection, delivery_ids)
            await connection.execute(_SETTLE, delivery_ids, "sent", "", fit(receipt), 0.0)
            await post_tries(connection, delivery_ids, "sent", seconds, receipt)
            if thread:
                await connection.execute(
                    "INSERT INTO relay.threads (queue, thread, root, last, title)"
                    " VALUES ($1, $2, $3, $3, $4) ON CONFLICT (thread, queue)"
                    " DO UPDATE SET last = excluded.last",
                    queue,
                    thread,
                    fit(receipt),
                    fit(title),
                )

    async def bundle(self, delivery_ids: Sequence[int], digest: str) -> None:
        """See ``Store``."""
        sql = "UPDATE relay.deliveries SET digest = $2 WHERE id = ANY($1::int8[])"
        async with self._pool.transaction() as connection:
            await self._require_queues(connection, delivery_ids)
            await connection.execute(sql, delivery_ids, digest)

    async def thread(self, queue: str, thread: str) -> ThreadPlace | None:
        """See ``Store``."""
        sql = "SELECT root, last, title FROM relay.threads WHERE thread = $1 AND queue = $2"
        async with self._pool.connection() as connection:
            row = await connection.fetchrow(sql, thread, queue)
        return None if row is None else ThreadPlace(*row)

    async def shown(self, queue: str, thread: str) -> list[ShownMessage]:
        """See ``Store``."""
        sql = (
            "SELECT id, comment, state, CASE digest WHEN '' THEN receipt ELSE '' END"
            " FROM relay.deliveries WHERE thread = $1 AND thread <> '' AND queue = $2 ORDER BY id"
        )
        async with self._pool.connection() as connection:
            return [ShownMessage(*row) for row in await connection.fetch(sql, thread, queue)]

    async def forget_thread(self, queue: str, thread: str) -> None:
        """See ``Store``."""
        async with self._pool.transaction() as connection:
            await self._leases.require(connection, queue_lease(queue))
            sql = "DELETE FROM relay.threads WHERE thread = $1 AND queue = $2"
            await connection.execute(sql, thread, queue)

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
        async with self._pool.transaction() as connection:
            await self._require_queues(connection, [delivery_id])
            await connection.execute(_SETTLE, [delivery_id], state, fit(error), "", next_at)
            await post_tries(connection, [delivery_id], outcome, seconds, error)

    async def _require_queues(self, connection: Any, delivery_ids: Sequence[int]) -> None:
        sql = "SELECT DISTINCT queue FROM relay.deliveries WHERE id = ANY($1::int8[])"
        for (queue,) in await connection.fetch(sql, delivery_ids):
            await self._leases.require(connection, queue_lease(queue))

    async def resend(self, delivery_ids: Sequence[int]) -> list[int]:
        """See ``Store``."""
        # a new key: servers that know the old one would take it for a repetition
        sql = (
            "UPDATE relay.deliveries SET state = 'waiting', key = new.key, digest = '',"
            " attempts = 0, next_at = 0, created_at = $3"
            " FROM unnest($1::int8[], $2::text[]) AS new (id, key) WHERE deliveries.id = new.id"
            " RETURNING deliveries.id, queue"
        )
        keys = [uuid.uuid4().hex for _ in delivery_ids]
        async with self._pool.transaction() as connection:
            rows = await connection.fetch(sql, delivery_ids, keys, time.time())
            await _tell(connection, {row["queue"] for row in rows})
        return sorted(row["id"] for row in rows)

    async def resend_dead(self) -> list[int]:
        """See ``Store``."""
        sql = (
            "SELECT queue, id FROM relay.deliveries WHERE state = 'dead' AND (queue, id) > ($1, $2)"
            " ORDER BY queue, id LIMIT $3"
        )
        found: list[int] = []
        last = "", 0  # never back: what dies again meanwhile is not put back twice
        while True:
            async with self._pool.connection() as connection:
                rows = await connection.fetch(sql, *last, AT_A_TIME)
            if not rows:
                return sorted(found)
            last = rows[-1]["queue"], rows[-1]["id"]
            found += await self.resend([row["id"] for row in rows])

    async def log(self, *, team: str | None, state: str | None, limit: int) -> list[LogEntry]:
        """See ``Store``."""
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
        columns = EVENT.replace("body", f"substr(body, 1, {EXCERPT})")
        sql = (
            f"SELECT {columns} FROM relay.events WHERE {' AND '.join(where)}"
            f" ORDER BY id DESC LIMIT ${len(values) + 1}"
        )
        of_events = (
            f"SELECT {DELIVERY} FROM relay.deliveries WHERE event_id = ANY($1::int8[]) ORDER BY id"
        )
        async with self._pool.connection() as connection:
            events = [StoredEvent(*row) for row in await connection.fetch(sql, *values, limit)]
            found: dict[int, list[Delivery]] = {event.id: [] for event in events}
            for row in await connection.fetch(of_events, list(found)):
                found[row["event_id"]].append(Delivery(*row))
        return [LogEntry(event, found[event.id]) for event in events]

    async def prune(self, before: float, limit: int) -> int:
        """See ``Store``."""
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
            kinds = ("deliveries", "event_id"), ("summaries", "event_id"), ("events", "id")
            for table, column in kinds:
                await connection.execute(
                    f"DELETE FROM relay.{table} WHERE {column} = ANY($1::int8[])", ids
                )
        return len(ids)

    async def announce(
        self, team: str, name: str, deliveries: Sequence[NewDelivery], about: str = ""
    ) -> None:
        """See ``Store``."""
        now = time.time()
        async with self._pool.transaction() as connection:
            id_ = await connection.fetchval(
                "INSERT INTO relay.events (team, content_type, body, digest, name, state, reason,"
                " received_at) VALUES ($1, '', '', $2, $3, 'fanned-out', '', $4) RETURNING id",
                team,
                uuid.uuid4().bytes,
                name,
                now,
            )
            rows = [
                (id_, one.queue, one.key, fit(one.message), one.thread, one.comment)
                for one in deliveries
            ]
            await connection.execute(_SEND, *_columns(rows), now)
            await _tell(connection, {one.queue for one in deliveries})
            await post_events(connection, [FannedOut(id_, team, "fanned-out", about=about)])

    async def note(self, key: str) -> StoredValue | None:
        """See ``Store``."""
        async with self._pool.connection() as connection:
            row = await connection.fetchrow("SELECT value, at FROM relay.notes WHERE key = $1", key)
        return None if row is None else StoredValue(*row)

    async def keep_note(self, key: str, value: str) -> None:
        """See ``Store``."""
        sql = (
            "INSERT INTO relay.notes VALUES ($1, $2, $3) ON CONFLICT (key)"
            " DO UPDATE SET value = excluded.value, at = excluded.at"
        )
        async with self._pool.connection() as connection:
            await connection.execute(sql, key, fit(value), time.time())

    async def lease(self, name: str) -> bool:
        """See ``Store``."""
        return await self._leases.take(name)

    def lease_is_sure(self, name: str) -> bool:
        """See ``Store``."""
        return self._leases.is_sure(name)

    async def release(self, name: str) -> None:
        """See ``Store``."""
        await self._leases.release(name)

    def watch(
        self, on_events: Callable[[], None], on_queues: Callable[[Collection[str]], None]
    ) -> None:
        """See ``Store``."""
        self._watch = NotificationListener(self._pool, on_events, on_queues)

    async def backup(self, path: Path) -> None:
        """See ``Store``."""
        raise StoreMisfit(f"{self._pool.place} is backed up with pg_dump --schema=relay")

    async def probe(self) -> None:
        """See ``Store``."""
        async with self._front.connection() as connection:
            await connection.execute("UPDATE relay.probe SET at = $1", time.time())


def _columns(rows: Sequence[Sequence[object]]) -> list[list[object]]:
    """What ``unnest`` takes: one statement for all rows is one message, so that a replica that
    hangs never leaves the server in the middle of one."""
    return [list(column) for column in zip(*rows, strict=True)]


async def _tell(connection: Any, queues: Collection[str]) -> None:
    """Tell all replicas that messages wait in these queues; a payload has room for 8,000 bytes."""
    names = sorted(queues)
    payloads = [json.dumps(names[at : at + 50]) for at in range(0, len(names), 50)]
    await connection.execute("SELECT pg_notify('relay_queues', unnest($1::text[]))", payloads)
