"""Leases: which replica of several serves the fan-out, and each queue."""

import asyncio
import contextlib
import logging
import time
import uuid
from typing import TYPE_CHECKING, Any

from relay.store.base import LeaseLost, StoreUnavailable
from relay.store.postgres_pool import PostgresPool

if TYPE_CHECKING:
    from asyncpg.pool import PoolConnectionProxy

log = logging.getLogger(__name__)

BEAT = 2.0
"""Seconds between two signs of life."""
AGAIN = 0.3
"""The same after one that could not be given: there is time for a few."""
LASTS = 6.0
"""Seconds after its last sign of life when others may take what a replica holds."""

_ALIVE = (
    "WITH gone AS (DELETE FROM relay.replicas WHERE expires_at < now() - interval '1 day')"
    " INSERT INTO relay.replicas VALUES ($1, now() + make_interval(secs => $2))"
    " ON CONFLICT (owner) DO UPDATE SET expires_at = excluded.expires_at"
)
_TAKE = (
    "INSERT INTO relay.leases AS held VALUES ($1, $2) ON CONFLICT (name) DO UPDATE"
    " SET owner = excluded.owner WHERE held.owner = excluded.owner OR ($3 AND NOT EXISTS"
    " (SELECT FROM relay.replicas WHERE owner = held.owner AND expires_at > now()))"
    " RETURNING owner"
)


class Leases:
    """What this replica holds. All of it is kept alive by one row, so that a lease costs nothing
    while it is held."""

    def __init__(self, pool: PostgresPool, front: PostgresPool) -> None:
        """Signs of life go through ``front``, where no queue stands before them."""
        self._pool = pool
        self._front = front
        self._patient_until = 0.0
        self._alive_at = 0.0
        self._lapses = 0
        self._taken: dict[str, int] = {}
        self.owner = uuid.uuid4().hex
        self._beating: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Begin to give signs of life. Raises ``StoreUnavailable``."""
        await self._beat()
        self._beating = asyncio.create_task(self._keep_beating(), name="heartbeat")

    async def close(self) -> None:
        """Give everything back, where the database is there."""
        if self._beating is None:
            return
        self._beating.cancel()
        await asyncio.gather(self._beating, return_exceptions=True)
        with contextlib.suppress(StoreUnavailable):
            async with self._pool.transaction() as connection:
                await connection.execute("DELETE FROM relay.leases WHERE owner = $1", self.owner)
                await connection.execute("DELETE FROM relay.replicas WHERE owner = $1", self.owner)

    async def take(self, name: str) -> bool:
        """See ``Store.lease``. Where the database was away for us it may have been so for all:
        then the others have time to give a sign of life before anything is taken from them."""
        may_take_over = time.monotonic() >= self._patient_until
        lapses = self._lapses
        async with self._pool.connection() as connection:
            taken = await connection.fetchval(_TAKE, name, self.owner, may_take_over) is not None
        if taken:
            self._taken[name] = lapses
        return taken

    def is_sure(self, name: str) -> bool:
        """See ``Store.lease_is_sure``: no other can have taken it since it was taken here, as there
        were signs of life all the time."""
        late = time.monotonic() - self._alive_at >= LASTS
        return not late and self._taken.get(name) == self._lapses

    async def release(self, name: str) -> None:
        """See ``Store.release``."""
        self._taken.pop(name, None)
        async with self._pool.connection() as connection:
            await connection.execute(
                "DELETE FROM relay.leases WHERE name = $1 AND owner = $2", name, self.owner
            )

    async def require(self, connection: "PoolConnectionProxy[Any]", name: str) -> None:
        """Hold up a take-over until the transaction ends. Raises ``LeaseLost``."""
        owner = await connection.fetchval(
            "SELECT owner FROM relay.leases WHERE name = $1 FOR SHARE", name
        )
        if owner != self.owner:
            raise LeaseLost(name)

    async def _keep_beating(self) -> None:
        pause = BEAT
        while True:
            await asyncio.sleep(pause)
            try:
                await self._beat()
                pause = BEAT
            except Exception as error:  # noqa: BLE001 - without them all is taken from this one
                self._patient_until = time.monotonic() + LASTS
                why = error if isinstance(error, StoreUnavailable) else type(error).__name__
                level = logging.WARNING if pause == BEAT else logging.DEBUG
                log.log(level, "no sign of life can be given: %s", why)
                pause = AGAIN

    async def _beat(self) -> None:
        begun = time.monotonic()
        async with self._front.connection() as connection:
            await connection.execute(_ALIVE, self.owner, LASTS)
        if time.monotonic() - self._alive_at >= LASTS:
            self._lapses += 1  # whatever was held may have been taken meanwhile
        self._alive_at = begun
