"""Connection pools for PostgreSQL, also through a connection pooler, and how statements run."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import asyncpg

from relay.store.engine import Rows, Statement, Steps
from relay.store.postgres_errors import (
    DRIVER_ERRORS,
    POOLER_ADVICE,
    available,
    sentence,
    without,
)
from relay.store.postgres_url import PostgresUrl
from relay.store.records import StoreMissing, StoreUnavailable, StoreUnusable
from relay.store.schema import postgres_schema

if TYPE_CHECKING:
    from asyncpg.pool import PoolConnectionProxy

T = TypeVar("T")

MAX_CONNECTIONS = 8  # of one pool
CONNECTION_TIMEOUT = 2.5
"""Seconds to get a connection, and for each statement; Penpot's timeout is 4."""
STEP_TIMEOUT = 3600.0  # seconds; a step of the schema can rewrite a large table
MODE_PROBES_COUNT = 5
_ENCODINGS = frozenset({"UTF8", "SQL_ASCII"})  # the second stores all bytes as they are
_RIGHTS_SQL = """
    SELECT has_schema,
        CASE WHEN has_schema THEN
            has_schema_privilege('relay', 'USAGE') AND has_schema_privilege('relay', 'CREATE')
        ELSE has_database_privilege(current_database(), 'CREATE') END,
        CASE WHEN has_schema THEN format('GRANT CREATE, USAGE ON SCHEMA relay TO %I', current_user)
        ELSE format('GRANT CREATE ON DATABASE %I TO %I', current_database(), current_user) END
    FROM (SELECT to_regnamespace('relay') IS NOT NULL AS has_schema) AS found
"""
_LOCK_SCHEMA_SQL = "SELECT pg_advisory_xact_lock(7305884302)"  # an arbitrary number of Relay's own
_SETTINGS = {
    # the answer 204 promises that an event is on disk, whatever the database's own setting
    "synchronous_commit": "on",
    # a replica that hangs, or whose machine failed, must not hold locks longer than its lease
    "idle_in_transaction_session_timeout": "4s",
    "statement_timeout": "4s",
}
_READ_SETTINGS_SQL = "SELECT " + ", ".join(f"current_setting('{name}')" for name in _SETTINGS)


def _set_sql(scope: str) -> str:
    """``scope`` is SESSION, or LOCAL for the current transaction."""
    return "; ".join(f"SET {scope} {name} = '{value}'" for name, value in _SETTINGS.items())


