"""Builds the statements for a page of events, in either engine's dialect."""

from collections.abc import Iterable
from dataclasses import dataclass

from relay.store.columns import without_nul
from relay.store.queries import (
    MAX_SCANNED_EVENTS,
    MAX_SCANNED_EVENTS_WITH_DELIVERIES,
    EventFilters,
)

SUMMARY_COLUMNS = "event_id, team, name, state, reason, received_at, person, about, skipped"
UNSUMMARIZED_COLUMNS = "id, team, name, state, reason, received_at, '', '', '{}'"
DELIVERY_SUMMARY_COLUMNS = "id, event_id, queue, state, attempts, next_at, error"


class Statement:
    """A statement under construction, with its parameters."""

    def __init__(self, *, postgres: bool) -> None:
        self.postgres = postgres
        self.text = ""
        self.values: list[object] = []

    def parameter(self, value: object) -> str:
        """Add a parameter; returns its placeholder."""
        self.values.append(without_nul(value) if self.postgres else value)
        return f"{'$' if self.postgres else '?'}{len(self.values)}"

    def parameters(self, values: Iterable[object]) -> str:
        return ", ".join(map(self.parameter, values))

    def table(self, name: str, index: str = "") -> str:
        """SQLite, which has no row counts to plan by, is told which index to use."""
        if self.postgres:
            return f"relay.{name}"
        return f"{name} INDEXED BY {index}" if index else name


@dataclass(frozen=True, slots=True)
class EventSearch:
    """A search for ``count`` events whose ids are below ``bound``, or above it if
    ``ascending``."""

    team: str | None
    filters: EventFilters
    bound: int
    ascending: bool
    count: int
    postgres: bool

    @property
    def scan_limit(self) -> int:
        """The number of events that a filter without an index reads."""
        by_delivery = self.filters.state in ("waiting", "sent")
        return MAX_SCANNED_EVENTS_WITH_DELIVERIES if by_delivery else MAX_SCANNED_EVENTS

    @property
    def is_scan(self) -> bool:
        """Whether one of the filters has no index."""
        filters = self.filters
        return bool(filters.state or filters.text or (filters.kind and self.team is not None))

    def summaries(self) -> Statement | None:
        """The events that were fanned out; None if the filters exclude all of them."""
        filters = self.filters
        if filters.state in ("stored", "unreadable"):
            return None
        sql = Statement(postgres=self.postgres)
        where = ["true"]
        if self.team is not None:
            where.append(f"event.team = {sql.parameter(self.team)}")
        if filters.kind:
            where.append(f"event.name = {sql.parameter(filters.kind)}")
        if filters.state == "ignored":
            where.append("event.state = 'ignored'")
        elif filters.state in ("waiting", "sent"):
            state = sql.parameter(filters.state)
            where.append(
                f"EXISTS (SELECT 1 FROM {sql.table('deliveries')} AS delivery"
                f" WHERE delivery.event_id = event.event_id AND delivery.state = {state})"
            )
        if filters.text:
            find = "strpos" if self.postgres else "instr"
            text = sql.parameter(filters.text.casefold())
            where.append(f"{find}(event.search_text, {text}) > 0")
        limit = self.scan_limit if self.is_scan else self.count
        source = f"({self._source(sql, limit)}) AS"
        if filters.state == "dead":
            source += f" dead JOIN {sql.table('summaries')} AS event ON dead.event_id ="
            source += " event.event_id"
        else:
            source += " event"
        columns = ", ".join(f"event.{column}" for column in SUMMARY_COLUMNS.split(", "))
        sql.text = (
            f"SELECT {columns} FROM {source} WHERE {' AND '.join(where)}"
            f" ORDER BY event.event_id {self._order} LIMIT {self.count}"
        )
        return sql

    def scan_end(self) -> Statement:
        """The last event that ``summaries`` reads, if it stops at its limit."""
        sql = Statement(postgres=self.postgres)
        source = self._source(sql, self.scan_limit)
        skip = self.scan_limit - 1
        sql.text = f"SELECT event_id FROM ({source}) AS event LIMIT 1 OFFSET {skip}"
        return sql

    def unsummarized(self) -> list[Statement]:
        """The events that were not fanned out: they wait for it, or are unreadable."""
        filters = self.filters
        states = [state for state in ("stored", "unreadable") if filters.state in ("", state)]
        return [] if filters.text else list(map(self._in_state, states))

    @property
    def _order(self) -> str:
        return "ASC" if self.ascending else "DESC"

    def _beyond(self, sql: Statement) -> str:
        return f"{'>' if self.ascending else '<'} {sql.parameter(self.bound)}"

    def _source(self, sql: Statement, limit: int) -> str:
        """The events to read, in the order of an index."""
        if self.filters.state == "dead":
            table = sql.table("deliveries", "deliveries_dead_events")
            columns, where = "DISTINCT event_id", "state = 'dead'"
        else:
            columns, where = "*", "true"
            index = ""
            if self.team is not None:
                where, index = f"team = {sql.parameter(self.team)}", "summaries_of_team"
            elif self.filters.kind:
                where, index = f"name = {sql.parameter(self.filters.kind)}", "summaries_of_name"
            table = sql.table("summaries", index)
        return (
            f"SELECT {columns} FROM {table} WHERE {where} AND event_id {self._beyond(sql)}"
            f" ORDER BY event_id {self._order} LIMIT {limit}"
        )

    def _in_state(self, state: str) -> Statement:
        sql = Statement(postgres=self.postgres)
        where = [f"state = '{state}'", f"id {self._beyond(sql)}"]
        if self.team is not None:
            where.append(f"team = {sql.parameter(self.team)}")
        if self.filters.kind:
            where.append(f"name = {sql.parameter(self.filters.kind)}")
        sql.text = (
            f"SELECT {UNSUMMARIZED_COLUMNS} FROM {sql.table('events', f'events_{state}')}"
            f" WHERE {' AND '.join(where)} ORDER BY id {self._order} LIMIT {self.count}"
        )
        return sql
