"""NOTIFY and LISTEN: replicas notify each other of new events and deliveries."""

import asyncio
import json
import logging
from collections.abc import Callable, Collection
from typing import Any

import asyncpg

from relay.store.postgres_pool import PostgresPool

log = logging.getLogger(__name__)

RECONNECT_DELAY = 1.0  # seconds
NOTIFY_BATCH_SIZE = 50  # queue names in one payload, which PostgreSQL limits to 8,000 bytes
NOTIFY_EVENTS_SQL = "SELECT pg_notify('relay_events', '')"
_NOTIFY_QUEUES_SQL = "SELECT pg_notify('relay_queues', unnest($1::text[]))"


async def notify_queues(connection: Any, queues: Collection[str]) -> None:
    names = sorted(queues)
    payloads = [
        json.dumps(names[first : first + NOTIFY_BATCH_SIZE])
        for first in range(0, len(names), NOTIFY_BATCH_SIZE)
    ]
    await connection.execute(_NOTIFY_QUEUES_SQL, payloads)


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
                connection = await self._pool.connect()
            except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError) as error:
                log.debug("can't connect to listen for notifications: %s", type(error).__name__)
                await asyncio.sleep(RECONNECT_DELAY)
                continue
            lost = asyncio.Event()
            try:
                connection.add_termination_listener(lambda _, lost=lost: lost.set())
                await connection.add_listener("relay_events", self._receive_events)
                await connection.add_listener("relay_queues", self._receive_queues)
                self._on_events()  # earlier notifications were lost
                await lost.wait()
            except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError) as error:
                log.debug("lost the connection for notifications: %s", type(error).__name__)
            finally:
                connection.terminate()
            await asyncio.sleep(RECONNECT_DELAY)

    def _receive_events(self, *_: Any) -> None:
        self._on_events()

    def _receive_queues(self, _connection: Any, _pid: int, _channel: str, payload: object) -> None:
        queues = json.loads(str(payload))
        if queues:
            self._on_queues(queues)
