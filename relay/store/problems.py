"""What the store knows of a queue's problems: dead letters, failing deliveries, waiting alerts.

A dead letter is *open* until it is resent or dismissed, or ``OPEN_SECONDS`` old.
"""

import time
import uuid
from collections.abc import Collection, Sequence
from typing import NamedTuple

from relay.store.attempts import id_rows
from relay.store.engine import Engine, Statement, Steps
from relay.store.queries import MAX_COUNTED, queues_sql
from relay.store.records import RESEND_BATCH_SIZE, queue_lease

OPEN_SECONDS = 24 * 3600.0
MAX_MOVED_COUNT = 100  # alerts that leave a queue at a time

_DEAD_QUEUES_SQL = f"{queues_sql('dead')} SELECT queue FROM found WHERE queue IS NOT NULL"
_OPEN_SQL = "relay.deliveries WHERE state = 'dead' AND queue = $1 AND died_at > $2"
_UNREPORTED_SQL = (
    "relay.deliveries AS dead JOIN relay.events ON events.id = dead.event_id WHERE"
    " dead.state = 'dead' AND queue = $1 AND died_at > $2 AND content_type <> ''"
)
_IS_FAILING_SQL = (
    f"SELECT 1 FROM {_OPEN_SQL} AND died_at >"
    " coalesce((SELECT sent_at FROM relay.queues WHERE queue = $1), 0) LIMIT 1"
)
_DISMISS_SQL = (
    "UPDATE relay.deliveries SET died_at = 0 WHERE id = ANY($1::int8[]) AND died_at > 0"
    " RETURNING id"
)
_WAITING_ALERTS_SQL = (
    "SELECT waiting.id FROM relay.deliveries AS waiting"
    " JOIN relay.events ON events.id = waiting.event_id WHERE waiting.state = 'waiting'"
    " AND queue = $1 AND waiting.digest = '' AND content_type = '' ORDER BY waiting.id LIMIT $2"
)
_MOVE_SQL = (
    "UPDATE relay.deliveries SET queue = $3, key = new.next_key, attempts = 0, next_at = 0,"
    " created_at = $4"
    " FROM unnest($1::int8[], $2::text[]) AS new (delivery, next_key)"
    " WHERE id = new.delivery AND state = 'waiting'"
)


class DeadLetters(NamedTuple):
    """Of one queue."""

    number: int  # at most ``MAX_COUNTED``
    last_at: float  # seconds since 1970
    last_error: str


class AttemptTimes(NamedTuple):
    """Of a delivery, in seconds since 1970."""

    first: float  # since it was queued or re-queued
    last: float


class Problems:
    """All methods raise ``StoreUnavailable``."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def dead(self, queues: Collection[str] | None = None) -> dict[str, DeadLetters]:
        """The open dead letters of these queues, or of all; queues without any are left out."""
        queues = await self.dead_queues() if queues is None else queues
        since = time.time() - OPEN_SECONDS
        letters = [(queue, await self._dead(_OPEN_SQL, queue, since)) for queue in queues]
        return {queue: dead for queue, dead in letters if dead is not None}

    async def dead_queues(self) -> list[str]:
        return [queue for (queue,) in await self._engine.fetch(_DEAD_QUEUES_SQL)]

    async def unreported(self, queue: str, since: float) -> DeadLetters | None:
        """The open dead letters later than ``since``, without Relay's own messages: an alert causes
        no alert."""
        return await self._dead(_UNREPORTED_SQL, queue, max(since, time.time() - OPEN_SECONDS))

    async def _dead(self, source: str, queue: str, since: float) -> DeadLetters | None:
        sql = (
            f"SELECT (SELECT count(*) FROM (SELECT 1 FROM {source} LIMIT {MAX_COUNTED})"
            f" AS counted), died_at, error FROM {source} ORDER BY died_at DESC LIMIT 1"
        )
        (rows,) = await self._engine.fetch_for_inspector(Statement(sql, (queue, since)))
        return DeadLetters(*rows[0]) if rows else None

    async def dismiss(self, delivery_ids: Sequence[int]) -> list[int]:
        """A person knows of these dead letters; returns the ids of those that were open."""

        def work() -> Steps[list[int]]:
            rows = yield Statement(_DISMISS_SQL, rows=id_rows(delivery_ids))
            return sorted(id_ for (id_,) in rows)

        return await self._engine.write(work)

    async def dismiss_queue(self, queue: str) -> list[int]:
        """The same for all of a queue, ``RESEND_BATCH_SIZE`` per transaction."""
        sql = f"SELECT id FROM {_OPEN_SQL} LIMIT $3"
        ids: list[int] = []
        while rows := await self._engine.fetch(sql, queue, 0.0, RESEND_BATCH_SIZE):
            ids += await self.dismiss([id_ for (id_,) in rows])
        return ids

    async def dismiss_all(self, queues: Collection[str] | None = None) -> list[int]:
        """The same for all of these queues, or of all."""
        queues = await self.dead_queues() if queues is None else queues
        return [id_ for queue in queues for id_ in await self.dismiss_queue(queue)]

    async def dead_counts(
        self, queues: Collection[str] | None = None, *, undismissed: bool = False
    ) -> dict[str, int]:
        """The exact number of dead deliveries of these queues, or of all, also of old ones and, but
        for ``undismissed``, of dismissed ones; queues without any are left out."""
        sql = "SELECT count(*) FROM relay.deliveries WHERE state = 'dead' AND queue = $1"
        sql += " AND died_at > 0" if undismissed else ""
        queues = await self.dead_queues() if queues is None else queues
        counts = {queue: (await self._engine.fetch(sql, queue))[0][0] for queue in queues}
        return {queue: count for queue, count in counts.items() if count}

    async def is_failing(self, queue: str) -> bool:
        """Whether the queue has an open dead letter, and has sent nothing since."""
        since = time.time() - OPEN_SECONDS
        return bool(await self._engine.fetch(_IS_FAILING_SQL, queue, since))

    async def attempt_times(self, delivery_id: int) -> AttemptTimes | None:
        """None for a delivery that was not attempted since it was queued or re-queued."""
        sql = (
            "SELECT min(at), max(at) FROM relay.attempts JOIN relay.deliveries ON id = delivery_id"
            " WHERE delivery_id = $1 AND at >= created_at"
        )
        ((first, last),) = await self._engine.fetch(sql, delivery_id)
        return None if first is None else AttemptTimes(first, last)

    async def is_alert(self, event_id: int) -> bool:
        """Whether the event is Relay's own, and none that a hook received."""
        sql = "SELECT 1 FROM relay.events WHERE id = $1 AND content_type = ''"
        return bool(await self._engine.fetch(sql, event_id))

    async def waiting_alerts(self, queue: str) -> list[int]:
        """The first waiting deliveries that are alerts, by id."""
        rows = await self._engine.fetch(_WAITING_ALERTS_SQL, queue, MAX_MOVED_COUNT)
        return [id_ for (id_,) in rows]

    async def move(self, delivery_ids: Sequence[int], queue: str, target: str) -> None:
        """Move waiting deliveries of ``queue`` to another one. Raises ``LeaseLost``."""
        rows = [(id_, uuid.uuid4().hex) for id_ in delivery_ids]

        def work() -> Steps[None]:
            yield from self._engine.require_lease(queue_lease(queue))
            yield Statement(_MOVE_SQL, (target, time.time()), rows)
            yield from self._engine.notify_queues({target})

        await self._engine.write(work)
