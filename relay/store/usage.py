"""The share of the store that each team uses: bytes of its events and messages.

What was fanned out is counted in a table, in the transactions that write and delete it. Bodies that
wait for the fan-out, or are unreadable, are summed up by queries over the indexes that list them. A
waiting event counts with the messages that it may become: a flood of small events would otherwise
grow beyond the share when it is fanned out.
"""

from collections import Counter
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence

from relay.store.engine import Engine, Statement, Steps
from relay.store.records import FanOutResult

EVENT_OVERHEAD_BYTES = 600  # bytes of an event's other columns, its indexes and its summary
DELIVERY_OVERHEAD_BYTES = 600  # bytes of a delivery's other columns, its indexes and its attempts
SUM_BATCH_SIZE = 20_000  # bodies that one query sums up; a long one would exceed its timeout

# of a message that a built-in template makes of an event, measured
_MESSAGE_BYTES = 1000  # without the event's words
_WORDS_RATIO = 6  # of its words, which are escaped and in up to three forms
_MAX_WORDS = 10_000  # of a body

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


def waiting_bytes(count: int, size: int, words: int, *, channels: int) -> int:
    """What ``count`` events with bodies of ``size`` bytes use, with the messages that they may
    become; ``words`` are the bytes of which messages are made."""
    messages = (DELIVERY_OVERHEAD_BYTES + _MESSAGE_BYTES) * count + _WORDS_RATIO * words
    return EVENT_OVERHEAD_BYTES * count + size + channels * messages


def event_bytes(size: int, channels: int) -> int:
    """The same for one event."""
    return waiting_bytes(1, size, min(size, _MAX_WORDS), channels=channels)


class Usage:
    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def by_team(self, channels: Mapping[str, int]) -> dict[str, int]:
        """The bytes of each team; ``channels`` are their numbers. Raises ``StoreUnavailable``."""
        sql = "SELECT team, bytes FROM relay.usage"
        (rows,) = await self._engine.fetch_for_inspector(Statement(sql))
        total = Counter({team: max(size, 0) for team, size in rows})
        async for team, *sums in self._sums("stored"):
            total[team] += waiting_bytes(*sums, channels=channels.get(team, 0))
        async for team, *sums in self._sums("unreadable"):
            total[team] += waiting_bytes(*sums, channels=0)
        return dict(total)

    async def _sums(self, state: str) -> AsyncIterator[tuple[str, int, int, int]]:
        """Teams, some more than once, each with the arguments of ``waiting_bytes``."""
        hint = self._engine.index_hint(f"events_{state}")
        sql = (
            "SELECT team, count(*), sum(size), sum(CASE WHEN size > $2 THEN $2 ELSE size END),"
            " max(id) FROM (SELECT id, team, length(body) AS size"
            f" FROM relay.events{hint} WHERE state = '{state}' AND id > $1"
            f" ORDER BY id LIMIT {SUM_BATCH_SIZE}) AS part GROUP BY team"
        )
        last, is_full = 0, True
        while is_full:
            statement = Statement(sql, (last, _MAX_WORDS))
            (rows,) = await self._engine.fetch_for_inspector(statement)
            for *sums, end in rows:
                yield tuple(sums)
                last = max(last, end)
            is_full = sum(count for _, count, *_ in rows) == SUM_BATCH_SIZE

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

    def grow(self, sizes: Mapping[str, int]) -> Steps[None]:
        """Messages of these teams have grown by so many bytes."""
        if sizes:
            yield from self._add(sizes)

    def _add(self, sizes: Mapping[str, int]) -> Steps[None]:
        # in one order, so that replicas do not wait for each other in a circle
        yield Statement(_ADD_SQL, rows=sorted(sizes.items()))
