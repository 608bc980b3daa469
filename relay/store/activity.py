"""Activity lines: what they count, and their deliveries.

A line has one delivery for each message and each edit of it. While one is held it takes the line's
latest message, so that the events that follow have no delivery of their own; neither have those of
one transaction but one.
"""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from relay.store import attempts
from relay.store.engine import Engine, Statement, Steps
from relay.store.records import FanOutResult, LineUpdate, NewDelivery, queue_lease

REPLACED = "replaced by a later one"
DROP_BATCH_SIZE = 100  # edits that one transaction drops

LineKey = tuple[str, str]
"""A queue, and the id of a line."""

_COUNTS_SQL = (
    "SELECT activity.queue, activity.line, counts FROM relay.activity,"
    " unnest($1::text[], $2::text[]) AS new (of_queue, of_line)"
    " WHERE activity.queue = new.of_queue AND activity.line = new.of_line"
)
_SAVE_COUNTS_SQL = (
    "INSERT INTO relay.activity (queue, line, counts, at)"
    " SELECT new.queue, new.line, new.counts, $4"
    " FROM unnest($1::text[], $2::text[], $3::text[]) AS new (queue, line, counts)"
    " WHERE true ON CONFLICT (line, queue)"
    " DO UPDATE SET counts = excluded.counts, at = excluded.at"
)
_HELD_SQL = (
    "SELECT queue, held_with, id, event_id, length(message) FROM relay.deliveries,"
    " unnest($1::text[], $2::text[]) AS new (of_queue, of_line)"
    " WHERE state = 'held' AND queue = new.of_queue AND held_with = new.of_line"
)
_UPDATE_HELD_SQL = (
    "UPDATE relay.deliveries SET message = new.text"
    " FROM unnest($1::int8[], $2::text[]) AS new (delivery, text)"
    " WHERE state = 'held' AND id = new.delivery RETURNING id"
)
_WAITING_SQL = (
    "SELECT id, event_id FROM relay.deliveries WHERE thread = $1 AND thread <> '' AND queue = $2"
    " AND state = 'waiting' ORDER BY id LIMIT $3"
)


class Activity:
    """All methods raise ``StoreUnavailable``."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def counts(self, keys: Collection[LineKey]) -> dict[LineKey, str]:
        """What these lines count; those that do not exist are left out."""
        rows = await self._engine.fetch(_COUNTS_SQL, rows=list(keys))
        return {(queue, line): counts for queue, line, counts in rows}

    async def drop_replaced(self, queue: str, line: str) -> list[int]:
        """Skip the waiting deliveries of a line but the last one, which has its latest text;
        returns the ids of their events. Raises ``LeaseLost``."""
        limit = DROP_BATCH_SIZE + 1
        if len(await self._engine.fetch(_WAITING_SQL, line, queue, 2)) < 2:
            return []

        def work() -> Steps[list[int]]:
            yield from self._engine.require_lease(queue_lease(queue))
            *replaced, _ = yield Statement(_WAITING_SQL, (line, queue, limit))
            for id_, _ in replaced:
                yield from attempts.failed(id_, "skipped", 0.0, REPLACED, 0.0)
            return [event_id for _, event_id in replaced]

        return await self._engine.write(work)


def save_lines(
    results: Sequence[FanOutResult], now: float
) -> Steps[tuple[list[FanOutResult], dict[str, int]]]:
    """Store what the lines count, and give each of them one delivery: returns the results with
    these deliveries, or with the event that has it, and by team the bytes by which held ones
    grow."""
    updates: dict[LineKey, list[tuple[int, LineUpdate]]] = {}
    teams: dict[LineKey, str] = {}
    for result in results:
        for update in result.lines:
            key = update.queue, update.line
            updates.setdefault(key, []).append((result.event_id, update))
            teams[key] = result.team
    if not updates:
        return list(results), {}
    latest = {key: updates[key][-1][1] for key in sorted(updates)}
    yield Statement(_SAVE_COUNTS_SQL, (now,), [(*key, one.counts) for key, one in latest.items()])
    shown_by, growth = yield from _update_held(latest, teams)
    new: dict[LineKey, NewDelivery] = {}
    for key in latest.keys() - shown_by.keys():
        shown_by[key], new[key] = _delivery(updates[key])
    return [_with_lines(result, shown_by, new) for result in results], growth


def _update_held(
    latest: Mapping[LineKey, LineUpdate], teams: Mapping[LineKey, str]
) -> Steps[tuple[dict[LineKey, int], dict[str, int]]]:
    """The events whose held deliveries take the latest message of their line, and by team the bytes
    by which these grow."""
    held = yield Statement(_HELD_SQL, rows=list(latest))
    texts = {id_: latest[queue, line].message for queue, line, id_, *_ in held}
    # another replica may release some meanwhile
    updated = {id_ for (id_,) in (yield Statement(_UPDATE_HELD_SQL, rows=sorted(texts.items())))}
    growth: Counter[str] = Counter()
    shown_by = {}
    for queue, line, id_, event_id, length in held:
        if id_ in updated:
            shown_by[queue, line] = event_id
            growth[teams[queue, line]] += len(texts[id_]) - length
    return shown_by, growth


def _delivery(updates: Sequence[tuple[int, LineUpdate]]) -> tuple[int, NewDelivery]:
    """The only delivery of several events of a line, and the event that it belongs to: the latest
    edit, or the first message with the latest text."""
    (first_id, first), (last_id, last) = updates[0], updates[-1]
    if first.is_edit:
        return last_id, last.delivery
    return first_id, replace(first.delivery, message=last.message)


def _with_lines(
    result: FanOutResult,
    shown_by: Mapping[LineKey, int],
    new: Mapping[LineKey, NewDelivery],
) -> FanOutResult:
    deliveries, counted = list(result.deliveries), dict(result.counted or {})
    for update in result.lines:
        key = update.queue, update.line
        if shown_by[key] != result.event_id:
            counted[update.queue.rpartition("/")[2]] = shown_by[key]
        elif key in new:
            deliveries.append(new[key])
    return replace(result, deliveries=deliveries, counted=counted)


def prune(before: float) -> Steps[None]:
    """Delete the counts of lines without events since that time."""
    yield Statement("DELETE FROM relay.activity WHERE at < $1", (before,))
