"""The inspector's queries for both engines."""

import json
from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from dataclasses import replace
from typing import Any

from relay.store.columns import DELIVERY_COLUMNS, EVENT_COLUMNS
from relay.store.event_search import (
    DELIVERY_SUMMARY_COLUMNS,
    SUMMARY_COLUMNS,
    UNSUMMARIZED_COLUMNS,
    EventSearch,
    Statement,
)
from relay.store.queries import (
    MAX_COUNTED,
    NEW_ROWS_LIMIT,
    DeliveryAttempt,
    DeliverySummary,
    EventDetails,
    EventFilters,
    EventPage,
    EventRow,
    QueueStats,
)
from relay.store.records import Delivery, StoredEvent

_MAX_ID = 2**63 - 1
Fetch = Callable[[Sequence[Statement]], Awaitable[list[list[Sequence[Any]]]]]
"""Runs statements on one connection; returns the rows of each."""


class SqlEventQueries:
    def __init__(self, fetch: Fetch, *, postgres: bool) -> None:
        self._fetch = fetch
        self._postgres = postgres

    def _statement(self) -> Statement:
        return Statement(postgres=self._postgres)

    async def events(
        self,
        team: str | None,
        filters: EventFilters,
        *,
        before: int | None = None,
        after: int | None = None,
        limit: int = 50,
    ) -> EventPage:
        ascending = after is not None
        bound = after if after is not None else before if before is not None else _MAX_ID
        search = EventSearch(team, filters, bound, ascending, limit + 1, self._postgres)
        summaries = search.summaries()
        results = await self._fetch([*search.unsummarized(), *([summaries] if summaries else [])])
        scan_end: int | None = None
        if summaries and search.is_scan and len(results[-1]) <= limit:
            (ends,) = await self._fetch([search.scan_end()])
            scan_end = ends[0][0] if ends else None
        rows = sorted((_row(values) for part in results for values in part), key=lambda row: row.id)
        if ascending:
            rows = [row for row in rows if scan_end is None or row.id <= scan_end]
            more, rows = len(rows) > limit, rows[:limit][::-1]
            newer = rows[0].id if more else scan_end
            older: int | None = rows[-1].id if rows else bound + 1
        else:
            rows = [row for row in rows[::-1] if scan_end is None or row.id >= scan_end]
            more, rows = len(rows) > limit, rows[:limit]
            older = rows[-1].id if more else scan_end
            newer = None if before is None else rows[0].id if rows else before - 1
        searched = search.scan_limit if scan_end is not None else None
        return EventPage(await self._with_deliveries(rows), older, newer, searched)

    async def rows(
        self, team: str | None, ids: Collection[int], *, after: int | None = None
    ) -> list[EventRow]:
        statements = []
        for columns, table, key, condition in (
            (SUMMARY_COLUMNS, "summaries", "event_id", ""),
            (UNSUMMARIZED_COLUMNS, "events", "id", " AND state IN ('stored', 'unreadable')"),
        ):
            sql = self._statement()
            where = f"{key} IN ({sql.parameters(ids)})" if ids else "false"
            statements.append(self._of_team(sql, team, columns, table, where + condition))
        rows = [_row(values) for part in await self._fetch(statements) for values in part]
        if after is not None:
            page = await self.events(team, EventFilters(), limit=NEW_ROWS_LIMIT)
            known = {row.id for row in rows}
            rows += [row for row in page.rows if row.id > after and row.id not in known]
        return await self._with_deliveries(sorted(rows, key=lambda row: -row.id))

    async def event(self, team: str | None, event_id: int) -> EventDetails | None:
        sql, summary, of_event = (self._statement() for _ in range(3))
        self._of_team(sql, team, EVENT_COLUMNS, "events", f"id = {sql.parameter(event_id)}")
        where = f"event_id = {summary.parameter(event_id)}"
        self._of_team(summary, team, SUMMARY_COLUMNS, "summaries", where)
        of_event.text = (
            f"SELECT {DELIVERY_COLUMNS} FROM {of_event.table('deliveries')}"
            f" WHERE event_id = {of_event.parameter(event_id)} ORDER BY id"
        )
        events, summaries, results = await self._fetch([sql, summary, of_event])
        if not events:
            return None
        event = StoredEvent(*events[0])
        row = _row(summaries[0]) if summaries else _row([*_list_columns(event), "", "", "{}"])
        deliveries = [Delivery(*values) for values in results]
        attempts: dict[int, list[DeliveryAttempt]] = {delivery.id: [] for delivery in deliveries}
        if deliveries:
            sql = self._statement()
            ids = sql.parameters(attempts)
            sql.text = (
                "SELECT delivery_id, number, at, seconds, outcome, detail"
                f" FROM {sql.table('attempts')} WHERE delivery_id IN ({ids})"
                " ORDER BY delivery_id, number"
            )
            for values in (await self._fetch([sql]))[0]:
                attempts[values[0]].append(DeliveryAttempt(*values))
        return EventDetails(event, row, deliveries, attempts)

    async def queues(self, names: Collection[str]) -> dict[str, QueueStats]:
        statements = [self._queue(name) for name in names]
        results = await self._fetch(statements) if statements else []
        return {name: QueueStats(name, *rows[0]) for name, rows in zip(names, results, strict=True)}

    def _queue(self, name: str) -> Statement:
        sql = self._statement()
        queue = sql.parameter(name)
        deliveries = sql.table("deliveries")

        def in_state(state: str, columns: str, limit: int) -> str:
            return (
                f"(SELECT {columns} FROM {deliveries} WHERE state = '{state}' AND queue = {queue}"
                f" ORDER BY id LIMIT {limit})"
            )

        def last(column: str) -> str:
            return f"(SELECT {column} FROM {sql.table('queues')} WHERE queue = {queue})"

        sql.text = (
            f"SELECT (SELECT count(*) FROM {in_state('waiting', 'id', MAX_COUNTED)} AS counted),"
            f" (SELECT count(*) FROM {in_state('dead', 'id', MAX_COUNTED)} AS counted),"
            f" coalesce({in_state('waiting', 'created_at', 1)}, 0),"
            f" coalesce({in_state('waiting', 'next_at', 1)}, 0),"
            f" coalesce({last('sent_at')}, 0), coalesce({last('failed_at')}, 0),"
            f" coalesce({last('error')}, '')"
        )
        return sql

    def _of_team(
        self, sql: Statement, team: str | None, columns: str, table: str, where: str
    ) -> Statement:
        if team is not None:
            where = f"({where}) AND team = {sql.parameter(team)}"
        sql.text = f"SELECT {columns} FROM {sql.table(table)} WHERE {where}"
        return sql

    async def _with_deliveries(self, rows: Sequence[EventRow]) -> list[EventRow]:
        if not rows:
            return []
        sql = self._statement()
        ids = sql.parameters(row.id for row in rows)
        sql.text = (
            f"SELECT {DELIVERY_SUMMARY_COLUMNS} FROM {sql.table('deliveries')}"
            f" WHERE event_id IN ({ids})"
        )
        summaries = sorted(DeliverySummary(*values) for values in (await self._fetch([sql]))[0])
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
        statements = []
        for queue in queues:
            sql = self._statement()
            sql.text = (
                f"SELECT queue, next_at FROM {sql.table('deliveries')}"
                f" WHERE state = 'waiting' AND queue = {sql.parameter(queue)} ORDER BY id LIMIT 1"
            )
            statements.append(sql)
        results = await self._fetch(statements) if statements else []
        return {queue: next_at for rows in results for queue, next_at in rows}


def _row(values: Sequence[Any]) -> EventRow:
    id_, team, name, state, reason, received_at, person, about, skipped = values
    skips = json.loads(skipped)
    return EventRow(id_, team, name, state, reason, received_at, person, about, skips)


def _list_columns(event: StoredEvent) -> Iterable[Any]:
    return event.id, event.team, event.name, event.state, event.reason, event.received_at
