"""Connection pools for PostgreSQL, how statements run, and the meaning of the driver's errors."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import asyncpg

from relay.store.engine import Rows, Statement, Steps
from relay.store.records import StoreUnavailable, StoreUnusable
from relay.store.schema import postgres_schema

if TYPE_CHECKING:
    from asyncpg.pool import PoolConnectionProxy

T = TypeVar("T")

MAX_CONNECTIONS = 8  # of one pool
CONNECTION_TIMEOUT = 2.5
"""Seconds to get a connection, and for each statement; Penpot's timeout is 4."""
STEP_TIMEOUT = 3600.0  # seconds; a step of the schema can rewrite a large table
_LOCK_SCHEMA_SQL = "SELECT pg_advisory_xact_lock(7305884302)"  # an arbitrary number of Relay's own
_SESSION_SETTINGS = {
    "application_name": "relay",
    # the answer 204 promises that an event is on disk, whatever the database's own setting
    "synchronous_commit": "on",
    # a replica that hangs, or whose machine failed, must not hold locks longer than its lease
    "idle_in_transaction_session_timeout": "4s",
    "statement_timeout": "4s",
}

# Errors of a statement or its data. All other server errors (it starts, stops, is full, or
# cancelled the statement) may be temporary.
_STATEMENT_ERRORS = (
    asyncpg.DataError,
    asyncpg.IntegrityConstraintViolationError,
    asyncpg.SyntaxOrAccessError,
    asyncpg.InvalidTransactionStateError,
)
# Subclasses of these that may be temporary: the server is a standby, ended an idle transaction, or
# the role's privileges are missing.
_TEMPORARY_ERRORS = (
    asyncpg.ReadOnlySQLTransactionError,
    asyncpg.IdleInTransactionSessionTimeoutError,
    asyncpg.InsufficientPrivilegeError,
)


@contextlib.contextmanager
def available() -> Iterator[None]:
    """Turn temporary errors into ``StoreUnavailable``; its text contains no address."""
    try:
        yield
    except (
        asyncpg.PostgresError,
        asyncpg.InterfaceError,
        asyncpg.InternalClientError,  # raised if the connection ends as a statement begins
        OSError,
        TimeoutError,
    ) as error:
        if isinstance(error, _STATEMENT_ERRORS) and not isinstance(error, _TEMPORARY_ERRORS):
            raise
        raise StoreUnavailable(f"PostgreSQL: {type(error).__name__}") from None


class PostgresPool:
    def __init__(self, url: str, place: str, max_connections: int | None = None) -> None:
        """``place`` is the address without a password, for error texts; ``max_connections`` is
        ``MAX_CONNECTIONS`` by default."""
        self._url = url
        self.place = place
        self._max_connections = max_connections
        self._pool: asyncpg.Pool[Any] | None = None

    async def prepare(self, *, service: bool) -> None:
        """Check the schema; the service creates or upgrades it. Raises ``StoreUnusable``."""
        schema, place = postgres_schema(), f"the schema relay in {self.place}"
        with self._usable():
            connection = await asyncpg.connect(
                self._url, timeout=CONNECTION_TIMEOUT, command_timeout=STEP_TIMEOUT
            )
            try:
                async with connection.transaction():
                    await connection.execute(_LOCK_SCHEMA_SQL)
                    steps = schema.upgrade(place) if service else schema.require(place)
                    await run(connection, steps)
            finally:
                await connection.close(timeout=CONNECTION_TIMEOUT)

    async def open(self) -> None:
        """Raises ``StoreUnusable``."""
        with self._usable():
            self._pool = await asyncpg.create_pool(
                self._url,
                min_size=0,
                max_size=self._max_connections or MAX_CONNECTIONS,
                timeout=CONNECTION_TIMEOUT,
                command_timeout=CONNECTION_TIMEOUT,
                server_settings=_SESSION_SETTINGS,
                reset=_no_reset,
            )

    @contextlib.contextmanager
    def _usable(self) -> Iterator[None]:
        try:
            yield
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, ValueError) as error:
            raise StoreUnusable(f"{self.place} can't be opened: {type(error).__name__}") from None

    @contextlib.asynccontextmanager
    async def single_connection(self) -> AsyncIterator["asyncpg.Connection[Any]"]:
        """A connection outside the pool. Raises ``StoreUnavailable``."""
        with available():
            connection = await asyncpg.connect(
                self._url, timeout=CONNECTION_TIMEOUT, command_timeout=CONNECTION_TIMEOUT
            )
            try:
                yield connection
            finally:
                connection.terminate()

    @contextlib.asynccontextmanager
    async def connection(self) -> AsyncIterator["PoolConnectionProxy[Any]"]:
        """Raises ``StoreUnavailable``."""
        if self._pool is None:
            raise StoreUnavailable("PostgreSQL: the store is closed")
        with available():
            async with self._pool.acquire(timeout=CONNECTION_TIMEOUT) as connection:
                yield connection

    @contextlib.asynccontextmanager
    async def transaction(self) -> AsyncIterator["PoolConnectionProxy[Any]"]:
        async with self.connection() as connection, connection.transaction():
            yield connection

    async def close(self) -> None:
        """Close idle connections, and cut those that do not close in time."""
        pool, self._pool = self._pool, None
        if pool is None:
            return
        try:
            async with asyncio.timeout(CONNECTION_TIMEOUT):
                await pool.close()
        except (TimeoutError, OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
            pool.terminate()


async def _no_reset(connection: "asyncpg.Connection[Any]") -> None:
    """Relay changes no session state, so a reset would be a wasted round trip; asyncpg itself rolls
    back an open transaction."""


async def run(connection: Any, steps: Steps[T]) -> T:
    rows: Any = None
    try:
        while True:
            rows = await execute(connection, steps.send(rows))
    except StopIteration as end:
        result: T = end.value
        return result


async def execute(connection: Any, statement: Statement) -> Rows:
    sql, values, rows = statement
    arguments: list[Any] = list(_without_nul(values))
    if rows is not None:
        if not rows:
            return []
        arguments = [*map(_without_nul, zip(*rows, strict=True)), *arguments]
    fetched: Rows = await connection.fetch(sql, *arguments)
    return fetched


def _without_nul(values: Sequence[Any]) -> list[Any]:
    """PostgreSQL's text type has no NUL character."""
    return [
        value.replace("\x00", "\ufffd") if isinstance(value, str) else value for value in values
    ]
