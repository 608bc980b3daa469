"""Fan-out: turns stored events, in their order, into one message per channel that accepts them."""

import asyncio
import logging
from collections.abc import Callable, Iterable

from relay.delivery.backoff import pause
from relay.delivery.pipeline import EventPreparer
from relay.delivery.queues import QueueManager
from relay.delivery.routing import Planner
from relay.metrics import Metrics
from relay.penpot.events import NotAnEvent
from relay.penpot.wire import UnreadableBody
from relay.store.base import Store
from relay.store.records import (
    FAN_OUT_LEASE,
    FanOutResult,
    LeaseLost,
    StoredEvent,
    StoreUnavailable,
)

log = logging.getLogger(__name__)

FAN_OUT_BATCH_SIZE = 64  # events in one transaction
LOAD_DELAY = 0.02  # seconds between two events while intake is under load
SHARED_POLL_INTERVAL = 2.0  # seconds between two polls where replicas share the store
POLL_INTERVAL = 30.0
"""Seconds where no other replica stores events: intake may report an error for an event that was
stored after all."""
STORE_RETRY_DELAY = 1.0  # seconds


class FanOut:
    """The task that turns stored events into deliveries."""

    def __init__(
        self,
        preparer: EventPreparer,
        planner: Planner,
        store: Store,
        queues: QueueManager,
        metrics: Metrics,
        is_under_load: Callable[[], bool],
        changed: Callable[[Iterable[int]], None] = lambda _: None,
    ) -> None:
        """While ``is_under_load``, intake goes first: stored events can wait, Penpot can't.
        ``changed`` is called with the ids of events that were fanned out."""
        self._preparer = preparer
        self._planner = planner
        self._store = store
        self._queues = queues
        self._metrics = metrics
        self._is_under_load = is_under_load
        self._changed = changed
        self._woken = asyncio.Event()
        self._stop = asyncio.Event()

    def wake(self) -> None:
        """Called when an event was stored."""
        self._woken.set()

    def stop(self) -> None:
        self._stop.set()
        self._woken.set()

    async def run(self) -> None:
        while not self._stop.is_set():
            self._woken.clear()
            try:
                if not await self._store.acquire_lease(FAN_OUT_LEASE):
                    await self._preparer.reset()
                    await pause(SHARED_POLL_INTERVAL, self._stop)
                elif not await self._fan_out():
                    shared = self._store.shared
                    await pause(SHARED_POLL_INTERVAL if shared else POLL_INTERVAL, self._woken)
            except LeaseLost:
                log.warning("lease lost, another replica does the fan-out")
                await self._preparer.reset()
            except StoreUnavailable as error:
                log.warning("fan-out waits for the store: %s", error)
                await self._preparer.reset()
                await pause(STORE_RETRY_DELAY, self._stop)

    async def _fan_out(self) -> bool:
        """Process one batch; False when no events are stored.

        An event with lookups in progress delays the events after it, to keep their order, but none
        before it.
        """
        events = await self._store.stored_events(FAN_OUT_BATCH_SIZE)
        await self._preparer.start(events)
        batch: list[FanOutResult] = []
        for stored in events:
            if self._stop.is_set():
                break
            if (lookups_done := await self._preparer.pending(stored)) is not None:
                if batch:
                    break
                has_room = len(events) < FAN_OUT_BATCH_SIZE
                if not await self._wait_for_lookups(lookups_done, or_new_events=has_room):
                    return True
            batch.append(await self._plan(stored))
            await asyncio.sleep(LOAD_DELAY if self._is_under_load() else 0)
        if batch:
            names = {stored.id: stored.name for stored in events}
            for plan in await self._write(batch):
                self._report(plan, names[plan.event_id])
        return bool(batch)

    async def _wait_for_lookups(self, done: asyncio.Event, *, or_new_events: bool) -> bool:
        """False when the service stops, or, with ``or_new_events``, when more events can be
        prepared."""
        woken = self._woken if or_new_events else self._stop
        waits = [asyncio.create_task(event.wait()) for event in (done, woken)]
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        for task in waits:
            task.cancel()
        return done.is_set()

    async def _plan(self, stored: StoredEvent) -> FanOutResult:
        """Raises ``StoreUnavailable`` and nothing else: one event must not hold up the others."""
        try:
            return await self._planner.plan(stored, await self._preparer.take(stored))
        except (UnreadableBody, NotAnEvent) as error:
            return FanOutResult(stored.id, stored.team, "unreadable", str(error))
        except StoreUnavailable:
            raise
        except Exception as error:
            log.exception("event %d", stored.id)
            return _failed_plan(stored.id, stored.team, error)

    async def _write(self, batch: list[FanOutResult]) -> list[FanOutResult]:
        """Store plans and return what was stored: an unreadable event for a plan that fails."""
        try:
            await self._store.save_fan_out(batch)
            self._planner.mark_stored()
        except (StoreUnavailable, LeaseLost):
            raise
        except Exception as error:
            log.exception("fan-out")
            await self._preparer.reset()
            if len(batch) > 1:
                return [plan for single in batch for plan in await self._write([single])]
            batch = [_failed_plan(batch[0].event_id, batch[0].team, error)]
            await self._store.save_fan_out(batch)
        return batch

    def _report(self, plan: FanOutResult, name: str) -> None:
        if not self._store.shared:  # a shared store notifies all replicas, which share queues
            self._queues.wake(delivery.queue for delivery in plan.deliveries)
        self._metrics.event(plan.team, name, plan.state)
        reason = f" ({plan.reason})" if plan.reason else ""
        log.info("event %d of %s, %s: %s%s", plan.event_id, plan.team, name, plan.state, reason)
        self._changed([plan.event_id])


def _failed_plan(event_id: int, team: str, error: Exception) -> FanOutResult:
    """The result for an event that a bug in Relay fails on."""
    return FanOutResult(event_id, team, "unreadable", f"bug: {type(error).__name__}")
