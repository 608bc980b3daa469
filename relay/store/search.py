"""The search for events: its filters and its SQL, which reads a bounded part of an index."""

from collections.abc import Sequence
from dataclasses import dataclass

from relay.store.engine import Engine, Parameters, Statement
from relay.store.records import DELIVERY_STATES

MAX_SCANNED_EVENTS = 30_000
"""Events that a filter without an index reads for one page, in about 50 ms."""
MAX_SCANNED_EVENTS_WITH_DELIVERIES = 8_000
"""The same for a filter that also reads each event's deliveries."""
MAX_UNORDERED_COUNT = 1000
"""Events of which ids and times may be in different orders: those that replicas receive at the same
time, or that a batch stores together."""
MAX_INDEX_READS = 16
"""Queues or names that are looked up one by one; with more of them the search reads all events."""

FILTER_STATES = ("stored", "unreadable", "ignored", *DELIVERY_STATES)
"""States of events, and of at least one delivery of an event."""
MAX_ID = 2**63 - 1
SUMMARY_COLUMNS = (
    "event_id, team, name, state, reason, received_at, person, about, skipped, counted"
)
UNSUMMARIZED_COLUMNS = "id, team, name, state, reason, received_at, '', '', '{}', '{}'"


@dataclass(frozen=True, slots=True)
class EventFilters:
    """An empty field excludes no event."""

    names: Sequence[str] | None = None
    """Penpot's names of the events; None allows all, an empty list none."""
    state: str = ""
    """One of ``EVENT_STATES`` or ``DELIVERY_STATES``."""
    text: str = ""
    """Substring of the event's name, person or ``about``; case-insensitive."""
    queues: Sequence[str] = ()
    """The event has a delivery in one of these queues. With the state of a delivery this delivery
    has it."""
    since: float | None = None
    """The event was received at this time or later, in seconds since 1970."""
    until: float | None = None
    """The event was received before this time."""

    def __bool__(self) -> bool:
        return self != EventFilters()

    @property
    def is_timed(self) -> bool:
        return self.since is not None or self.until is not None

    @property
    def allows_no_name(self) -> bool:
        return self.names is not None and not self.names

    def id_range(self) -> Statement:
        """The lowest and the highest id between ``since`` and ``until``, null where there is none.
        Events between them may still be outside of that time."""
        values = Parameters()

        def bound(extreme: str, is_between: str, time: float, order: str) -> str:
            return (
                f"(SELECT {extreme}(id) FROM (SELECT id FROM relay.events WHERE received_at"
                f" {is_between} {values.add(time)} ORDER BY received_at {order}"
                f" LIMIT {MAX_UNORDERED_COUNT}) AS nearest)"
            )

        lowest = "0" if self.since is None else bound("min", ">=", self.since, "ASC")
        highest = str(MAX_ID) if self.until is None else bound("max", "<", self.until, "DESC")
        return Statement(f"SELECT {lowest}, {highest}", values)


