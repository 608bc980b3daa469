"""The events that are stored and not fanned out yet."""

from relay.store.engine import EVENT_COLUMNS, Engine, Parameters
from relay.store.records import StoredEvent

MAX_BATCH_BYTES = 4 * 1024 * 1024
"""``stored_events`` stops after bodies of this total size."""

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
        # sizes first, so that no more bodies are read than fit into the batch
        stored = f"relay.events WHERE state = 'stored' AND {where}"
        sql = (
            f"SELECT {EVENT_COLUMNS} FROM {stored} AND id <="
            " (SELECT max(id) FROM (SELECT id, size, sum(size) OVER (ORDER BY id) AS total FROM"
            f" (SELECT id, length(body) AS size FROM {stored} ORDER BY id LIMIT $1) AS sizes)"
            f" AS totals WHERE {size} <= $2) ORDER BY id"
        )
        return [StoredEvent(*row) for row in await self.fetch(sql, *values)]
