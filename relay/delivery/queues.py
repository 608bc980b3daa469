"""Queues: every channel's messages, one after the other, in the order of the events."""

import asyncio
import logging
import sys
import time
from collections.abc import Awaitable, Callable, Iterable

from relay.channels.base import Channel
from relay.delivery.clock import RetryTimers
from relay.delivery.health import QueueHealth
from relay.delivery.pace import pause
from relay.delivery.queue import ChannelQueue, QueueContext
from relay.metrics import Metrics
from relay.picture import Picture
from relay.store.base import LeaseLost, Store, StoreUnavailable, queue_lease

log = logging.getLogger(__name__)

SWEEP = 5.0
"""Seconds between two looks, at all queues at once, for what another process put back."""
SHARED_SWEEP = 2.0
"""The same where several replicas share the store, and one may have left its queues behind."""
COUNTING = 0.01
"""The part of the time that counting what waits may take."""
STORE_PAUSE = 1.0
"""Seconds to wait when the store can't be read."""


async def _no_picture(media: str) -> Picture | None:
    return None


class QueueManager:
    """Sends what waits in the store.

    A queue has a task only while something waits for it, so idle queues cost nothing. After a crash
    at most the one message of each that was under way is sent again, under the same key.
    """

    def __init__(
        self,
        store: Store,
        names: Iterable[str],
        threaded: Iterable[str],
        open_channel: Callable[[str], Channel],
        pace: Callable[[str], float | None],
        *,
        retention: float,
        metrics: Metrics,
        pictures: Callable[[str], Awaitable[Picture | None]] = _no_picture,
        digest_after: Callable[[str], int] = lambda _: sys.maxsize,
        alerts_to: Callable[[str], str | None] = lambda _: None,
        clock_is_sure: Callable[[], bool] = lambda: True,
        changed: Callable[[Iterable[int]], None] = lambda _: None,
    ) -> None:
        """``names``: the queues of the config; ``threaded``: those whose channels have threads.
        ``open_channel`` makes a queue's channel when its first message goes out; ``pace`` tells the
        messages a minute that its config allows, None for the server's documented pace.
        ``retention`` in seconds; ``pictures`` gives the picture of an id in Penpot. A queue in
        which more than ``digest_after`` messages wait puts them together; ``alerts_to`` tells the
        queue that is told when another has stopped. Nothing is too old while ``clock_is_sure`` says
        that the time may be wrong. ``changed`` is told the events whose deliveries were sent,
        failed or died."""
        self._store = store
        self._names = frozenset(names)
        self._threaded = frozenset(threaded)
        self._open_channel = open_channel
        self._pace = pace
        self._metrics = metrics
        self._digest_after = digest_after
        self._health = QueueHealth(store, metrics, alerts_to)
        self._stop = asyncio.Event()
        self._means = QueueContext(
            store=store,
            metrics=metrics,
            health=self._health,
            pictures=pictures,
            retention=retention,
            clock_is_sure=clock_is_sure,
            changed=changed,
            stop=self._stop,
            waits=RetryTimers(),
        )
        self._queues: dict[str, ChannelQueue] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._woken: set[str] = set()
        self._count_at = 0.0

    def wake(self, names: Iterable[str]) -> None:
        """Something waits for these queues."""
        for name in names:
            self._woken.add(name)
            if name in self._names and name not in self._tasks and not self._stop.is_set():
                self._tasks[name] = asyncio.create_task(self._drain(name), name=f"queue {name}")

    async def run(self) -> None:
        """Look for waiting deliveries again and again, until ``stop``."""
        strangers: set[str] = set()
        while not self._stop.is_set():
            try:
                busy = await self._store.busy_queues()
                self.wake(busy)
                for name, queue in self._queues.items():
                    queue.look(busy.get(name))
                await self._count()
            except StoreUnavailable as error:
                log.warning("the store can't be read: %s", error)
            else:
                for name in busy.keys() - self._names - strangers:
                    strangers.add(name)
                    log.warning("deliveries wait for %s, which is not in the config", name)
            await pause(SHARED_SWEEP if self._store.shared else SWEEP, self._stop)

    async def _count(self) -> None:
        """Tell how much waits, unless counting that took so long that it is too soon again."""
        begun = time.monotonic()
        if begun < self._count_at:
            return
        waiting = await self._store.waiting_queues()
        self._count_at = begun + (time.monotonic() - begun) / COUNTING
        self._metrics.backlog(waiting, self._names)

    async def stop(self, grace: float) -> None:
        """End: what is being sent has ``grace`` seconds to come to its receipt, and that to the
        store.

        Nothing else is begun, though there may be time: what waits is safe, and goes out first
        thing after the next start, in its order. Else a flood would make each restart as long as
        it may be, and end it in the middle of a send after all.
        """
        self._stop.set()
        for queue in self._queues.values():
            queue.wake()
        tasks = list(self._tasks.values())
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=grace)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
        await asyncio.gather(*(queue.close() for queue in self._queues.values()))

    async def _drain(self, name: str) -> None:
        try:
            while name in self._woken and not self._stop.is_set():
                self._woken.discard(name)
                if not await self._has_lease(name):
                    return
                queue = self._queue(name)
                queue.begin()
                if self._store.shared:
                    self._health.look_again(name)
                while not self._stop.is_set():
                    if not await queue.send_next():
                        break
                await self._release(name)
        except LeaseLost:
            log.warning("queue %s may be served by another replica by now", name)
        finally:
            del self._tasks[name]

    async def _has_lease(self, name: str) -> bool:
        """Whether this replica may serve the queue; another may have it, or the store be away."""
        try:
            return await self._store.lease(queue_lease(name))
        except StoreUnavailable as error:
            log.warning("queue %s waits for the store: %s", name, error)
            await pause(STORE_PAUSE, self._stop)
            return False

    async def _release(self, name: str) -> None:
        try:
            await self._store.release(queue_lease(name))
        except StoreUnavailable as error:
            log.warning("the lease of queue %s can't be given back: %s", name, error)

    def _queue(self, name: str) -> ChannelQueue:
        if name not in self._queues:
            self._queues[name] = ChannelQueue(
                name,
                self._means,
                self._open_channel,
                self._pace(name),
                threaded=name in self._threaded,
                digest_after=self._digest_after(name),
            )
        return self._queues[name]
