"""Runs a queue for every channel with waiting deliveries."""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Iterable, Mapping

from relay.delivery.backoff import SHARED_POLL_INTERVAL, STORE_RETRY_DELAY, pause
from relay.delivery.dead import report_dead_letters
from relay.delivery.queue import ChannelQueue
from relay.delivery.queue_context import QueueContext, QueueSettings
from relay.store.base import Store
from relay.store.records import LeaseLost, StoreUnavailable, queue_lease

log = logging.getLogger(__name__)


class StoredKeyValues:
    """``relay.channels.base.KeyValueStore`` in the store. An unavailable store costs no message:
    a read finds nothing, and a write is lost."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def get(self, key: str, age: float) -> str | None:
        try:
            stored = await self._store.get_value(key)
        except StoreUnavailable as error:
            log.warning("the store can't read a channel's value: %s", error)
            return None
        return None if stored is None or time.time() - stored.at > age else stored.value

    async def put(self, key: str, value: str) -> None:
        try:
            await self._store.put_value(key, value)
        except StoreUnavailable as error:
            log.warning("the store can't write a channel's value: %s", error)


POLL_INTERVAL = 5.0  # seconds between two polls for deliveries that another process put back
MAX_COUNT_RATIO = 0.01  # of the time may be spent on counting waiting deliveries


class QueueManager:
    """Sends the waiting deliveries of all queues.

    A queue has a task only while it has deliveries, so idle queues cost nothing. After a crash each
    queue repeats at most the one message that was being sent, under the same key.
    """

    def __init__(self, settings: Mapping[str, QueueSettings], context: QueueContext) -> None:
        """``settings``: those of the config's queues, by name."""
        self._settings = settings
        self._context = context
        self._store = context.store
        self._stop = context.stop
        self._queues: dict[str, ChannelQueue] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._woken: set[str] = set()
        self._count_at = 0.0

    def wake(self, names: Iterable[str]) -> None:
        """Start the queues that have new deliveries."""
        for name in names:
            self._woken.add(name)
            if name in self._settings and name not in self._tasks and not self._stop.is_set():
                self._tasks[name] = asyncio.create_task(self._drain(name), name=f"queue {name}")

    async def run(self) -> None:
        unknown: set[str] = set()
        while not self._stop.is_set():
            try:
                await self._release()
                busy = await self._store.busy_queues()
                self.wake(busy)
                for name, queue in self._queues.items():
                    queue.update_head(busy.get(name))
                await self._count()
                for name in busy.keys() - self._settings.keys() - unknown:
                    unknown.add(name)
                    log.warning("deliveries wait for queue %s, which is not in the config", name)
            except StoreUnavailable as error:
                log.warning("the store can't be read: %s", error)
            await pause(SHARED_POLL_INTERVAL if self._store.shared else POLL_INTERVAL, self._stop)

    async def _release(self) -> None:
        """Let the deliveries wait whose hold is over."""
        while released := await self._store.holds.release(time.time()):
            for queue, number in Counter(each.queue for each in released).items():
                log.info("queue %s: %d held deliveries are released", queue, number)
            self._context.changed(each.event_id for each in released)

    async def _count(self) -> None:
        """Update the metrics of waiting and dead deliveries, and report dead ones that no queue has
        reported; less often where counting is slow."""
        started = time.monotonic()
        if started < self._count_at:
            return
        waiting = await self._store.waiting_queues()
        undecided = await self._store.undecided_queues()
        held = await self._store.holds.counts()
        dead = await self._store.problems.dead()
        self._count_at = started + (time.monotonic() - started) / MAX_COUNT_RATIO
        counts = {queue: letters.number for queue, letters in dead.items()}
        self._context.metrics.set_deliveries(waiting, undecided, held, counts, self._settings)
        for queue in dead.keys() & self._settings.keys():
            await report_dead_letters(queue, self._store, self._context.alerts)

    async def stop(self, grace: float) -> None:
        """Give messages that are being sent ``grace`` seconds until their receipts are stored.

        No further send starts: waiting deliveries are safe, and a flood must not make each restart
        as long as ``grace`` allows and then interrupt a send after all.
        """
        self._stop.set()
        for queue in self._queues.values():
            queue.wake()
        tasks = list(self._tasks.values())
        if sending := sum(queue.is_sending for queue in self._queues.values()):
            messages = "message" if sending == 1 else "messages"
            log.info("waiting up to %.0f s for %d %s", grace, sending, messages)
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
                if not await self._store.acquire_lease(queue_lease(name)):
                    return
                if name not in self._queues:
                    self._queues[name] = ChannelQueue(name, self._settings[name], self._context)
                queue = self._queues[name]
                queue.lease_acquired()
                if self._settings[name].hold is not None:  # they go before new ones
                    await self._release()
                while not self._stop.is_set() and await queue.send_next():
                    pass
                await queue.lease_ends()
                await self._store.release_lease(queue_lease(name))
        except LeaseLost:
            log.warning("queue %s: lease lost, another replica may serve it", name)
            # It exports whether the queue is stopped; here that would stay as it is.
            self._context.metrics.stopped(name, is_stopped=False)
        except StoreUnavailable as error:
            log.warning("queue %s waits for the store: %s", name, error)
            await pause(STORE_RETRY_DELAY, self._stop)
        except Exception:  # a bug; ``run`` starts the queue again
            log.exception("queue %s", name)
        finally:
            del self._tasks[name]
