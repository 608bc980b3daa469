"""Reading for the inspector, alike for both kinds of store."""

import json
from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from dataclasses import replace
from typing import Any

from relay.store.base import Delivery, StoredEvent
from relay.store.columns import DELIVERY
from relay.store.columns import EVENT as STORED
from relay.store.reading import (
    MOST_WAITING,
    NEWEST,
    DeliveryAttempt,
    Filters,
    Listing,
    Mark,
    QueueStats,
    Row,
    Whole,
)
from relay.store.statements import EVENT, MARK, SUMMARY, Search, Statement

_LAST = 2**63 - 1
Fetch = Callable[[Sequence[Statement]], Awaitable[list[list[Sequence[Any]]]]]
"""Runs statements on one connection; the rows of each."""


class StoreReading:
    """``Reading`` with a store's ``fetch``."""

    def __init__(self, fetch: Fetch, *, postgres: bool) -> None:
        self._fetch = fetch
        self._postgres = postgres

    async def events(
        self,
        team: str | None,
        filters: Filters,
        *,
        before: int | None = None,
        after: int | None = None,
        limit: int = 50,
    ) -> Listing:
        """See ``Reading``."""
        up = after is not None
        bound = after if after is not None else before if before is not None else _LAST
        search = Search(team, filters, bound, up, limit + 1, self._postgres)
        summaries = search.summaries()
        others = search.others()
        found = await self._fetch([*others, *([summaries] if summaries else [])])
        edge: int | None = None
        if summaries and search.is_scan and len(found[-1]) <= limit:
            (last,) = await self._fetch([search.edge()])
            edge = last[0][0] if last else None
        rows = sorted((_row(one) for part in found for one in part), key=lambda row: row.id)
        if up:
            rows = [row for row in rows if edge is None or row.id <= edge]
            more, rows = len(rows) > limit, rows[:limit][::-1]
            newer = rows[0].id if more else edge
            older: int | None = rows[-1].id if rows else bound + 1
        else:
            rows = [row for row in rows[::-1] if edge is None or row.id >= edge]
            more, rows = len(rows) > limit, rows[:limit]
            older = rows[-1].id if more else edge
            newer = None if before is None else rows[0].id if rows else before - 1
        searched = search.scanned if edge is not None else None
        return Listing(await self._marked(rows), older, newer, searched)

    async def rows(
        self, team: str | None, ids: Collection[int], *, after: int | None = None
    ) -> list[Row]:
        """See ``Reading``."""
        statements = []
        for columns, table, key in ((SUMMARY, "summaries", "event_id"), (EVENT, "events", "id")):
            one_state = "" if table == "summaries" else " AND state IN ('stored', 'unreadable')"
            sql = Statement(postgres=self._postgres)
            where = f"{key} IN ({sql.marks(ids)})" if ids else "false"
            statements.append(self._of_team(sql, team, columns, table, where + one_state))
        found = [_row(one) for part in await self._fetch(statements) for one in part]
        if after is not None:
            listing = await self.events(team, Filters(), limit=NEWEST)
            known = {row.id for row in found}
            found += [row for row in listing.rows if row.id > after and row.id not in known]
        return await self._marked(sorted(found, key=lambda row: -row.id))

    async def event(self, team: str | None, event_id: int) -> Whole | None:
        """See ``Reading``."""
        sql, summary, marks = (Statement(postgres=self._postgres) for _ in range(3))
        self._of_team(sql, team, STORED, "events", f"id = {sql.mark(event_id)}")
        self._of_team(summary, team, SUMMARY, "summaries", f"event_id = {summary.mark(event_id)}")
        key = marks.mark(event_id)
        table = marks.table("deliveries")
        marks.text = f"SELECT {DELIVERY} FROM {table} WHERE event_id = {key} ORDER BY id"
        events, summaries, deliveries = await self._fetch([sql, summary, marks])
        if not events:
            return None
        event = StoredEvent(*events[0])
        shown = replace(event, body=b"")
        row = _row(summaries[0]) if summaries else _row([*_plain(shown), "", "", "{}"])
        found = [Delivery(*one) for one in deliveries]
        attempts: dict[int, list[DeliveryAttempt]] = {one.id: [] for one in found}
        if found:
            tries = Statement(postgres=self._postgres)
            ids = tries.marks(attempts)
            tries.text = (
                "SELECT delivery_id, number, at, seconds, outcome, words"
                f" FROM {tries.table('attempts')} WHERE delivery_id IN ({ids})"
                " ORDER BY delivery_id, number"
            )
            for one in (await self._fetch([tries]))[0]:
                attempts[one[0]].append(DeliveryAttempt(*one))
        return Whole(event, row, found, attempts)

    async def queues(self, names: Collection[str]) -> dict[str, QueueStats]:
        """See ``Reading``."""
        statements = [self._queue(name) for name in names]
        found = await self._fetch(statements) if statements else []
        return {name: QueueStats(name, *rows[0]) for name, rows in zip(names, found, strict=True)}

    def _queue(self, name: str) -> Statement:
        sql = Statement(postgres=self._postgres)
        queue = sql.mark(name)
        deliveries = sql.table("deliveries")

        def in_state(state: str, columns: str, limit: int) -> str:
            return (
                f"(SELECT {columns} FROM {deliveries} WHERE state = '{state}' AND queue = {queue}"
                f" ORDER BY id LIMIT {limit})"
            )

        def last(column: str) -> str:
            return f"(SELECT {column} FROM {sql.table('queues')} WHERE queue = {queue})"

        sql.text = (
            f"SELECT (SELECT count(*) FROM {in_state('waiting', 'id', MOST_WAITING)} AS few),"
            f" (SELECT count(*) FROM {in_state('dead', 'id', MOST_WAITING)} AS few),"
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
            where = f"({where}) AND team = {sql.mark(team)}"
        sql.text = f"SELECT {columns} FROM {sql.table(table)} WHERE {where}"
        return sql

    async def _marked(self, rows: Sequence[Row]) -> list[Row]:
        """The rows with their deliveries."""
        if not rows:
            return []
        sql = Statement(postgres=self._postgres)
        ids = sql.marks(row.id for row in rows)
        sql.text = f"SELECT {MARK} FROM {sql.table('deliveries')} WHERE event_id IN ({ids})"
        found = sorted(Mark(*one) for one in (await self._fetch([sql]))[0])
        heads = await self._heads({mark.queue for mark in found if mark.state == "waiting"})
        marks: dict[int, list[Mark]] = {row.id: [] for row in rows}
        for mark in found:
            if mark.state == "waiting":
                next_at = max(mark.next_at, heads.get(mark.queue, 0.0))
                mark = mark._replace(next_at=next_at)
            marks[mark.event_id].append(mark)
        return [replace(row, marks=marks[row.id]) for row in rows]

    async def _heads(self, queues: Collection[str]) -> dict[str, float]:
        """When the first message of each queue is tried next: those behind it wait for that."""
        statements = []
        for queue in queues:
            sql = Statement(postgres=self._postgres)
            sql.text = (
                f"SELECT queue, next_at FROM {sql.table('deliveries')}"
                f" WHERE state = 'waiting' AND queue = {sql.mark(queue)} ORDER BY id LIMIT 1"
            )
            statements.append(sql)
        found = await self._fetch(statements) if statements else []
        return {queue: next_at for rows in found for queue, next_at in rows}


def _row(one: Sequence[Any]) -> Row:
    id_, team, name, state, reason, received_at, person, about, passed = one
    told = json.loads(passed)
    return Row(id_, team, name, state, reason, received_at, person, about, told)


def _plain(event: StoredEvent) -> Iterable[Any]:
    return event.id, event.team, event.name, event.state, event.reason, event.received_at
