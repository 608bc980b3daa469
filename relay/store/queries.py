"""The inspector's queries and their results."""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from relay.store.engine import DELIVERY_COLUMNS, EVENT_COLUMNS, Engine, Parameters, Statement
from relay.store.records import Delivery, StoredEvent
from relay.store.search import (
    MAX_ID,
    SUMMARY_COLUMNS,
    UNSUMMARIZED_COLUMNS,
    EventFilters,
    EventSearch,
)

NEW_ROWS_LIMIT = 50
MAX_COUNTED = 10_000  # messages of a queue and state
FIRST_ATTEMPTS_COUNT, LAST_ATTEMPTS_COUNT = 5, 20
"""The attempts of a delivery that are kept; those between are deleted."""
MAX_DETAIL_LENGTH = 500  # characters of an attempt's detail

_DELIVERY_SUMMARY_COLUMNS = (
    "id, event_id, queue, state, attempts, next_at, error, held_until, undecided"
)


class DeliverySummary(NamedTuple):
    """A delivery in a row of the list."""

    id: int
    event_id: int
    queue: str
    state: str
    attempts: int
    next_at: float
    error: str
    held_until: float
    undecided: str


@dataclass(frozen=True, slots=True)
class EventRow:
    """An event in the list."""

    id: int
    team: str
    name: str
    state: str
    reason: str
    received_at: float
    person: str = ""
    about: str = ""
    skipped: Mapping[str, str] = field(default_factory=dict)
    """The channels that do not take the event, each with the filter or the reason."""
    counted: Mapping[str, int] = field(default_factory=dict)
    """The channels in which it is a part of a line, each with the event whose delivery that is."""
    deliveries: Sequence[DeliverySummary] = ()

    @property
    def is_open(self) -> bool:
        """Whether its state or that of a delivery can still change by itself."""
        return self.state == "stored" or any(
            one.state in ("waiting", "held") for one in self.deliveries
        )


@dataclass(frozen=True, slots=True)
class EventPage:
    """A page of the list, newest first."""

    rows: Sequence[EventRow]
    older: int | None = None
    """The next page has the events before this id; None on the last page."""
    newer: int | None = None
    """The previous page has the events after this id; None on the first page."""
    searched: int | None = None
    """The number of events that the filters read, if they stopped at their limit."""


class DeliveryAttempt(NamedTuple):
    """``outcome`` is sent, failed, dead or skipped."""

    delivery_id: int
    number: int
    at: float
    seconds: float
    outcome: str
    detail: str
    """The receipt or the error."""


@dataclass(frozen=True, slots=True)
class EventDetails:
    """An event with everything that the store has about it."""

    event: StoredEvent
    row: EventRow
    deliveries: Sequence[Delivery]
    attempts: Mapping[int, Sequence[DeliveryAttempt]]
    """By delivery: the first and the last attempts."""


class QueueStats(NamedTuple):
    """Statistics of a queue. Times are in seconds since 1970; 0 is never or, for ``next_at``,
    now."""

    queue: str
    waiting: int = 0
    """At most ``MAX_COUNTED``."""
    dead: int = 0
    """At most ``MAX_COUNTED``."""
    since: float = 0.0
    """When the first waiting message was queued or re-queued."""
    next_at: float = 0.0
    """Earliest time of this message's next attempt."""
    sent_at: float = 0.0
    failed_at: float = 0.0
    error: str = ""
    """Of the last failed attempt."""
    held: int = 0
    """At most ``MAX_COUNTED``."""
    held_until: float = 0.0
    """The first time at which held messages are released."""
    undecided: str = ""
    """Of the first waiting message."""


def queues_sql(state: str) -> str:
    """``found``, the queues with deliveries in this state: one index lookup for each queue, which
    skips the queue's other deliveries."""
    of_state = f"SELECT min(queue) FROM relay.deliveries WHERE state = '{state}'"
    return (
        f"WITH RECURSIVE found (queue) AS ({of_state} UNION ALL"
        f" SELECT ({of_state} AND queue > found.queue) FROM found WHERE queue IS NOT NULL)"
    )


def _in_state(state: str, columns: str, limit: int) -> str:
    return (
        f"(SELECT {columns} FROM relay.deliveries WHERE state = '{state}' AND queue = $1"
        f" ORDER BY id LIMIT {limit})"
    )


