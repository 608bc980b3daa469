"""The store: its SQL, for both engines."""

import json
import time
import uuid
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from relay.store import activity, attempts, holds
from relay.store.activity import Activity
from relay.store.attempts import id_rows
from relay.store.backlog import Backlog
from relay.store.engine import (
    Statement,
    Steps,
)
from relay.store.holds import Holds
from relay.store.log import EventLog
from relay.store.problems import Problems
from relay.store.queries import EventQueries, queues_sql
from relay.store.records import (
    FAN_OUT_LEASE,
    RESEND_BATCH_SIZE,
    FactKey,
    FanOutResult,
    NewDelivery,
    QueueHead,
    ShownMessage,
    StoredEvent,
    StoredValue,
    ThreadReceipts,
    ValueChange,
    queue_lease,
    suspension_key,
)
from relay.store.sync_threads import SyncThreads
from relay.store.usage import EVENT_OVERHEAD_BYTES, Usage

_INSERT_DELIVERIES_SQL = (
    "INSERT INTO relay.deliveries (event_id, queue, key, message, attempts, next_at, error,"
    " receipt, created_at, digest, thread, comment, state, held_until, held_with,"
    " undecided) SELECT new.event, new.queue, new.key, new.message, 0, 0, '', '', $11, '',"
    " new.thread, new.comment, new.state, new.held_until, new.held_with, new.undecided"
    " FROM unnest($1::int8[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[],"
    " $7::text[], $8::float8[], $9::text[], $10::text[])"
    " AS new (event, queue, key, message, thread, comment, state, held_until, held_with, undecided)"
)
_STORED_IDS_SQL = (
    "SELECT id, length(body) FROM relay.events WHERE state = 'stored' AND id BETWEEN $1 AND $2"
)
_UPDATE_EVENTS_SQL = (
    "UPDATE relay.events SET state = new.next_state, reason = new.next_reason"
    " FROM unnest($1::int8[], $2::text[], $3::text[]) AS new (event, next_state, next_reason)"
    " WHERE id = new.event"
)
_INSERT_SUMMARIES_SQL = (
    "INSERT INTO relay.summaries (event_id, team, name, state, reason, received_at, person, about,"
    " search_text, skipped, counted) SELECT id, team, name, state, reason, received_at, new.person,"
    " new.about, name || ' ' || new.search_text, new.skipped, new.counted FROM relay.events,"
    " unnest($1::int8[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[])"
    " AS new (event, person, about, search_text, skipped, counted)"
    " WHERE id = new.event ON CONFLICT (event_id) DO NOTHING"
)
_SAVE_FACTS_SQL = (
    "INSERT INTO relay.facts (team, kind, id, fields, updated_at)"
    " SELECT new.team, new.kind, new.id, new.fields, $5"
    " FROM unnest($1::text[], $2::text[], $3::text[], $4::text[]) AS new (team, kind, id, fields)"
    " WHERE true ON CONFLICT (team, kind, id)"
    " DO UPDATE SET fields = excluded.fields, updated_at = excluded.updated_at"
)
_CHANGE_VALUE_SQL = (
    "INSERT INTO relay.key_values (key, value, at) VALUES ($1, $3, $4) ON CONFLICT (key)"
    " DO UPDATE SET value = excluded.value, at = excluded.at WHERE key_values.value = $2"
    " RETURNING key"
)
_RESUME_SQL = "DELETE FROM relay.key_values WHERE key = ANY($1::text[])"
_PRUNE_SQL = (
    "DELETE FROM relay.attempts WHERE delivery_id IN"
    " (SELECT id FROM relay.deliveries WHERE event_id = ANY($1::int8[]))",
    "DELETE FROM relay.deliveries WHERE event_id = ANY($1::int8[])",
    "DELETE FROM relay.summaries WHERE event_id = ANY($1::int8[])",
    "DELETE FROM relay.events WHERE id = ANY($1::int8[])",
)
_BUSY_QUEUES_SQL = (
    f"{queues_sql('waiting')} SELECT busy.queue, first.id, first.next_at FROM found AS busy"
    " JOIN relay.deliveries AS first ON first.id ="
    " (SELECT min(id) FROM relay.deliveries WHERE state = 'waiting' AND queue = busy.queue) WHERE "
)


