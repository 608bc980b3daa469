"""Group commit for PostgreSQL: one statement inserts all pending events. While the database is down
it is retried until Penpot's timeout, because Penpot does not retry."""

import asyncio
from collections import deque

from relay.store.columns import NEW_EVENT_COLUMNS
from relay.store.postgres_notifications import NOTIFY_EVENTS_SQL
from relay.store.postgres_pool import PostgresPool
from relay.store.records import NewEvent, StoreUnavailable

ACCEPT_BATCH_SIZE = 256  # events in one statement
ACCEPT_TIMEOUT = 3.0  # seconds until ``accept`` gives up; Penpot's timeout is 4
RETRY_DELAY = 0.1  # seconds; a repeated insert is harmless, because equal bodies are stored once
INSERT_EVENTS_SQL = (
    f"INSERT INTO relay.events ({NEW_EVENT_COLUMNS}) SELECT * FROM unnest($1::text[], $2::text[],"
    " $3::bytea[], $4::bytea[], $5::text[], $6::text[], $7::text[], $8::float8[])"
    " ON CONFLICT (team, digest) DO NOTHING"
)


class PostgresIntake:
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

    async def _commit(self, batch: list[tuple[NewEvent, asyncio.Future[None]]]) -> None:
        error: Exception | None = None
        columns = list(zip(*(event for event, _ in batch), strict=True))
        sql = f"WITH inserted AS ({INSERT_EVENTS_SQL}) {NOTIFY_EVENTS_SQL}"
        try:
            async with self._pool.connection() as connection:
                await connection.execute(sql, *columns)
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