class PostgresPool:
    """Behind a pooler in transaction mode the server's connection, with its settings and prepared
    statements, belongs to Relay only during a transaction. There each use of a connection is one
    transaction, which begins with Relay's settings."""

    def __init__(self, url: PostgresUrl, max_connections: int | None = None) -> None:
        """``max_connections`` is ``MAX_CONNECTIONS`` by default."""
        self._url = url
        self.place = url.place
        self._max_connections = max_connections
        self._pool: asyncpg.Pool[Any] | None = None

    async def prepare(self, *, service: bool) -> None:
        """Check the pooler's mode, the encoding, and the schema, which the service creates or
        upgrades. Raises ``StoreUnusable``."""
        schema, place = postgres_schema(), f"the schema relay in {self.place}"
        with self._usable():
            if not self._url.transaction_mode:
                await self._require_session_mode()
            async with self._connected(STEP_TIMEOUT) as connection, connection.transaction():
                await connection.execute(f"SET LOCAL statement_timeout = '{STEP_TIMEOUT:.0f}s'")
                await connection.execute(_LOCK_SCHEMA_SQL)
                encoding = await connection.fetchval("SHOW server_encoding")
                if encoding not in _ENCODINGS:
                    raise StoreUnusable(
                        f"{self.place} has the encoding {encoding}, which lacks most characters: "
                        "create a database with ENCODING 'UTF8' LOCALE 'C' TEMPLATE template0"
                    )
                try:
                    await run(connection, schema.require(place))
                except StoreMissing:
                    # before the service, which needs them, for those who ask first
                    has_schema = await self._require_rights(connection)
                    if not service:
                        raise
                    if not has_schema:  # PostgreSQL asks for the right even with IF NOT EXISTS
                        await connection.execute("CREATE SCHEMA relay")
                    await run(connection, schema.upgrade(place))

    async def _require_rights(self, connection: "asyncpg.Connection[Any]") -> bool:
        """Whether the schema relay exists. Raises ``StoreUnusable`` if the role may not create the
        schema, or nothing in it."""
        has_schema, may_create, grant = await connection.fetchrow(_RIGHTS_SQL) or (False, False, "")
        if not may_create:
            what = "tables in the schema relay" if has_schema else "the schema relay"
            raise StoreUnusable(f"{self.place}: Relay's role may not create {what}: {grant}")
        return bool(has_schema)

    async def _require_session_mode(self) -> None:
        """Raises ``StoreUnusable`` if transactions of one connection reach several connections of
        the server, or those of two connections the same one.

        Without a pooler the server announces its process by the right number. Under load a pooler
        in transaction mode may return the same connections by chance, hence several attempts.
        """
        async with self._connected() as one:
            process = await _process(one)
            if process == one.get_server_pid():
                return
            async with self._connected() as other:
                for _ in range(MODE_PROBES_COUNT):
                    async with other.transaction():
                        if await _process(other) == process or await _process(one) != process:
                            raise StoreUnusable(
                                f"{self.place} is a connection pooler in transaction mode: "
                                f"{POOLER_ADVICE}"
                            )

    @contextlib.asynccontextmanager
    async def _connected(
        self, command_timeout: float | None = None
    ) -> AsyncIterator["asyncpg.Connection[Any]"]:
        """A connection outside the pool that has no prepared statements."""
        arguments = self._arguments() | {"statement_cache_size": 0}
        if command_timeout:
            arguments["command_timeout"] = command_timeout
        if self._url.connect_timeout:
            arguments["timeout"] = self._url.connect_timeout
        connection = await asyncpg.connect(**arguments)
        try:
            yield connection
        finally:
            connection.terminate()

    def _arguments(self) -> dict[str, Any]:
        arguments: dict[str, Any] = {
            "dsn": self._url.dsn,
            "timeout": min(self._url.connect_timeout or CONNECTION_TIMEOUT, CONNECTION_TIMEOUT),
            "command_timeout": CONNECTION_TIMEOUT,
        }
        if self._url.transaction_mode:
            arguments["statement_cache_size"] = 0
        if self._url.tls is not None:
            arguments["ssl"] = self._url.tls
        if "application_name=" not in self._url.dsn:
            arguments["server_settings"] = {"application_name": "relay"}
        return arguments

    async def open(self) -> None:
        """Raises ``StoreUnusable``."""
        with self._usable():
            self._pool = await asyncpg.create_pool(
                **self._arguments(),
                min_size=0,
                max_size=self._max_connections or MAX_CONNECTIONS,
                init=self._set_up,
                reset=_no_reset,
            )

    async def _set_up(self, connection: "asyncpg.Connection[Any]") -> None:
        """Apply the settings to a new connection, not as it starts, since a pooler refuses or
        ignores them there. Raises ``StoreUnavailable`` unless they apply."""
        async with contextlib.AsyncExitStack() as stack:
            if self._url.transaction_mode:
                await stack.enter_async_context(connection.transaction())
            scope = "LOCAL" if self._url.transaction_mode else "SESSION"
            await connection.execute(_set_sql(scope))
            values = tuple(await connection.fetchrow(_READ_SETTINGS_SQL) or ())
        for (name, value), actual in zip(_SETTINGS.items(), values, strict=True):
            if actual != value:
                raise StoreUnavailable(
                    f"PostgreSQL: {name} is {actual!r} after Relay has set it to {value!r}: "
                    "the pooler in front of the database must pass SET on"
                )

    @contextlib.contextmanager
    def _usable(self) -> Iterator[None]:
        try:
            yield
        except (*DRIVER_ERRORS, ValueError) as error:
            text = without(self._url.secrets, sentence(error))
            if isinstance(error, asyncpg.InsufficientPrivilegeError):
                text += ": use the role that owns the schema relay"
            raise StoreUnusable(f"{self.place} can't be opened: {text}") from None

    @contextlib.asynccontextmanager
    async def single_connection(self) -> AsyncIterator["asyncpg.Connection[Any]"]:
        """A connection outside the pool. Raises ``StoreUnavailable``."""
        with available(self._url.secrets):
            async with self._connected() as connection:
                yield connection

    @contextlib.asynccontextmanager
    async def connection(self) -> AsyncIterator["PoolConnectionProxy[Any]"]:
        """Each statement is a transaction; in transaction mode all of them are one. Raises
        ``StoreUnavailable``."""
        if (pool := self._pool) is None:
            raise StoreUnavailable("PostgreSQL: the store is closed")
        with available(self._url.secrets):
            async with pool.acquire(timeout=CONNECTION_TIMEOUT) as connection:
                try:
                    async with self._set_up_again(connection):
                        yield connection
                except asyncpg.ReadOnlySQLTransactionError:
                    # The server is now a standby, or was one when the connection began. Only a new
                    # connection reaches its successor.
                    await pool.expire_connections()
                    raise

    @contextlib.asynccontextmanager
    async def _set_up_again(self, connection: "PoolConnectionProxy[Any]") -> AsyncIterator[None]:
        """In transaction mode, where settings last for a transaction."""
        if not self._url.transaction_mode:
            yield
            return
        async with connection.transaction():
            await connection.execute(_set_sql("LOCAL"))
            yield

    @contextlib.asynccontextmanager
    async def transaction(self) -> AsyncIterator["PoolConnectionProxy[Any]"]:
        async with self.connection() as connection:
            if connection.is_in_transaction():
                yield connection
                return
            async with connection.transaction():
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
    """Relay changes no session state after it has set up a connection, so a reset would be a wasted
    round trip; asyncpg itself rolls back an open transaction."""


async def _process(connection: "asyncpg.Connection[Any]") -> int:
    """The server's process behind a transaction: the current one, or one of its own."""
    async with connection.transaction():
        process: int = await connection.fetchval("SELECT pg_backend_pid()")
    return process


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