@dataclass(frozen=True, slots=True)
class EventSearch:
    """A search for ``count`` events with ids from ``lowest`` to ``highest``: the newest ones, or
    the oldest if ``ascending``."""

    team: str | None
    filters: EventFilters
    lowest: int
    highest: int
    ascending: bool
    count: int
    engine: Engine

    @property
    def scan_limit(self) -> int:
        """The number of events that a filter without an index reads."""
        filters = self.filters
        if self._reads_deliveries:
            return MAX_SCANNED_EVENTS_WITH_DELIVERIES
        if filters.state or filters.text or self._scans_names:
            return MAX_SCANNED_EVENTS
        return self.count + MAX_UNORDERED_COUNT

    @property
    def is_scan(self) -> bool:
        """Whether one of the filters has no index, or is less exact than it."""
        filters = self.filters
        is_of_other_team = bool(filters.queues) and self.team is not None
        is_scan = (
            self._reads_deliveries or self._scans_names or filters.is_timed or is_of_other_team
        )
        return bool(filters.state or filters.text or is_scan)

    @property
    def _reads_deliveries(self) -> bool:
        filters = self.filters
        if filters.state == "dead":  # it has an index of its own, without the queue
            return bool(filters.queues)
        return filters.state in DELIVERY_STATES or len(filters.queues) > MAX_INDEX_READS

    @property
    def _scans_names(self) -> bool:
        """Whether another index is read, or none."""
        filters = self.filters
        if filters.names is None:
            return False
        is_other = filters.text or filters.state or filters.queues or self.team is not None
        return bool(is_other) or len(filters.names) > MAX_INDEX_READS

    def summaries(self) -> Statement | None:
        """The events that were fanned out; None if the filters exclude all of them."""
        filters = self.filters
        if filters.state in ("stored", "unreadable") or filters.allows_no_name:
            return None
        values = Parameters()
        where = [values.equal(team=self.team), self._of_name_and_time(values)]
        if filters.state in ("ignored", "fanned-out"):
            where.append(f"state = {values.add(filters.state)}")
        if self._reads_deliveries:
            where.append(self._has_delivery(values))
        if filters.text:
            text = values.add(filters.text.casefold())
            where.append(f"strpos(event.search_text, {text}) > 0")
        source, columns = self._source(values, self.scan_limit if self.is_scan else self.count)
        if columns == "*":
            source = f"({source}) AS event"
        else:
            source = (
                f"({source}) AS source"
                " JOIN relay.summaries AS event ON source.event_id = event.event_id"
            )
        selected = ", ".join(f"event.{column}" for column in SUMMARY_COLUMNS.split(", "))
        sql = (
            f"SELECT {selected} FROM {source} WHERE {' AND '.join(where)}"
            f" ORDER BY event.event_id {self._order} LIMIT {self.count}"
        )
        return Statement(sql, values)

    def scan_end(self) -> Statement:
        """The last event that ``summaries`` reads, if it stops at its limit."""
        values = Parameters()
        source, _ = self._source(values, self.scan_limit)
        skip = self.scan_limit - 1
        return Statement(f"SELECT event_id FROM ({source}) AS event LIMIT 1 OFFSET {skip}", values)

    def unsummarized(self) -> list[Statement]:
        """The events that were not fanned out: they wait for it, or are unreadable."""
        filters = self.filters
        if filters.text or filters.queues or filters.allows_no_name:
            return []
        states = [state for state in ("stored", "unreadable") if filters.state in ("", state)]
        return list(map(self._in_state, states))

    @property
    def _order(self) -> str:
        return "ASC" if self.ascending else "DESC"

    def _of_name_and_time(self, values: Parameters) -> str:
        filters = self.filters
        conditions = ["true"]
        if filters.names:
            conditions.append(f"name IN ({values.add_all(filters.names)})")
        if filters.since is not None:
            conditions.append(f"received_at >= {values.add(filters.since)}")
        if filters.until is not None:
            conditions.append(f"received_at < {values.add(filters.until)}")
        return " AND ".join(conditions)

    def _has_delivery(self, values: Parameters) -> str:
        state, queues = self.filters.state, self.filters.queues
        where = values.equal(**{"delivery.state": state if state in DELIVERY_STATES else None})
        if queues:
            where += f" AND delivery.queue IN ({values.add_all(queues)})"
        return (
            "EXISTS (SELECT 1 FROM relay.deliveries AS delivery"
            f" WHERE delivery.event_id = event.event_id AND {where})"
        )

    def _source(self, values: Parameters, limit: int) -> tuple[str, str]:
        """The events to read, in the order of an index, and the columns of this query."""
        filters = self.filters
        every = "* FROM relay.summaries"
        if filters.state == "dead":
            wheres, index = ["state = 'dead'"], "deliveries_dead_events"
            every = "DISTINCT event_id FROM relay.deliveries"
        elif filters.queues and len(filters.queues) <= MAX_INDEX_READS:
            wheres = [f"queue = {values.add(queue)}" for queue in filters.queues]
            every, index = "DISTINCT event_id FROM relay.deliveries", "deliveries_of_queue"
        elif self.team is not None:
            wheres, index = [f"team = {values.add(self.team)}"], "summaries_of_team"
        elif filters.names and not self._scans_names:
            wheres = [f"name = {values.add(name)}" for name in filters.names]
            index = "summaries_of_name"
        else:
            wheres, index = ["true"], ""
        hint = self.engine.index_hint(index) if index else ""
        ids = f"event_id BETWEEN {values.add(self.lowest)} AND {values.add(self.highest)}"
        end = f"ORDER BY event_id {self._order} LIMIT {limit}"
        reads = [f"SELECT {every}{hint} WHERE {where} AND {ids} {end}" for where in wheres]
        source = reads[0]
        if len(reads) > 1:
            union = " UNION ".join(
                f"SELECT * FROM ({read}) AS read_{number}" for number, read in enumerate(reads)
            )
            source = f"SELECT * FROM ({union}) AS every_read {end}"
        return source, "*" if every.startswith("*") else "event_id"

    def _in_state(self, state: str) -> Statement:
        values = Parameters()
        where = (
            f"state = '{state}' AND id BETWEEN {values.add(self.lowest)}"
            f" AND {values.add(self.highest)} AND {values.equal(team=self.team)}"
            f" AND {self._of_name_and_time(values)}"
        )
        hint = self.engine.index_hint(f"events_{state}")
        sql = (
            f"SELECT {UNSUMMARIZED_COLUMNS} FROM relay.events{hint}"
            f" WHERE {where} ORDER BY id {self._order} LIMIT {self.count}"
        )
        return Statement(sql, values)
