"""``SyncThreads`` in PostgreSQL."""

from collections.abc import Collection, Sequence

from relay.store.columns import EVENT_COLUMNS, without_nul
from relay.store.postgres_intake import INSERT_EVENTS_SQL
from relay.store.postgres_leases import PostgresLeases
from relay.store.postgres_notifications import NOTIFY_EVENTS_SQL
from relay.store.postgres_pool import PostgresPool
from relay.store.records import NewEvent, StoredEvent
from relay.store.sync_threads import (
    MAX_RECENT_BODY_BYTES,
    SYNC_LEASE,
    SyncThread,
    ThreadFingerprint,
)

_SAVE_THREAD_SQL = (
    "INSERT INTO relay.sync_threads (team, thread, file, fingerprint, gone_at, state)"
    " VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (team, thread) DO UPDATE SET"
    " file = excluded.file, fingerprint = excluded.fingerprint, gone_at = excluded.gone_at,"
    " state = excluded.state"
)


class PostgresSyncThreads:
    def __init__(self, pool: PostgresPool, leases: PostgresLeases) -> None:
        self._pool = pool
        self._leases = leases

    async def fingerprints(self, team: str, file: str = "") -> list[ThreadFingerprint]:
        sql = (
            "SELECT thread, file, fingerprint, gone_at FROM relay.sync_threads"
            " WHERE team = $1 AND ($2 = '' OR file = $2)"
        )
        async with self._pool.connection() as connection:
            return [ThreadFingerprint(*row) for row in await connection.fetch(sql, team, file)]

    async def get(self, team: str, threads: Collection[str]) -> dict[str, SyncThread]:
        sql = (
            "SELECT thread, file, fingerprint, gone_at, state FROM relay.sync_threads"
            " WHERE team = $1 AND thread = ANY($2::text[])"
        )
        async with self._pool.connection() as connection:
            rows = await connection.fetch(sql, team, list(threads))
        return {row["thread"]: SyncThread(*row) for row in rows}

    async def save(
        self, team: str, events: Sequence[NewEvent], threads: Sequence[SyncThread]
    ) -> int:
        count = 0
        rows = [(team, *thread[:-1], without_nul(thread.state)) for thread in threads]
        async with self._pool.transaction() as connection:
            await self._leases.require(connection, SYNC_LEASE)
            if events:
                columns = map(list, zip(*events, strict=True))
                count = len(await connection.fetch(f"{INSERT_EVENTS_SQL} RETURNING id", *columns))
                await connection.execute(NOTIFY_EVENTS_SQL)
            await connection.executemany(_SAVE_THREAD_SQL, rows)
        return count

    async def delete_gone(self, team: str, before: float) -> None:
        sql = "DELETE FROM relay.sync_threads WHERE team = $1 AND gone_at > 0 AND gone_at < $2"
        async with self._pool.transaction() as connection:
            await self._leases.require(connection, SYNC_LEASE)
            await connection.execute(sql, team, before)

    async def delete_teams_except(self, key_prefix: str, teams: Collection[str] = ()) -> None:
        is_other = "<> ALL ($1::text[])"
        values_sql = (
            "DELETE FROM relay.key_values WHERE starts_with(key, $2)"
            f" AND substr(key, length($2) + 1) {is_other}"
        )
        names = list(teams)
        async with self._pool.transaction() as connection:
            await connection.execute(f"DELETE FROM relay.sync_threads WHERE team {is_other}", names)
            await connection.execute(values_sql, names, key_prefix)

    async def recent_events(
        self, names: Collection[str], since: float, limit: int
    ) -> list[StoredEvent]:
        sql = (
            f"SELECT {EVENT_COLUMNS} FROM relay.events WHERE received_at >= $1"
            f" AND name = ANY($2::text[]) AND octet_length(body) <= {MAX_RECENT_BODY_BYTES}"
            " ORDER BY received_at DESC LIMIT $3"
        )
        async with self._pool.connection() as connection:
            rows = await connection.fetch(sql, since, list(names), limit)
        return [StoredEvent(*row) for row in reversed(rows)]
