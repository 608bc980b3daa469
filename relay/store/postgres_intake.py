"""Group commit for PostgreSQL: all events that have gathered go into one statement, again and again
while the database is away, for as long as Penpot waits; it has no second try itself."""

import asyncio
from collections import deque

from relay.store.base import NewEvent, StoreUnavailable
from relay.store.columns import ACCEPTED
from relay.store.postgres_pool import PostgresPool

AT_ONCE = 256
"""Events in one statement, at the most."""
IN_TIME = 3.0
"""Seconds until who asks is answered, whatever the database does: Penpot waits 4."""
AGAIN = 0.1
"""Seconds between two tries. A second one does no harm: the same body is kept once."""
ACCEPT = (
    f"INSERT INTO relay.events ({ACCEPTED}) SELECT * FROM unnest($1::text[], $2::text[],"
    " $3::bytea[], $4::bytea[], $5::text[], $6::text[], $7::text[], $8::float8[])"
    " ON CONFLICT (team, digest) DO NOTHING"
)
TELL = "SELECT pg_notify('relay_events', '')"


class Intake:
    """Keeps events; who asks is answered when theirs is committed."""

    def __init__(self, pool: PostgresPool) -> None:
        self._pool = pool
        self._waiting: deque[tuple[NewEvent, asyncio.Future[None]]] = deque()
        self._task: asyncio.Task[None] | None = None
        self._trouble = ""

    async def accept(self, event: NewEvent) -> None:
        """See ``Store.accept``. One that is given up may be kept all the same."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((event, done))
        if self._task is None:
            self._task = asyncio.create_task(self._work())
        try:
            async with asyncio.timeout(IN_TIME):
                await done
        except TimeoutError:
            raise StoreUnavailable(self._trouble or "PostgreSQL: no answer in time") from None

    async def close(self) -> None:
        """Finish what was asked for."""
        if self._task is not None:
            await asyncio.gather(self._task, return_exceptions=True)

    async def _work(self) -> None:
        try:
            while self._waiting:
                some = [self._waiting.popleft() for _ in range(min(AT_ONCE, len(self._waiting)))]
                if batch := [one for one in some if not one[1].cancelled()]:
                    await self._commit(batch)
        finally:
            self._task = None

    async def _commit(self, batch: list[tuple[NewEvent, asyncio.Future[None]]]) -> None:
        error: Exception | None = None
        columns = list(zip(*(event for event, _ in batch), strict=True))
        try:
            async with self._pool.connection() as connection:
                await connection.execute(f"WITH kept AS ({ACCEPT}) {TELL}", *columns)
            self._trouble = ""
        except StoreUnavailable as unavailable:
            self._trouble = str(unavailable)
            self._waiting.extendleft(reversed(batch))
            await asyncio.sleep(AGAIN)
            return
        except Exception as raised:  # noqa: BLE001 - it is told to who asked
            if len(batch) > 1:  # one event that can't be stored is not the others' fault
                for one in batch:
                    await self._commit([one])
                return
            error = raised
        for _, done in batch:
            if done.cancelled():
                continue
            if error is None:
                done.set_result(None)
            else:
                done.set_exception(error)
