"""The store in a PostgreSQL database: for several replicas."""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any, TypeVar

from relay.store.base import Store
from relay.store.engine import INSERT_EVENTS_SQL, Rows, Statement, Steps, Work
from relay.store.postgres_errors import POOLER_ADVICE
from relay.store.postgres_pool import PostgresPool, execute, run
from relay.store.postgres_replicas import (
    ChangePoller,
    NotificationListener,
    PostgresLeases,
    notify_queues,
)
from relay.store.postgres_url import PostgresUrl
from relay.store.records import DiskSpace, NewEvent, StoreUnavailable, StoreUnusable

T = TypeVar("T")

ACCEPT_BATCH_SIZE = 256  # events in one statement
ACCEPT_TIMEOUT = 3.0  # seconds until ``accept`` gives up; Penpot's timeout is 4
RETRY_DELAY = 0.1  # seconds; a repeated insert is harmless, because equal bodies are stored once
_INTAKE_CONNECTIONS_COUNT = 2
_SIZE_SQL = (
    "SELECT coalesce(sum(pg_total_relation_size(pg_class.oid)), 0)::int8 FROM pg_class"
    " JOIN pg_namespace ON pg_namespace.oid = relnamespace"
    " WHERE nspname = 'relay' AND relkind = 'r'"
)
_NOTIFY_EVENTS_SQL = "SELECT pg_notify('relay_events', '')"
_INTAKE_SQL = (
    f"WITH inserted AS ({INSERT_EVENTS_SQL})"
    f" {_NOTIFY_EVENTS_SQL}, current_setting('synchronous_commit')"
)
"""A pooler that is set to transaction mode under a running Relay drops the setting, and an answer
204 would promise too much."""


class PostgresStore(Store):
    """A store that several replicas share."""

    shared = True
    skip_locked_sql = "FOR UPDATE SKIP LOCKED"

    def __init__(self, url: str) -> None:
        super().__init__()
        self._url = PostgresUrl.parse(url)
        self.pool = PostgresPool(self._url)
        self.intake_pool = PostgresPool(self._url, _INTAKE_CONNECTIONS_COUNT)
        self._intake = PostgresIntake(self.intake_pool)
        self.leases = PostgresLeases(self.pool, self.intake_pool)
        self.unserved_sql = self.leases.unserved_sql
        self._listener: NotificationListener | None = None

    async def open(self, *, service: bool = True) -> None:
        await self.pool.prepare(service=service)
        await self.pool.open()
        await self.intake_pool.open()
        if not service:
            return
        try:
            await self.leases.open()
        except (StoreUnusable, StoreUnavailable) as error:
            await self.intake_pool.close()
            await self.pool.close()
            raise StoreUnusable(f"{self.pool.place} can't be written: {error}") from None
        if self._listener is not None:
            self._listener.start()

    async def close(self) -> None:
        if self._listener is not None:
            await self._listener.stop()
        await self._intake.close()
        await self.leases.close()
        await self.intake_pool.close()
        await self.pool.close()

    async def accept(self, event: NewEvent) -> None:
        await self._intake.accept(event)

    async def fetch(
        self, sql: str, *values: Any, rows: Sequence[Sequence[Any]] | None = None
    ) -> Rows:
        async with self.pool.connection() as connection:
            return await execute(connection, Statement(sql, values, rows))

    async def fetch_for_inspector(self, *statements: Statement) -> list[Rows]:
        async with self.pool.connection() as connection:
            return [await execute(connection, each) for each in statements]

    async def execute(self, sql: str, *values: Any) -> None:
        await self.fetch(sql, *values)

    async def write(self, work: Work[T]) -> T:
        async with self.pool.transaction() as connection:
            return await run(connection, work())

    def require_lease(self, name: str) -> Steps[None]:
        return self.leases.require(name)

    def require_queue_leases(self, delivery_ids: Sequence[int]) -> Steps[None]:
        return self.leases.require_of_deliveries(delivery_ids)

    def notify_events(self) -> Steps[None]:
        yield Statement(_NOTIFY_EVENTS_SQL)

    def notify_queues(self, queues: Collection[str]) -> Steps[None]:
        return notify_queues(queues)

    async def acquire_lease(self, name: str) -> bool:
        return await self.leases.acquire(name)

    def holds_lease(self, name: str) -> bool:
        return self.leases.holds(name)

    async def release_lease(self, name: str) -> None:
        await self.leases.release(name)

    def listen(
        self, on_events: Callable[[], None], on_queues: Callable[[Collection[str]], None]
    ) -> None:
        listener = ChangePoller if self._url.transaction_mode else NotificationListener
        self._listener = listener(self.pool, on_events, on_queues)

    async def backup(self, path: Path) -> None:
        raise StoreUnusable(f"to back up {self.pool.place} run pg_dump --schema=relay")

    async def disk_space(self) -> DiskSpace:
        ((used,),) = await self.fetch(_SIZE_SQL)
        return DiskSpace(used)

    async def probe(self) -> None:
        async with self.intake_pool.connection() as connection:
            await connection.execute("UPDATE relay.probe SET at = $1", time.time())


class PostgresIntake:
    """Group commit: one statement inserts all pending events. While the database is down it is
    retried until Penpot's timeout, because Penpot does not retry."""

    def __init__(self, pool: PostgresPool) -> None:
        self._pool = pool
        self._pending: deque[tuple[NewEvent, asyncio.Future[None]]] = deque()
        self._task: asyncio.Task[None] | None = None
        self._last_error = ""

    async def accept(self, event: NewEvent) -> None:
        """Raises ``StoreUnavailable``; the event may then be stored all the same."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._pending.append((event, done))
        if self._task is None:
            self._task = asyncio.create_task(self._work())
        try:
            async with asyncio.timeout(ACCEPT_TIMEOUT):
                await done
        except TimeoutError:
            raise StoreUnavailable(self._last_error or "PostgreSQL: no answer in time") from None

    async def close(self) -> None:
        """Finish pending inserts."""
        if self._task is not None:
            await asyncio.gather(self._task, return_exceptions=True)

    async def _work(self) -> None:
        try:
            while self._pending:
                count = min(ACCEPT_BATCH_SIZE, len(self._pending))
                batch = [self._pending.popleft() for _ in range(count)]
                if batch := [(event, done) for event, done in batch if not done.cancelled()]:
                    await self._commit(batch)
        finally:
            self._task = None

    async def _insert(self, columns: Sequence[Sequence[Any]]) -> None:
        async with self._pool.connection() as connection:
            _, synchronous = await connection.fetchrow(_INTAKE_SQL, *columns) or ("", "")
            if synchronous != "on":
                raise StoreUnavailable(f"synchronous_commit is {synchronous}: {POOLER_ADVICE}")

    async def _commit(self, batch: list[tuple[NewEvent, asyncio.Future[None]]]) -> None:
        error: Exception | None = None
        columns = list(zip(*(event for event, _ in batch), strict=True))
        try:
            await self._insert(columns)
            self._last_error = ""
        except StoreUnavailable as unavailable:
            self._last_error = str(unavailable)
            self._pending.extendleft(reversed(batch))
            await asyncio.sleep(RETRY_DELAY)
            return
        except Exception as raised:  # noqa: BLE001 - the caller receives it
            if len(batch) > 1:  # an event that can't be stored must not fail the others
                for item in batch:
                    await self._commit([item])
                return
            error = raised
        for _, done in batch:
            if done.cancelled():
                continue
            if error is None:
                done.set_result(None)
            else:
                done.set_exception(error)