class Store(Backlog, EventLog):
    """Events, deliveries, facts and values on disk.

    Every method that writes returns after the write is on disk. If that fails it raises
    ``StoreUnavailable`` and nothing is written.

    Several replicas of Relay may use one store if it is ``shared``. Each queue and the fan-out are
    then served by the replica that holds the lease of that name; writes for them without the lease
    raise ``LeaseLost``.
    """

    def __init__(self) -> None:
        self.queries = EventQueries(self)
        self.sync_threads = SyncThreads(self)
        self.usage = Usage(self)
        self.holds = Holds(self)
        self.activity = Activity(self)
        self.problems = Problems(self)

    async def save_fan_out(self, batch: Sequence[FanOutResult]) -> Sequence[FanOutResult]:
        """Write the results of several events in one transaction, and return them with the
        deliveries of their lines. An earlier call may have committed although its answer was lost,
        so this writes deliveries and lines only for events that are still in state stored."""
        if not batch:
            return batch
        return await self.write(lambda: self._save_fan_out(batch, time.time()))

    def _save_fan_out(
        self, batch: Sequence[FanOutResult], now: float
    ) -> Steps[Sequence[FanOutResult]]:
        yield from self.require_lease(FAN_OUT_LEASE)
        ids = [result.event_id for result in batch]
        stored = dict((yield Statement(_STORED_IDS_SQL, (min(ids), max(ids)))))
        results = [result for result in batch if result.event_id in stored]
        results, growth = yield from activity.save_lines(results, now)
        yield from self.usage.grow(growth)
        states = [(result.event_id, result.state, result.reason) for result in results]
        yield Statement(_UPDATE_EVENTS_SQL, rows=states)
        yield from self._insert_results(results, stored, now)
        facts = {
            (result.team, *key): fields
            for result in batch
            for key, fields in (result.facts or {}).items()
        }
        yield Statement(_SAVE_FACTS_SQL, (now,), [(*key, fact) for key, fact in facts.items()])
        written = {result.event_id: result for result in results}
        return [written.get(result.event_id, result) for result in batch]

    def _insert_results(
        self, results: Sequence[FanOutResult], bodies: Mapping[int, int], now: float
    ) -> Steps[None]:
        """``bodies``: the lengths of the events' bodies, by id."""
        rows, urgent = holds.delivery_rows(results)
        yield Statement(_INSERT_SUMMARIES_SQL, rows=_summaries(results))
        yield from holds.release_with(urgent, now)
        yield Statement(_INSERT_DELIVERIES_SQL, (now,), rows)
        yield from self.usage.add(results, bodies)
        yield from self.notify_queues({queue for _, queue, *_ in rows})

    async def facts(self, team: str, keys: Collection[FactKey]) -> dict[FactKey, str]:
        """The known facts of a team; unknown keys are left out."""
        sql = (
            "SELECT facts.kind, facts.id, fields FROM relay.facts,"
            " unnest($1::text[], $2::text[]) AS new (kind, id)"
            " WHERE team = $3 AND facts.kind = new.kind AND facts.id = new.id"
        )
        rows = await self.fetch(sql, team, rows=list(keys))
        return {(kind, id_): fields for kind, id_, fields in rows}

    async def delete_facts(self, team: str) -> None:
        await self.execute("DELETE FROM relay.facts WHERE team = $1", team)

    async def busy_queues(self) -> dict[str, QueueHead]:
        """Every queue with waiting deliveries that no other replica serves. The cost depends on the
        number of queues, not of deliveries."""
        rows = await self.fetch(_BUSY_QUEUES_SQL + self.unserved_sql)
        return {queue: QueueHead(*head) for queue, *head in rows}

    async def waiting_queues(self) -> dict[str, int]:
        """The number of waiting deliveries by queue; it counts every row."""
        sql = "SELECT queue, count(*) FROM relay.deliveries WHERE state = 'waiting' GROUP BY queue"
        return dict(await self.fetch(sql))

    async def undecided_queues(self) -> dict[str, int]:
        """The number of waiting deliveries by queue that their channel has not accepted yet."""
        sql = (
            f"SELECT queue, count(*) FROM relay.deliveries{self.index_hint('deliveries_undecided')}"
            " WHERE state = 'waiting' AND undecided <> '' GROUP BY queue"
        )
        return dict(await self.fetch(sql))

    async def accept_undecided(self, delivery_id: int, message: str) -> None:
        """The channel accepts an undecided delivery, with this message. Raises ``LeaseLost``."""
        sql = "UPDATE relay.deliveries SET undecided = '', message = $2 WHERE id = $1"

        def work() -> Steps[None]:
            yield from self.require_queue_leases([delivery_id])
            yield Statement(sql, (delivery_id, message))

        await self.write(work)

    async def unfinished(self, queue: str) -> tuple[int, int]:
        """The delivery of a queue (of a digest the first one) whose last attempt has no result, and
        the number of such attempts in a row; zeros if there is none."""
        sql = "SELECT sending, unfinished FROM relay.queues WHERE queue = $1"
        rows = await self.fetch(sql, queue)
        return (rows[0][0], rows[0][1]) if rows else (0, 0)

    async def save_unfinished(
        self, queue: str, delivery_id: int, unfinished: int, *, interrupted: bool = False
    ) -> None:
        """The number of attempts in a row at this delivery of a queue that have no result, with the
        one that begins. With ``interrupted`` the one before is recorded as failed: its process
        ended."""

        def work() -> Steps[None]:
            yield from self.require_lease(queue_lease(queue))
            yield from attempts.begins(queue, delivery_id, unfinished, interrupted=interrupted)

        await self.write(work)

    async def mark_sent(
        self,
        delivery_ids: Sequence[int],
        receipt: str,
        *,
        queue: str = "",
        thread: str = "",
        subject: str = "",
        seconds: float = 0.0,
        next_id: int = 0,
    ) -> None:
        """The channel's server accepted a message after ``seconds`` and returned ``receipt``: one
        delivery, or the several deliveries of a digest. With ``thread`` the receipt becomes the
        last of this thread in ``queue``, and its root if the thread has none; ``subject`` becomes
        the thread's if that has none. The first attempt
        at the delivery ``next_id`` begins, as by ``save_unfinished``."""
        thread_values = (queue, thread, receipt, subject) if thread else ()

        def work() -> Steps[None]:
            yield from self.require_queue_leases(delivery_ids)
            yield from attempts.succeeded(delivery_ids, receipt, seconds, thread_values, next_id)

        await self.write(work)

    async def set_digest(self, delivery_ids: Sequence[int], digest: str) -> None:
        """Send these deliveries of one queue together, as the digest with this key. Without a key
        they are sent one by one, and their unfinished attempts are forgotten."""
        sql = "UPDATE relay.deliveries SET digest = $2 WHERE id = ANY($1::int8[])"

        def work() -> Steps[None]:
            yield from self.require_queue_leases(delivery_ids)
            yield Statement(sql, (digest,), id_rows(delivery_ids))
            if not digest:
                yield from attempts.forget(delivery_ids[0])

        await self.write(work)

    async def get_thread(self, queue: str, thread: str) -> ThreadReceipts | None:
        """None until a message of the thread is sent in this queue."""
        sql = "SELECT root, last, subject FROM relay.threads WHERE thread = $1 AND queue = $2"
        rows = await self.fetch(sql, thread, queue)
        return ThreadReceipts(*rows[0]) if rows else None

    async def shown_messages(self, queue: str, thread: str) -> list[ShownMessage]:
        """The deliveries of a queue about a thread's comments, in order."""
        sql = (
            "SELECT id, comment, state, CASE digest WHEN '' THEN receipt ELSE '' END"
            " FROM relay.deliveries WHERE thread = $1 AND thread <> '' AND queue = $2 ORDER BY id"
        )
        return [ShownMessage(*row) for row in await self.fetch(sql, thread, queue)]

    async def delete_thread(self, queue: str, thread: str) -> None:
        """For a thread whose root message was deleted in the channel: the next message becomes the
        new root."""
        sql = "DELETE FROM relay.threads WHERE thread = $1 AND queue = $2"

        def work() -> Steps[None]:
            yield from self.require_lease(queue_lease(queue))
            yield Statement(sql, (thread, queue))

        await self.write(work)

    async def mark_failed(
        self, delivery_id: int, error: str, next_at: float, *, seconds: float = 0.0
    ) -> None:
        """An attempt failed; ``next_at`` is the earliest time of the next one."""
        await self._failed(delivery_id, "failed", next_at, error, seconds)

    async def mark_dead(self, delivery_id: int, error: str, *, seconds: float = 0.0) -> None:
        """The message can never be delivered."""
        await self._failed(delivery_id, "dead", 0.0, error, seconds)

    async def mark_skipped(self, delivery_id: int, reason: str) -> None:
        """The message is for a person who has no address in the channel."""
        await self._failed(delivery_id, "skipped", 0.0, reason, 0.0)

    async def _failed(self, delivery_id: int, *result: Any) -> None:
        def work() -> Steps[None]:
            yield from self.require_queue_leases([delivery_id])
            yield from attempts.failed(delivery_id, *result)

        await self.write(work)

    async def resend(self, delivery_ids: Sequence[int]) -> list[int]:
        """Re-queue deliveries under new keys, and resume their queues; returns the ids that
        exist."""
        # under a new key: a server that knows the old one would drop the message as a duplicate
        sql = (
            "UPDATE relay.deliveries SET state = 'waiting', key = new.next_key, digest = '',"
            " undecided = '', held_until = 0, attempts = 0, next_at = 0, died_at = 0,"
            " created_at = $3 FROM unnest($1::int8[], $2::text[]) AS new (delivery, next_key)"
            " WHERE id = new.delivery RETURNING id, queue"
        )
        now, keys = time.time(), [(id_, uuid.uuid4().hex) for id_ in delivery_ids]

        def work() -> Steps[list[int]]:
            rows = yield Statement(sql, (now,), keys)
            queues = {queue for _, queue in rows}
            yield Statement(_RESUME_SQL, rows=[(suspension_key(queue),) for queue in queues])
            yield from self.notify_queues(queues)
            return sorted(id_ for id_, _ in rows)

        return await self.write(work)

    async def resend_dead(self, queues: Collection[str] | None = None) -> list[int]:
        """Re-queue all dead deliveries of these queues, or of all: queue by queue, and
        ``RESEND_BATCH_SIZE`` per transaction; returns their ids. After an error the earlier batches
        stay re-queued, and another call continues with the rest."""
        sql = (
            "SELECT id FROM relay.deliveries WHERE state = 'dead' AND queue = $1 AND id > $2"
            " ORDER BY id LIMIT $3"
        )
        ids: list[int] = []
        for queue in await self.problems.dead_queues() if queues is None else queues:
            last = 0  # ascending, so that no delivery that dies again meanwhile is re-queued twice
            while rows := await self.fetch(sql, queue, last, RESEND_BATCH_SIZE):
                last = rows[-1][0]
                ids += await self.resend([id_ for (id_,) in rows])
        return sorted(ids)

    async def prune(self, before: float, limit: int) -> int:
        """Delete up to ``limit`` events received before that time, with their deliveries; returns
        their number. Keeps events of which a delivery is held, or was queued again or released
        later and waits."""
        sql = (
            "SELECT id FROM relay.events WHERE received_at < $1 AND state <> 'stored'"
            " AND NOT EXISTS (SELECT 1 FROM relay.deliveries WHERE event_id = events.id"
            " AND (state = 'held' OR (state = 'waiting' AND created_at >= $1)))"
            f" ORDER BY received_at LIMIT $2 {self.skip_locked_sql}"
        )

        def work() -> Steps[int]:
            rows = [(id_,) for (id_,) in (yield Statement(sql, (before, limit)))]
            yield from self.usage.remove(rows)
            for delete_sql in _PRUNE_SQL:
                yield Statement(delete_sql, rows=rows)
            yield from activity.prune(before)
            return len(rows)

        return await self.write(work)

    async def announce(
        self,
        team: str,
        name: str,
        deliveries: Sequence[NewDelivery],
        about: str = "",
        mark: ValueChange | None = None,
    ) -> bool:
        """Store an event of Relay itself, in state fanned-out, with its deliveries. With ``mark``
        only together with this change of a value, which no other replica has made; whether it was
        stored."""
        now = time.time()
        digest = uuid.uuid4().bytes
        sql = (
            "INSERT INTO relay.events (team, content_type, body, digest, name, state, reason,"
            " received_at) VALUES ($1, '', $2, $3, $4, 'fanned-out', '', $5) RETURNING id"
        )

        def work() -> Steps[bool]:
            if mark is not None and not (yield Statement(_CHANGE_VALUE_SQL, (*mark, now))):
                return False
            ((id_,),) = yield Statement(sql, (team, b"", digest, name, now))
            result = FanOutResult(id_, team, "fanned-out", "", deliveries, about=about)
            yield from self._insert_results([result], {id_: 0}, now)
            return True

        return await self.write(work)

    async def add_deliveries(
        self, event: StoredEvent, deliveries: Sequence[NewDelivery]
    ) -> list[int]:
        """Of an event that was fanned out before; returns their ids."""
        result = FanOutResult(event.id, event.team, "fanned-out", "", deliveries)
        keys = [(delivery.key,) for delivery in deliveries]
        found = "SELECT id FROM relay.deliveries WHERE key = ANY($1::text[]) AND event_id = $2"

        def work() -> Steps[list[int]]:
            for table, key in (("events", "id"), ("summaries", "event_id")):
                sql = f"UPDATE relay.{table} SET state = 'fanned-out' WHERE {key} = $1"
                yield Statement(sql, (event.id,))
            # the event itself is counted already
            bodies = {event.id: -EVENT_OVERHEAD_BYTES}
            yield from self._insert_results([result], bodies, time.time())
            return sorted(id_ for (id_,) in (yield Statement(found, (event.id,), keys)))

        return await self.write(work)

    async def get_value(self, key: str) -> StoredValue | None:
        rows = await self.fetch("SELECT value, at FROM relay.key_values WHERE key = $1", key)
        return StoredValue(*rows[0]) if rows else None

    async def put_new_value(self, key: str, value: str) -> None:
        """Unless the key has a value, also of another replica."""
        sql = (
            "INSERT INTO relay.key_values (key, value, at) VALUES ($1, $2, $3)"
            " ON CONFLICT (key) DO NOTHING"
        )
        await self.execute(sql, key, value, time.time())

    async def put_value(self, key: str, value: str) -> None:
        sql = (
            "INSERT INTO relay.key_values (key, value, at) VALUES ($1, $2, $3) ON CONFLICT (key)"
            " DO UPDATE SET value = excluded.value, at = excluded.at"
        )
        await self.execute(sql, key, value, time.time())


def _summaries(results: Iterable[FanOutResult]) -> list[tuple[Any, ...]]:
    return [
        (
            result.event_id,
            result.person,
            result.about,
            f"{result.person} {result.about}".casefold(),
            json.dumps(result.skipped or {}, ensure_ascii=False),
            json.dumps(result.counted or {}, ensure_ascii=False),
        )
        for result in results
        if result.state in ("fanned-out", "ignored")
    ]
