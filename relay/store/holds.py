"""Held deliveries: they wait for a time of the clock, which a restart does not change."""

import time
from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

from relay.store import attempts
from relay.store.attempts import id_rows
from relay.store.engine import Engine, Statement, Steps
from relay.store.queries import queues_sql
from relay.store.records import FanOutResult, queue_lease

RELEASE_BATCH_SIZE = 1000
"""Deliveries that one transaction releases: it must not delay intake, nor exceed the database's
statement timeout."""

# Their hold is over: they are due since then, whatever the time that Relay was off.
_RELEASE_SQL = (
    "UPDATE relay.deliveries SET state = 'waiting', created_at = held_until"
    " WHERE id = ANY($1::int8[]) AND state = 'held' RETURNING queue, event_id"
)
_RELEASE_WITH_SQL = (
    "UPDATE relay.deliveries SET state = 'waiting', created_at = $3, held_until = 0"
    " FROM unnest($1::text[], $2::text[]) AS new (of_queue, of_group)"
    " WHERE state = 'held' AND queue = new.of_queue AND held_with = new.of_group"
    " AND held_with <> ''"
)
_HOLD_SQL = (
    "UPDATE relay.deliveries SET state = 'held', message = $2, held_until = $3, held_with = $4,"
    " undecided = '', attempts = 0, next_at = 0, error = '' WHERE id = $1"
)
_COUNTS_SQL = (
    f"{queues_sql('held')} SELECT queue, (SELECT count(*) FROM relay.deliveries"
    " WHERE state = 'held' AND queue = found.queue) FROM found WHERE queue IS NOT NULL"
)

Group = tuple[str, str]
"""A queue, and ``NewDelivery.held_with``."""


class HeldMessage(NamedTuple):
    delivery_id: int
    message: str


class Released(NamedTuple):
    queue: str
    event_id: int


class Holds:
    """All methods raise ``StoreUnavailable``."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def release(self, now: float) -> list[Released]:
        """Up to ``RELEASE_BATCH_SIZE`` deliveries whose hold is over become waiting; call it again
        while there are any."""
        sql = (
            "SELECT id FROM relay.deliveries WHERE state = 'held' AND held_until <= $1"
            " ORDER BY held_until, id LIMIT $2"
        )
        if not await self._engine.fetch(sql, now, 1):
            return []

        def work() -> Steps[list[Released]]:
            ids = yield Statement(
                f"{sql} {self._engine.skip_locked_sql}", (now, RELEASE_BATCH_SIZE)
            )
            rows = yield Statement(_RELEASE_SQL, rows=id_rows(id_ for (id_,) in ids))
            released = [Released(*row) for row in rows]
            yield from self._engine.notify_queues({each.queue for each in released})
            return released

        return await self._engine.write(work)

    async def release_group(self, queue: str, held_with: str) -> None:
        """Send these held deliveries now, one by one and in order. Raises ``LeaseLost``."""

        def work() -> Steps[None]:
            yield from self._engine.require_lease(queue_lease(queue))
            yield from release_with([(queue, held_with)], time.time())

        await self._engine.write(work)

    async def messages(self, queue: str, held_with: str) -> list[HeldMessage]:
        """Those that are released together, and those of people, whose ``held_with`` continues
        after a space; in order, and none for an empty ``held_with``."""
        sql = (
            "SELECT id, message FROM relay.deliveries WHERE state = 'held'"
            " AND queue = $1 AND held_with <> '' AND (held_with = $2"
            " OR substr(held_with, 1, length($2) + 1) = $2 || ' ') ORDER BY id"
        )
        return [HeldMessage(*row) for row in await self._engine.fetch(sql, queue, held_with)]

    async def replace(self, delivery_id: int, message: str) -> None:
        """The message of a held delivery. Raises ``LeaseLost``."""
        sql = "UPDATE relay.deliveries SET message = $2 WHERE id = $1"

        def work() -> Steps[None]:
            yield from self._engine.require_queue_leases([delivery_id])
            yield Statement(sql, (delivery_id, message))

        await self._engine.write(work)

    async def hold(self, delivery_id: int, message: str, held_until: float, held_with: str) -> None:
        """Hold the first delivery of a queue with this message instead of sending it, as if it had
        not been attempted. Raises ``LeaseLost``."""

        def work() -> Steps[None]:
            yield from self._engine.require_queue_leases([delivery_id])
            yield Statement(_HOLD_SQL, (delivery_id, message, held_until, held_with))
            yield from attempts.forget(delivery_id)

        await self._engine.write(work)

    async def counts(self) -> dict[str, int]:
        """The number of held deliveries by queue; it counts every row."""
        return dict(await self._engine.fetch(_COUNTS_SQL))


def release_with(groups: Collection[Group], now: float) -> Steps[None]:
    """The held deliveries of these groups become waiting, to be sent one by one."""
    if groups:
        yield Statement(_RELEASE_WITH_SQL, (now,), sorted(groups))


def delivery_rows(
    results: Sequence[FanOutResult],
) -> tuple[list[tuple[Any, ...]], set[Group]]:
    """The rows of new deliveries, and the groups that urgent ones release. What comes after the
    urgent one stays held."""
    rows: list[tuple[Any, ...]] = []
    urgent: set[Group] = set()
    for result in results:
        for new in result.deliveries:
            group = new.queue, new.held_with
            if new.is_urgent and new.held_with:
                urgent.add(group)
                rows = [
                    (*row[:6], "waiting", 0.0, "", "") if (row[1], row[8]) == group else row
                    for row in rows
                ]
            is_held = new.held_until > 0
            rows.append(
                (
                    result.event_id,
                    new.queue,
                    new.key,
                    new.message,
                    new.thread,
                    new.comment,
                    "held" if is_held else "waiting",
                    new.held_until,
                    new.held_with if is_held else "",
                    new.undecided,
                )
            )
    return rows, urgent
