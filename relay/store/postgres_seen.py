"""What the watch keeps, in PostgreSQL."""

from collections.abc import Collection, Sequence

from relay.store.base import NewEvent, StoredEvent
from relay.store.columns import EVENT, fit
from relay.store.postgres_intake import ACCEPT, TELL
from relay.store.postgres_leases import Leases
from relay.store.postgres_pool import PostgresPool
from relay.store.seen import LARGEST, LEASE, Fingerprint, SeenThread

_SEE = (
    "INSERT INTO relay.seen (team, thread, file, mark, gone_at, state)"
    " VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (team, thread) DO UPDATE SET"
    " file = excluded.file, mark = excluded.mark, gone_at = excluded.gone_at,"
    " state = excluded.state"
)


class PostgresSeen:
    """See ``Seen``."""

    def __init__(self, pool: PostgresPool, leases: Leases) -> None:
        self._pool = pool
        self._leases = leases

    async def marks(self, team: str, file: str = "") -> list[Fingerprint]:
        """See ``Seen``."""
        sql = (
            "SELECT thread, file, mark, gone_at FROM relay.seen"
            " WHERE team = $1 AND ($2 = '' OR file = $2)"
        )
        async with self._pool.connection() as connection:
            return [Fingerprint(*row) for row in await connection.fetch(sql, team, file)]

    async def threads(self, team: str, threads: Collection[str]) -> dict[str, SeenThread]:
        """See ``Seen``."""
        sql = (
            "SELECT thread, file, mark, gone_at, state FROM relay.seen"
            " WHERE team = $1 AND thread = ANY($2::text[])"
        )
        async with self._pool.connection() as connection:
            rows = await connection.fetch(sql, team, list(threads))
        return {row["thread"]: SeenThread(*row) for row in rows}

    async def notice(
        self, team: str, events: Sequence[NewEvent], threads: Sequence[SeenThread]
    ) -> int:
        """See ``Seen``."""
        new = 0
        async with self._pool.transaction() as connection:
            await self._leases.require(connection, LEASE)
            if events:
                columns = map(list, zip(*events, strict=True))
                new = len(await connection.fetch(f"{ACCEPT} RETURNING id", *columns))
                await connection.execute(TELL)
            await connection.executemany(
                _SEE, [(team, *one[:-1], fit(one.state)) for one in threads]
            )
        return new

    async def forget(self, team: str, before: float) -> None:
        """See ``Seen``."""
        sql = "DELETE FROM relay.seen WHERE team = $1 AND gone_at > 0 AND gone_at < $2"
        async with self._pool.transaction() as connection:
            await self._leases.require(connection, LEASE)
            await connection.execute(sql, team, before)

    async def end(self, notes: str, but: Collection[str] = ()) -> None:
        """See ``Seen``."""
        others = "<> ALL ($1::text[])"
        begins = "DELETE FROM relay.notes WHERE starts_with(key, $2)"
        async with self._pool.transaction() as connection:
            await connection.execute(f"DELETE FROM relay.seen WHERE team {others}", list(but))
            await connection.execute(
                f"{begins} AND substr(key, length($2) + 1) {others}", list(but), notes
            )

    async def recent(self, names: Collection[str], since: float, limit: int) -> list[StoredEvent]:
        """See ``Seen``."""
        sql = (
            f"SELECT {EVENT} FROM relay.events WHERE received_at >= $1 AND name = ANY($2::text[])"
            f" AND octet_length(body) <= {LARGEST} ORDER BY received_at DESC LIMIT $3"
        )
        async with self._pool.connection() as connection:
            rows = await connection.fetch(sql, since, list(names), limit)
        return [StoredEvent(*row) for row in reversed(rows)]
