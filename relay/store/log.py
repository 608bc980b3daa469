"""The log: the stored events with their deliveries, for commands and tests."""

from collections.abc import Collection

from relay.store.attempts import id_rows
from relay.store.engine import DELIVERY_COLUMNS, EVENT_COLUMNS, Engine
from relay.store.queries import EventQueries, EventRow
from relay.store.records import Delivery, LogEntry, StoredEvent
from relay.store.search import EventFilters

LOG_BODY_BYTES = 1000  # of each body in the log
LOG_BATCH_SIZE = 1000  # events that one search returns

# SQLite's substr of an empty blob is null
_EXCERPT_SQL = f"CASE length(body) WHEN 0 THEN body ELSE substr(body, 1, {LOG_BODY_BYTES}) END"
_EVENTS_SQL = (
    f"SELECT {EVENT_COLUMNS.replace('body', _EXCERPT_SQL)} FROM relay.events"
    " WHERE id = ANY($1::int8[])"
)
_DELIVERIES_SQL = (
    f"SELECT {DELIVERY_COLUMNS} FROM relay.deliveries WHERE event_id = ANY($1::int8[]) ORDER BY id"
)
_NAMES_SQL = """
    WITH RECURSIVE found (name) AS (
        SELECT min(name) FROM relay.summaries UNION ALL
        SELECT (SELECT min(name) FROM relay.summaries WHERE name > found.name) FROM found
        WHERE name IS NOT NULL
    )
    SELECT name FROM found WHERE name <> ''
    UNION SELECT name FROM relay.events WHERE state = 'stored' AND name <> ''
    UNION SELECT name FROM relay.events WHERE state = 'unreadable' AND name <> ''
    ORDER BY 1
"""


class EventLog(Engine):
    queries: EventQueries

    async def log(
        self,
        *,
        team: str | None,
        state: str | None,
        limit: int,
        queues: Collection[str] = (),
        names: Collection[str] | None = None,
        since: float | None = None,
        until: float | None = None,
        after: int | None = None,
    ) -> list[LogEntry]:
        """The newest events first, with truncated bodies; with ``after`` the oldest of those with a
        larger id, newest first too. The other arguments are as in ``EventFilters``."""
        named = None if names is None else tuple(names)
        filters = EventFilters(named, state or "", "", tuple(queues), since, until)
        rows = await self._search(team, filters, limit, after)
        ids = id_rows(row.id for row in rows)
        events = {row[0]: StoredEvent(*row) for row in await self.fetch(_EVENTS_SQL, rows=ids)}
        deliveries: dict[int, list[Delivery]] = {id_: [] for id_ in events}
        for values in await self.fetch(_DELIVERIES_SQL, rows=id_rows(events)):
            delivery = Delivery(*values)
            deliveries[delivery.event_id].append(delivery)
        return [
            LogEntry(events[row.id], deliveries[row.id], row.person, row.about)
            for row in rows
            if row.id in events  # or it was deleted meanwhile
        ]

    async def _search(
        self, team: str | None, filters: EventFilters, limit: int, after: int | None
    ) -> list[EventRow]:
        rows: list[EventRow] = []
        before: int | None = None
        while len(rows) < limit:
            count = min(limit - len(rows), LOG_BATCH_SIZE)
            page = await self.queries.search(team, filters, before=before, after=after, limit=count)
            if after is not None:
                rows, after = [*page.rows, *rows], page.newer
            else:
                rows, before = [*rows, *page.rows], page.older
            if after is None and before is None:
                break
        return rows

    async def event_names(self) -> list[str]:
        """The distinct names of all stored events. Of those that were fanned out it reads one index
        entry for each name."""
        return [name for (name,) in await self.fetch(_NAMES_SQL)]
