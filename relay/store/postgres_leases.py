"""Leases: which of several replicas serves the fan-out, the sync and each queue."""

import asyncio
import contextlib
import logging
import time
import uuid
from typing import TYPE_CHECKING, Any

from relay.store.postgres_pool import PostgresPool
from relay.store.records import LeaseLost, StoreUnavailable

if TYPE_CHECKING:
    from asyncpg.pool import PoolConnectionProxy

log = logging.getLogger(__name__)

HEARTBEAT_INTERVAL = 2.0  # seconds
HEARTBEAT_RETRY_DELAY = 0.3  # seconds; several retries fit into ``LEASE_TTL``
LEASE_TTL = 6.0  # seconds from a replica's last heartbeat until others may take over its leases

_HEARTBEAT_SQL = (
    "WITH expired AS (DELETE FROM relay.replicas WHERE expires_at < now() - interval '1 day')"
    " INSERT INTO relay.replicas VALUES ($1, now() + make_interval(secs => $2))"
    " ON CONFLICT (owner) DO UPDATE SET expires_at = excluded.expires_at"
)
_ACQUIRE_SQL = (
    "INSERT INTO relay.leases AS held VALUES ($1, $2) ON CONFLICT (name) DO UPDATE"
    " SET owner = excluded.owner WHERE held.owner = excluded.owner OR ($3 AND NOT EXISTS"
    " (SELECT FROM relay.replicas WHERE owner = held.owner AND expires_at > now()))"
    " RETURNING owner"
)


class PostgresLeases:
    """The leases of this replica. One row keeps all of them alive, so that holding a lease costs
    no query."""

    def __init__(self, pool: PostgresPool, intake_pool: PostgresPool) -> None:
        """Heartbeats use ``intake_pool``, where they do not wait for the queues' queries."""
        self._pool = pool
        self._intake_pool = intake_pool
        self._no_takeover_until = 0.0
        self._last_heartbeat = 0.0
        self._lapses = 0
        self._acquired: dict[str, int] = {}
        """By name: ``_lapses`` when the lease was acquired."""
        self.owner = uuid.uuid4().hex
        self._heartbeat_task: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Raises ``StoreUnavailable``."""
        await self._heartbeat()
        self._heartbeat_task = asyncio.create_task(self._run(), name="heartbeat")

    async def close(self) -> None:
        """Release all leases if the database is up."""
        if self._heartbeat_task is None:
            return
        self._heartbeat_task.cancel()
        await asyncio.gather(self._heartbeat_task, return_exceptions=True)
        with contextlib.suppress(StoreUnavailable):
            async with self._pool.transaction() as connection:
                await connection.execute("DELETE FROM relay.leases WHERE owner = $1", self.owner)
                await connection.execute("DELETE FROM relay.replicas WHERE owner = $1", self.owner)

    async def acquire(self, name: str) -> bool:
        """After a failed heartbeat the database may have been down for all replicas: for
        ``LEASE_TTL`` none of their leases is taken over, so that they can renew them."""
        may_take_over = time.monotonic() >= self._no_takeover_until
        lapses = self._lapses
        async with self._pool.connection() as connection:
            owner = await connection.fetchval(_ACQUIRE_SQL, name, self.owner, may_take_over)
        if owner is not None:
            self._acquired[name] = lapses
        return owner is not None

    def holds(self, name: str) -> bool:
        """Whether heartbeats never lapsed since the lease was acquired here."""
        is_late = time.monotonic() - self._last_heartbeat >= LEASE_TTL
        return not is_late and self._acquired.get(name) == self._lapses

    async def release(self, name: str) -> None:
        self._acquired.pop(name, None)
        async with self._pool.connection() as connection:
            await connection.execute(
                "DELETE FROM relay.leases WHERE name = $1 AND owner = $2", name, self.owner
            )

    async def require(self, connection: "PoolConnectionProxy[Any]", name: str) -> None:
        """Prevent a take-over until the transaction ends. Raises ``LeaseLost``."""
        owner = await connection.fetchval(
            "SELECT owner FROM relay.leases WHERE name = $1 FOR SHARE", name
        )
        if owner != self.owner:
            raise LeaseLost(name)

    async def _run(self) -> None:
        delay = HEARTBEAT_INTERVAL
        while True:
            await asyncio.sleep(delay)
            try:
                await self._heartbeat()
                delay = HEARTBEAT_INTERVAL
            except Exception as error:  # noqa: BLE001 - without heartbeats all leases are lost
                self._no_takeover_until = time.monotonic() + LEASE_TTL
                reason = error if isinstance(error, StoreUnavailable) else type(error).__name__
                level = logging.WARNING if delay == HEARTBEAT_INTERVAL else logging.DEBUG
                log.log(level, "heartbeat failed: %s", reason)
                delay = HEARTBEAT_RETRY_DELAY

    async def _heartbeat(self) -> None:
        started = time.monotonic()
        async with self._intake_pool.connection() as connection:
            await connection.execute(_HEARTBEAT_SQL, self.owner, LEASE_TTL)
        if time.monotonic() - self._last_heartbeat >= LEASE_TTL:
            self._lapses += 1  # another replica may have taken over any lease meanwhile
        self._last_heartbeat = started
