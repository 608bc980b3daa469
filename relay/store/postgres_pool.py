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

MOST = 8
"""Connections of one pool, at the most."""
PATIENCE = 2.5
"""Seconds for a connection, and for a statement: Penpot waits 4 for its answer."""
_SESSION = {
    "application_name": "relay",
    # 204 says that an event is on disk, whatever the database's own setting
    "synchronous_commit": "on",
    # a replica that hangs, or whose machine is gone, must not keep its locks longer than its lease
    "idle_in_transaction_session_timeout": "4s",
    "statement_timeout": "4s",
}

# What is wrong with a statement, or with what is asked for; all else that a server says (it starts,
# stops, is full, gave up) may be over in a moment.
_OURS = (
    asyncpg.DataError,
    asyncpg.IntegrityConstraintViolationError,
    asyncpg.SyntaxOrAccessError,
    asyncpg.InvalidTransactionStateError,
)
# And of those: it is a standby, gave us up, or took our rights.
_PASSING = (
    asyncpg.ReadOnlySQLTransactionError,
    asyncpg.IdleInTransactionSessionTimeoutError,
    asyncpg.InsufficientPrivilegeError,
)


@contextlib.contextmanager
def available() -> Iterator[None]:
    """Turn every failure of the database into ``StoreUnavailable``; its text shows no address."""
    try:
        yield
    except (
        asyncpg.PostgresError,
        asyncpg.InterfaceError,
        asyncpg.InternalClientError,  # of a connection that ends while a statement begins
        OSError,
        TimeoutError,
    ) as error:
        if isinstance(error, _OURS) and not isinstance(error, _PASSING):
            raise
        raise StoreUnavailable(f"PostgreSQL: {type(error).__name__}") from None


class PostgresPool:
    """Connections of one replica; made when it is opened."""

    def __init__(self, url: str, place: str, most: int | None = None) -> None:
        """``place`` is the address without a password, for texts; ``most`` the connections at the
        most, ``MOST`` by default."""
        self._url = url
        self.place = place
        self._most = most
        self._pool: asyncpg.Pool[Any] | None = None

    async def prepare(self, *, service: bool) -> None:
        """See to the schema, however long an upgrade takes. Raises ``StoreMisfit``."""
        with self._fit():
            connection = await asyncpg.connect(self._url, timeout=PATIENCE)
            try:
                await prepare(connection, self.place, service=service)
            finally:
                await connection.close(timeout=PATIENCE)

    async def open(self) -> None:
        """Connect. Raises ``StoreMisfit``."""
        with self._fit():
            self._pool = await asyncpg.create_pool(
                self._url,
                min_size=0,
                max_size=self._most or MOST,
                timeout=PATIENCE,
                command_timeout=PATIENCE,
                server_settings=_SESSION,
                reset=_as_it_is,
            )

    @contextlib.contextmanager
    def _fit(self) -> Iterator[None]:
        try:
            yield
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, ValueError) as error:
            raise StoreMisfit(f"{self.place} can't be opened: {type(error).__name__}") from None

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


async def _as_it_is(connection: "asyncpg.Connection[Any]") -> None:
    """Nothing of Relay changes a session, so there is nothing to ask the server to undo; asyncpg
    itself ends a transaction that was left open."""
