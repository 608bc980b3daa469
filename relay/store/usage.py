"""The share of the store that each team uses: bytes of its events and messages.

What was fanned out is counted in a table, in the transactions that write and delete it. Bodies that
wait for the fan-out, or are unreadable, are summed up by a query over the indexes that list them.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from relay.store.engine import Engine, Statement, Steps
from relay.store.records import FanOutResult

EVENT_OVERHEAD_BYTES = 600  # bytes of an event's other columns, its indexes and its summary
DELIVERY_OVERHEAD_BYTES = 600  # bytes of a delivery's other columns, its indexes and its attempts

_ADD_SQL = (
    "INSERT INTO relay.usage (team, bytes) SELECT new.team, new.bytes"
    " FROM unnest($1::text[], $2::int8[]) AS new (team, bytes) WHERE true"
    " ON CONFLICT (team) DO UPDATE SET bytes = usage.bytes + excluded.bytes"
)
_EVENTS_SQL = (
    "SELECT team, length(body) FROM relay.events WHERE id = ANY($1::int8[])"
    " AND state <> 'unreadable'"
)
_MESSAGES_SQL = (
    "SELECT events.team, length(message) FROM relay.deliveries"
    " JOIN relay.events ON events.id = event_id WHERE event_id = ANY($1::int8[])"
)


class Usage:
    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def by_team(self) -> dict[str, int]:
        """The bytes of each team. Raises ``StoreUnavailable``."""
        counted, *waiting = await self._engine.fetch_for_inspector(
            Statement("SELECT team, bytes FROM relay.usage"),
            *(Statement(self._sum_sql(state)) for state in ("stored", "unreadable")),
        )
        total: Counter[str] = Counter()
        for team, size in counted:
            total[team] += max(size, 0)
        for rows in waiting:
            for team, count, size in rows:
                total[team] += int(size) + EVENT_OVERHEAD_BYTES * count
        return dict(total)

    def _sum_sql(self, state: str) -> str:
        hint = self._engine.index_hint(f"events_{state}")
        return (
            f"SELECT team, count(*), sum(length(body)) FROM relay.events{hint}"
            f" WHERE state = '{state}' GROUP BY team"
        )

    def add(self, results: Iterable[FanOutResult], bodies: Mapping[int, int]) -> Steps[None]:
        """Count events that were fanned out; ``bodies`` are the lengths of their bodies by id."""
        sizes: Counter[str] = Counter()
        for result in results:
            if result.state != "unreadable":
                sizes[result.team] += EVENT_OVERHEAD_BYTES + bodies[result.event_id]
                for delivery in result.deliveries:
                    sizes[result.team] += DELIVERY_OVERHEAD_BYTES + len(delivery.message)
        yield from self._add(sizes)

    def remove(self, ids: Sequence[tuple[int]]) -> Steps[None]:
        """Call it before these events are deleted."""
        sizes: Counter[str] = Counter()
        for sql, overhead in (
            (_EVENTS_SQL, EVENT_OVERHEAD_BYTES),
            (_MESSAGES_SQL, DELIVERY_OVERHEAD_BYTES),
        ):
            for team, size in (yield Statement(sql, rows=ids)):
                sizes[team] -= overhead + size
        yield from self._add(sizes)

    def _add(self, sizes: Mapping[str, int]) -> Steps[None]:
        # in one order, so that replicas do not wait for each other in a circle
        yield Statement(_ADD_SQL, rows=sorted(sizes.items()))
