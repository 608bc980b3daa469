"""The statements that look for a page of events, in the words of either kind of store."""

from collections.abc import Iterable
from dataclasses import dataclass

from relay.store.columns import fit
from relay.store.reading import SCANNED, SCANNED_DELIVERIES, Filters

SUMMARY = "event_id, team, name, state, reason, received_at, person, about, passed"
EVENT = "id, team, name, state, reason, received_at, '', '', '{}'"
MARK = "id, event_id, queue, state, attempts, next_at, error"


class Statement:
    """A statement that is being written, with its values."""

    def __init__(self, *, postgres: bool) -> None:
        self.postgres = postgres
        self.text = ""
        self.values: list[object] = []

    def mark(self, value: object) -> str:
        """The mark that stands for a value."""
        self.values.append(fit(value) if self.postgres else value)
        return f"{'$' if self.postgres else '?'}{len(self.values)}"

    def marks(self, values: Iterable[object]) -> str:
        """The marks of a list of values."""
        return ", ".join(map(self.mark, values))

    def table(self, name: str, index: str = "") -> str:
        """A table. SQLite, which keeps no count of rows, is told by which index to read it."""
        if self.postgres:
            return f"relay.{name}"
        return f"{name} INDEXED BY {index}" if index else name


@dataclass(frozen=True, slots=True)
class Search:
    """One look for events. ``bound``: their ids are below it, or above it where ``up``; ``count``
    is how many are wanted."""

    team: str | None
    filters: Filters
    bound: int
    up: bool
    count: int
    postgres: bool

    @property
    def scanned(self) -> int:
        """At how many events a filter without an index looks."""
        by_delivery = self.filters.state in ("waiting", "sent")
        return SCANNED_DELIVERIES if by_delivery else SCANNED

    @property
    def is_scan(self) -> bool:
        """Whether a filter without an index is among the filters."""
        filters = self.filters
        return bool(filters.state or filters.text or (filters.kind and self.team is not None))

    def summaries(self) -> Statement | None:
        """Those that were fanned out; None where these are not wanted."""
        filters = self.filters
        if filters.state in ("stored", "unreadable"):
            return None
        sql = Statement(postgres=self.postgres)
        where = ["true"]
        if self.team is not None:
            where.append(f"one.team = {sql.mark(self.team)}")
        if filters.kind:
            where.append(f"one.name = {sql.mark(filters.kind)}")
        if filters.state == "ignored":
            where.append("one.state = 'ignored'")
        elif filters.state in ("waiting", "sent"):
            state = sql.mark(filters.state)
            where.append(
                f"EXISTS (SELECT 1 FROM {sql.table('deliveries')} AS its"
                f" WHERE its.event_id = one.event_id AND its.state = {state})"
            )
        if filters.text:
            find = "strpos" if self.postgres else "instr"
            where.append(f"{find}(one.words, {sql.mark(filters.text.casefold())}) > 0")
        limit = self.scanned if self.is_scan else self.count
        among = f"({self._source(sql, limit)}) AS"
        if filters.state == "dead":
            among += f" dead JOIN {sql.table('summaries')} AS one ON dead.event_id ="
            among += " one.event_id"
        else:
            among += " one"
        columns = ", ".join(f"one.{column}" for column in SUMMARY.split(", "))
        sql.text = (
            f"SELECT {columns} FROM {among} WHERE {' AND '.join(where)}"
            f" ORDER BY one.event_id {self._order} LIMIT {self.count}"
        )
        return sql

    def edge(self) -> Statement:
        """The last event that ``summaries`` looks at, where there are so many."""
        sql = Statement(postgres=self.postgres)
        source = self._source(sql, self.scanned)
        skip = self.scanned - 1
        sql.text = f"SELECT event_id FROM ({source}) AS one LIMIT 1 OFFSET {skip}"
        return sql

    def others(self) -> list[Statement]:
        """Those that were not fanned out: they wait for it, or can't be read."""
        filters = self.filters
        wanted = [state for state in ("stored", "unreadable") if filters.state in ("", state)]
        return [] if filters.text else list(map(self._in_state, wanted))

    @property
    def _order(self) -> str:
        return "ASC" if self.up else "DESC"

    def _beyond(self, sql: Statement) -> str:
        return f"{'>' if self.up else '<'} {sql.mark(self.bound)}"

    def _source(self, sql: Statement, limit: int) -> str:
        """The events that are looked at, by an index."""
        if self.filters.state == "dead":
            table = sql.table("deliveries", "deliveries_dead_events")
            columns, where = "DISTINCT event_id", "state = 'dead'"
        else:
            columns, where = "*", "true"
            index = ""
            if self.team is not None:
                where, index = f"team = {sql.mark(self.team)}", "summaries_of_team"
            elif self.filters.kind:
                where, index = f"name = {sql.mark(self.filters.kind)}", "summaries_of_name"
            table = sql.table("summaries", index)
        return (
            f"SELECT {columns} FROM {table} WHERE {where} AND event_id {self._beyond(sql)}"
            f" ORDER BY event_id {self._order} LIMIT {limit}"
        )

    def _in_state(self, state: str) -> Statement:
        sql = Statement(postgres=self.postgres)
        where = [f"state = '{state}'", f"id {self._beyond(sql)}"]
        if self.team is not None:
            where.append(f"team = {sql.mark(self.team)}")
        if self.filters.kind:
            where.append(f"name = {sql.mark(self.filters.kind)}")
        sql.text = (
            f"SELECT {EVENT} FROM {sql.table('events', f'events_{state}')}"
            f" WHERE {' AND '.join(where)} ORDER BY id {self._order} LIMIT {self.count}"
        )
        return sql