def _last(column: str) -> str:
    return f"(SELECT {column} FROM relay.queues WHERE queue = $1)"


_QUEUE_SQL = (
    f"SELECT (SELECT count(*) FROM {_in_state('waiting', 'id', MAX_COUNTED)} AS counted),"
    f" (SELECT count(*) FROM {_in_state('dead', 'id', MAX_COUNTED)} AS counted),"
    f" coalesce({_in_state('waiting', 'created_at', 1)}, 0),"
    f" coalesce({_in_state('waiting', 'next_at', 1)}, 0),"
    f" coalesce({_last('sent_at')}, 0), coalesce({_last('failed_at')}, 0),"
    f" coalesce({_last('error')}, ''),"
    f" (SELECT count(*) FROM {_in_state('held', 'id', MAX_COUNTED)} AS counted),"
    f" coalesce((SELECT min(held_until) FROM {_in_state('held', 'held_until', MAX_COUNTED)}"
    f" AS counted), 0), coalesce({_in_state('waiting', 'undecided', 1)}, '')"
)


class EventQueries:
    """``team`` restricts the result to the events of one team, None allows all; it has no default,
    so that no caller forgets it. All methods raise ``StoreUnavailable``."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def events(
        self,
        team: str | None,
        filters: EventFilters,
        *,
        before: int | None = None,
        after: int | None = None,
        limit: int = 50,
    ) -> EventPage:
        """The newest events; with ``before`` the newest of those with a smaller id; with ``after``
        the oldest of those with a larger id."""
        found = await self.search(team, filters, before=before, after=after, limit=limit)
        return replace(found, rows=await self._with_deliveries(found.rows))

    async def search(
        self,
        team: str | None,
        filters: EventFilters,
        *,
        before: int | None = None,
        after: int | None = None,
        limit: int,
    ) -> EventPage:
        """The same without deliveries."""
        lowest, highest = 0, MAX_ID
        if filters.is_timed:
            (((lowest, highest),),) = await self._engine.fetch_for_inspector(filters.id_range())
            if lowest is None or highest is None:
                return EventPage([])
        ascending = after is not None
        lowest = lowest if after is None else max(lowest, after + 1)
        highest = highest if before is None else min(highest, before - 1)
        search = EventSearch(team, filters, lowest, highest, ascending, limit + 1, self._engine)
        summaries = search.summaries()
        results = await self._engine.fetch_for_inspector(
            *search.unsummarized(), *([summaries] if summaries else [])
        )
        scan_end: int | None = None
        if summaries and search.is_scan and len(results[-1]) <= limit:
            (ends,) = await self._engine.fetch_for_inspector(search.scan_end())
            scan_end = ends[0][0] if ends else None
        by_id = {row.id: row for part in results for row in map(_row, part)}
        rows = sorted(by_id.values(), key=lambda row: row.id)
        if after is not None:
            rows = [row for row in rows if scan_end is None or row.id <= scan_end]
            more, rows = len(rows) > limit, rows[:limit][::-1]
            newer = rows[0].id if more else scan_end
            older: int | None = rows[-1].id if rows else after + 1
        else:
            rows = [row for row in rows[::-1] if scan_end is None or row.id >= scan_end]
            more, rows = len(rows) > limit, rows[:limit]
            older = rows[-1].id if more else scan_end
            newer = None if before is None else rows[0].id if rows else before - 1
        searched = search.scan_limit if scan_end is not None else None
        return EventPage(rows, older, newer, searched)

    async def rows(
        self, team: str | None, ids: Collection[int], *, after: int | None = None
    ) -> list[EventRow]:
        """The rows of these events, and with ``after`` also those with a larger id of the newest
        ``NEW_ROWS_LIMIT``; newest first. Unknown ids are left out."""
        values = Parameters()
        where = f"IN ({values.add_all(ids or [-1])}) AND {values.equal(team=team)}"
        results = await self._engine.fetch_for_inspector(
            Statement(
                f"SELECT {SUMMARY_COLUMNS} FROM relay.summaries WHERE event_id {where}", values
            ),
            Statement(
                f"SELECT {UNSUMMARIZED_COLUMNS} FROM relay.events WHERE id {where}"
                " AND state IN ('stored', 'unreadable')",
                values,
            ),
        )
        rows = [_row(values) for part in results for values in part]
        if after is not None:
            page = await self.events(team, EventFilters(), limit=NEW_ROWS_LIMIT)
            known = {row.id for row in rows}
            rows += [row for row in page.rows if row.id > after and row.id not in known]
        return await self._with_deliveries(sorted(rows, key=lambda row: -row.id))

    async def event(self, team: str | None, event_id: int) -> EventDetails | None:
        of_event, of_summary = Parameters(), Parameters()
        events, summaries, results = await self._engine.fetch_for_inspector(
            Statement(
                f"SELECT {EVENT_COLUMNS} FROM relay.events"
                f" WHERE {of_event.equal(id=event_id, team=team)}",
                of_event,
            ),
            Statement(
                f"SELECT {SUMMARY_COLUMNS} FROM relay.summaries"
                f" WHERE {of_summary.equal(event_id=event_id, team=team)}",
                of_summary,
            ),
            Statement(
                f"SELECT {DELIVERY_COLUMNS} FROM relay.deliveries WHERE event_id = $1 ORDER BY id",
                (event_id,),
            ),
        )
        if not events:
            return None
        event = StoredEvent(*events[0])
        row = _row(summaries[0]) if summaries else _unsummarized_row(event)
        deliveries = [Delivery(*values) for values in results]
        attempts: dict[int, list[DeliveryAttempt]] = {delivery.id: [] for delivery in deliveries}
        sql = (
            "SELECT delivery_id, number, at, seconds, outcome, detail FROM relay.attempts"
            " WHERE delivery_id = ANY($1::int8[]) ORDER BY delivery_id, number"
        )
        ids = [(delivery.id,) for delivery in deliveries]
        (attempt_rows,) = await self._engine.fetch_for_inspector(Statement(sql, rows=ids))
        for attempt in map(DeliveryAttempt._make, attempt_rows):
            attempts[attempt.delivery_id].append(attempt)
        return EventDetails(event, row, deliveries, attempts)

    async def queues(self, names: Collection[str]) -> dict[str, QueueStats]:
        """The caller passes only queues that the viewer may see."""
        if not names:
            return {}
        results = await self._engine.fetch_for_inspector(
            *(Statement(_QUEUE_SQL, (name,)) for name in names)
        )
        return {name: QueueStats(name, *rows[0]) for name, rows in zip(names, results, strict=True)}

    async def _with_deliveries(self, rows: Sequence[EventRow]) -> list[EventRow]:
        if not rows:
            return []
        values = Parameters()
        sql = (
            f"SELECT {_DELIVERY_SUMMARY_COLUMNS} FROM relay.deliveries"
            f" WHERE event_id IN ({values.add_all([row.id for row in rows])})"
        )
        (results,) = await self._engine.fetch_for_inspector(Statement(sql, values))
        summaries = sorted(map(DeliverySummary._make, results))
        waiting_queues = {each.queue for each in summaries if each.state == "waiting"}
        heads = await self._next_attempts(waiting_queues)
        deliveries: dict[int, list[DeliverySummary]] = {row.id: [] for row in rows}
        for delivery in summaries:
            if delivery.state == "waiting":
                next_at = max(delivery.next_at, heads.get(delivery.queue, 0.0))
                delivery = delivery._replace(next_at=next_at)
            deliveries[delivery.event_id].append(delivery)
        return [replace(row, deliveries=deliveries[row.id]) for row in rows]

    async def _next_attempts(self, queues: Collection[str]) -> dict[str, float]:
        """The time of the next attempt at each queue's first message; the others wait for it."""
        if not queues:
            return {}
        sql = (
            "SELECT queue, next_at FROM relay.deliveries WHERE state = 'waiting' AND queue = $1"
            " ORDER BY id LIMIT 1"
        )
        results = await self._engine.fetch_for_inspector(
            *(Statement(sql, (queue,)) for queue in queues)
        )
        return {queue: next_at for rows in results for queue, next_at in rows}


def _row(values: Sequence[Any]) -> EventRow:
    id_, team, name, state, reason, received_at, person, about, skipped, counted = values
    skips, counts = json.loads(skipped), json.loads(counted)
    return EventRow(id_, team, name, state, reason, received_at, person, about, skips, counts)


def _unsummarized_row(event: StoredEvent) -> EventRow:
    return EventRow(event.id, event.team, event.name, event.state, event.reason, event.received_at)
