"""Connections to a PostgreSQL, and what it means when they fail."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING, Any

import asyncpg

from relay.store.base import StoreMisfit, StoreUnavailable
from relay.store.postgres_schema import prepare

if TYPE_CHECKING:
    from asyncpg.pool import PoolConnectionProxy

MOST = 10
"""Connections of one replica, at the most."""
PATIENCE = 2.5
"""Seconds for a connection, and for a statement: Penpot waits 4 for its answer."""

# What is wrong with a statement, or with what is asked for; all else that a server says (it starts,
# stops, is full, read-only, gave up) may be over in a moment.
_OURS = (
    asyncpg.DataError,
    asyncpg.IntegrityConstraintViolationError,
    asyncpg.SyntaxOrAccessError,
    asyncpg.InvalidTransactionStateError,
)


@contextlib.contextmanager
def available() -> Iterator[None]:
    """Turn every failure of the database into ``StoreUnavailable``; its text shows no address."""
    try:
        yield
    except _OURS:
        raise
    except (
        asyncpg.PostgresError,
        asyncpg.InterfaceError,
        asyncpg.InternalClientError,  # of a connection that ends while a statement begins
        OSError,
        TimeoutError,
    ) as error:
        raise StoreUnavailable(f"PostgreSQL: {type(error).__name__}") from None


class PostgresPool:
    """The connections of one replica; made when it is opened."""

    def __init__(self, url: str, place: str) -> None:
        """``place`` is the address without a password, for texts."""
        self._url = url
        self.place = place
        self._pool: asyncpg.Pool[Any] | None = None

    async def open(self, *, service: bool) -> None:
        """Connect, and see to the schema. Raises ``StoreMisfit``."""
        try:
            self._pool = await asyncpg.create_pool(
                self._url,
                min_size=1,
                max_size=MOST,
                timeout=PATIENCE,
                command_timeout=PATIENCE,
                server_settings={"application_name": "relay"},
            )
            async with self._pool.acquire(timeout=PATIENCE) as connection:
                await prepare(connection, self.place, service=service)
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, ValueError) as error:
            await self.close()
            raise StoreMisfit(f"{self.place} can't be opened: {type(error).__name__}") from None
        except BaseException:
            await self.close()
            raise

    async def connect(self) -> "asyncpg.Connection[Any]":
        """A connection beside the pool."""
        return await asyncpg.connect(self._url, timeout=PATIENCE, command_timeout=PATIENCE)

    @contextlib.asynccontextmanager
    async def connection(self) -> AsyncIterator["PoolConnectionProxy[Any]"]:
        """A connection of the pool. Raises ``StoreUnavailable``."""
        if self._pool is None:
            raise StoreUnavailable("PostgreSQL: the store is closed")
        with available():
            async with self._pool.acquire(timeout=PATIENCE) as connection:
                yield connection

    @contextlib.asynccontextmanager
    async def transaction(self) -> AsyncIterator["PoolConnectionProxy[Any]"]:
        """The same, in a transaction."""
        async with self.connection() as connection, connection.transaction():
            yield connection

    async def close(self) -> None:
        """Give the connections back; those that hang are cut."""
        pool, self._pool = self._pool, None
        if pool is None:
            return
        try:
            async with asyncio.timeout(PATIENCE):
                await pool.close()
        except (TimeoutError, OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
            pool.terminate()
