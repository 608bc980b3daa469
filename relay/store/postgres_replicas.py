"""How replicas share a database: by leases each queue, the fan-out and the sync are served by one
of them; by NOTIFY and LISTEN they are notified of each other's events and deliveries."""

import asyncio
import contextlib
import json
import logging
import time
import uuid
from collections.abc import Callable, Collection, Sequence
from typing import Any

from relay.store.attempts import id_rows
from relay.store.engine import Statement, Steps
from relay.store.postgres_errors import sentence
from relay.store.postgres_pool import PostgresPool
from relay.store.records import LeaseLost, StoreUnavailable, queue_lease

log = logging.getLogger(__name__)

HEARTBEAT_INTERVAL = 2.0  # seconds
HEARTBEAT_RETRY_DELAY = 0.3  # seconds; several retries fit into ``LEASE_TTL``
LEASE_TTL = 6.0  # seconds from a replica's last heartbeat until others may take over its leases
RECONNECT_DELAY = 1.0  # seconds
CHANGE_POLL_INTERVAL = 1.0  # seconds
NOTIFY_BATCH_SIZE = 50  # queue names in one payload, which PostgreSQL limits to 8,000 bytes

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
_QUEUE_OWNERS_SQL = (
    "SELECT queue, (SELECT owner FROM relay.leases WHERE name = 'queue:' || queue FOR SHARE)"
    " FROM (SELECT DISTINCT queue FROM relay.deliveries WHERE id = ANY($1::int8[])) AS queues"
)
_LAST_IDS_SQL = "SELECT (SELECT max(id) FROM relay.events), (SELECT max(id) FROM relay.deliveries)"
_NOTIFY_QUEUES_SQL = "SELECT pg_notify('relay_queues', unnest($1::text[]))"


def boot_clock() -> float:
    """Seconds, counting also while the machine is suspended: leases expire meanwhile."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class PostgresLeases:
    """The leases of this replica. One row keeps all of them alive, so that holding a lease costs
    no query."""

    def __init__(
        self,
        pool: PostgresPool,
        intake_pool: PostgresPool,
        clock: Callable[[], float] = boot_clock,
    ) -> None:
        """Heartbeats use ``intake_pool``, where they do not wait for the queues' queries."""
        self._clock = clock
        self._pool = pool
        self._intake_pool = intake_pool
        self._no_takeover_until = 0.0
        self._last_heartbeat = 0.0
        self._lapses = 0
        self._acquired: dict[str, int] = {}
        """By name: ``_lapses`` when the lease was acquired."""
        self.owner = uuid.uuid4().hex
        self._heartbeat_task: asyncio.Task[None] | None = None

    @property
    def unserved_sql(self) -> str:
        return (
            "NOT EXISTS (SELECT FROM relay.leases AS held JOIN relay.replicas USING (owner)"
            f" WHERE held.name = 'queue:' || busy.queue AND owner <> '{self.owner}'"
            " AND expires_at > now())"
        )

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
        may_take_over = self._clock() >= self._no_takeover_until
        lapses = self._lapses
        async with self._pool.connection() as connection:
            owner = await connection.fetchval(_ACQUIRE_SQL, name, self.owner, may_take_over)
        if owner is not None:
            self._acquired[name] = lapses
        return owner is not None

    def holds(self, name: str) -> bool:
        """Whether heartbeats never lapsed since the lease was acquired here."""
        is_late = self._clock() - self._last_heartbeat >= LEASE_TTL
        return not is_late and self._acquired.get(name) == self._lapses

    async def release(self, name: str) -> None:
        self._acquired.pop(name, None)
        async with self._pool.connection() as connection:
            await connection.execute(
                "DELETE FROM relay.leases WHERE name = $1 AND owner = $2", name, self.owner
            )

    def require(self, name: str) -> Steps[None]:
        """Prevent a take-over until the transaction ends. Raises ``LeaseLost``."""
        rows = yield Statement("SELECT owner FROM relay.leases WHERE name = $1 FOR SHARE", (name,))
        if not rows or rows[0][0] != self.owner:
            raise LeaseLost(name)

    def require_of_deliveries(self, ids: Sequence[int]) -> Steps[None]:
        """The same for the queues of these deliveries."""
        for queue, owner in (yield Statement(_QUEUE_OWNERS_SQL, rows=id_rows(ids))):
            if owner != self.owner:
                raise LeaseLost(queue_lease(queue))

    async def _run(self) -> None:
        delay = HEARTBEAT_INTERVAL
        while True:
            await asyncio.sleep(delay)
            try:
                await self._heartbeat()
                delay = HEARTBEAT_INTERVAL
            except Exception as error:  # noqa: BLE001 - without heartbeats all leases are lost
                self._no_takeover_until = self._clock() + LEASE_TTL
                level = logging.WARNING if delay == HEARTBEAT_INTERVAL else logging.DEBUG
                log.log(level, "heartbeat failed: %s", sentence(error))
                delay = HEARTBEAT_RETRY_DELAY

    async def _heartbeat(self) -> None:
        started = self._clock()
        async with self._intake_pool.connection() as connection:
            await connection.execute(_HEARTBEAT_SQL, self.owner, LEASE_TTL)
        if self._clock() - self._last_heartbeat >= LEASE_TTL:
            self._lapses += 1  # another replica may have taken over any lease meanwhile
        self._last_heartbeat = started


def notify_queues(queues: Collection[str]) -> Steps[None]:
    names = sorted(queues)
    payloads = [
        (json.dumps(names[first : first + NOTIFY_BATCH_SIZE]),)
        for first in range(0, len(names), NOTIFY_BATCH_SIZE)
    ]
    yield Statement(_NOTIFY_QUEUES_SQL, rows=payloads)


class NotificationListener:
    """A connection that listens and reconnects. Notifications sent while it is disconnected are
    lost."""

    def __init__(
        self,
        pool: PostgresPool,
        on_events: Callable[[], None],
        on_queues: Callable[[Collection[str]], None],
    ) -> None:
        self._pool = pool
        self._on_events = on_events
        self._on_queues = on_queues
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._listen(), name="notifications")

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _listen(self) -> None:
        while True:
            try:
                async with self._pool.single_connection() as connection:
                    lost = asyncio.Event()
                    connection.add_termination_listener(lambda _, lost=lost: lost.set())
                    await connection.add_listener("relay_events", self._receive_events)
                    await connection.add_listener("relay_queues", self._receive_queues)
                    self._on_events()  # earlier notifications were lost
                    await lost.wait()
            except Exception as error:  # noqa: BLE001 - it reconnects after any error
                log.debug("not connected for notifications: %s", sentence(error))
            await asyncio.sleep(RECONNECT_DELAY)

    def _receive_events(self, *_: Any) -> None:
        self._on_events()

    def _receive_queues(self, _connection: Any, _pid: int, _channel: str, payload: object) -> None:
        queues = json.loads(str(payload))
        if queues:
            self._on_queues(queues)


class ChangePoller(NotificationListener):
    """Instead of LISTEN, which needs a session of its own: polls for events and deliveries of other
    replicas. The queues poll for theirs themselves."""

    async def _listen(self) -> None:
        last: tuple[Any, ...] | None = None
        while True:
            try:
                async with self._pool.connection() as connection:
                    ids = tuple(await connection.fetchrow(_LAST_IDS_SQL) or ())
                if ids != last:
                    self._on_events()
                last = ids
            except Exception as error:  # noqa: BLE001 - it continues after any error
                log.debug("can't poll for changes: %s", sentence(error))
            await asyncio.sleep(CHANGE_POLL_INTERVAL)
