"""What waits: the events that are not fanned out yet, and the deliveries that are not sent yet."""

from relay.store.engine import DELIVERY_COLUMNS, EVENT_COLUMNS, Engine, Parameters
from relay.store.records import Delivery, StoredEvent

MAX_BATCH_BYTES = 4 * 1024 * 1024
"""``stored_events`` stops after bodies of this total size."""
MAX_MESSAGES_LENGTH = 1_000_000
"""``waiting_deliveries`` stops after messages of this total number of characters."""

_STORED_TEAMS_SQL = """
    WITH RECURSIVE found (team, number) AS (
        SELECT min(team), 1 FROM relay.events WHERE state = 'stored' AND team > $1
        UNION ALL SELECT (SELECT min(team) FROM relay.events WHERE state = 'stored'
            AND team > found.team), number + 1 FROM found WHERE team IS NOT NULL AND number < $2
    )
    SELECT found.team, length(first.body) FROM found JOIN relay.events AS first ON first.id =
        (SELECT min(id) FROM relay.events WHERE state = 'stored' AND team = found.team)
    ORDER BY found.team
"""


class Backlog(Engine):
    async def stored_teams(self, after: str, limit: int) -> dict[str, int]:
        """The next teams by key that have events in state stored, each with the size of its first
        body in bytes. The cost depends on ``limit`` only."""
        return dict(await self.fetch(_STORED_TEAMS_SQL, after, limit))

    async def stored_events(
        self, limit: int, team: str | None = None, max_bytes: int | None = None
    ) -> list[StoredEvent]:
        """The oldest events in state stored, of one team or of all, in the order of their ids.

        Fewer than ``limit`` if their bodies are large: the last one ends beyond
        ``MAX_BATCH_BYTES``, or all together have at most ``max_bytes``."""
        values = Parameters([limit, MAX_BATCH_BYTES if max_bytes is None else max_bytes])
        where = values.equal(team=team)
        size = "total - size" if max_bytes is None else "total"
        stored = f"relay.events WHERE state = 'stored' AND {where}"
        sql = _first_sql(EVENT_COLUMNS, stored, "body", f"{size} <= $2")
        return [StoredEvent(*row) for row in await self.fetch(sql, *values)]

    async def event(self, event_id: int) -> StoredEvent | None:
        """An event in any state."""
        sql = f"SELECT {EVENT_COLUMNS} FROM relay.events WHERE id = $1"
        rows = await self.fetch(sql, event_id)
        return StoredEvent(*rows[0]) if rows else None

    async def waiting_deliveries(self, queue: str, limit: int) -> list[Delivery]:
        """The next deliveries of a queue, in order. Fewer than ``limit`` if their messages are
        long: the last one ends beyond ``MAX_MESSAGES_LENGTH``."""
        waiting = "relay.deliveries WHERE state = 'waiting' AND queue = $3"
        sql = _first_sql(DELIVERY_COLUMNS, waiting, "message", "total - size <= $2")
        return [Delivery(*row) for row in await self.fetch(sql, limit, MAX_MESSAGES_LENGTH, queue)]

    async def digest_members(self, queue: str, digest: str) -> list[Delivery]:
        """The waiting deliveries of a queue that form the digest with this key, in order."""
        sql = (
            f"SELECT {DELIVERY_COLUMNS} FROM relay.deliveries"
            " WHERE state = 'waiting' AND queue = $1 AND digest = $2 ORDER BY id"
        )
        return [Delivery(*row) for row in await self.fetch(sql, queue, digest)]


def _first_sql(columns: str, source: str, sized: str, condition: str) -> str:
    """At most $1 rows by id. ``condition`` is about the ``size`` of the column ``sized`` and its
    ``total`` up to a row: sizes come first, so that no other rows are read."""
    return (
        f"SELECT {columns} FROM {source} AND id <="
        " (SELECT max(id) FROM (SELECT id, size, sum(size) OVER (ORDER BY id) AS total FROM"
        f" (SELECT id, length({sized}) AS size FROM {source} ORDER BY id LIMIT $1) AS sizes)"
        f" AS totals WHERE {condition}) ORDER BY id"
    )
