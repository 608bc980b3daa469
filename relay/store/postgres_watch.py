"""Watching a PostgreSQL: what other replicas stored is told by NOTIFY."""

import asyncio
import json
import logging
from collections.abc import Callable, Collection
from typing import Any

import asyncpg

from relay.store.postgres_pool import PostgresPool

log = logging.getLogger(__name__)

AGAIN = 1.0
"""Seconds after which a connection that is lost is made anew."""


class NotificationListener:
    """One connection that listens, made anew when it is lost. What is told meanwhile is missed."""

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
        """Begin to listen."""
        self._task = asyncio.create_task(self._listen(), name="watch")

    async def stop(self) -> None:
        """End."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _listen(self) -> None:
        while True:
            try:
                connection = await self._pool.connect()
            except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError) as error:
                log.debug("no connection to listen on: %s", type(error).__name__)
                await asyncio.sleep(AGAIN)
                continue
            lost = asyncio.Event()
            try:
                connection.add_termination_listener(lambda _, lost=lost: lost.set())
                await connection.add_listener("relay_events", self._hear_events)
                await connection.add_listener("relay_queues", self._hear_queues)
                self._on_events()  # what was told before is missed
                await lost.wait()
            except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError) as error:
                log.debug("the connection to listen on is lost: %s", type(error).__name__)
            finally:
                connection.terminate()
            await asyncio.sleep(AGAIN)

    def _hear_events(self, *_: Any) -> None:
        self._on_events()

    def _hear_queues(self, _connection: Any, _pid: int, _channel: str, payload: object) -> None:
        queues = json.loads(str(payload))
        if queues:
            self._on_queues(queues)
