"""Fan-out: stored events, in their order, into one message for each channel that takes them."""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterable

from relay.delivery.pace import pause
from relay.delivery.plan import Planner, bug
from relay.delivery.queues import QueueManager
from relay.metrics import Metrics
from relay.store.base import FannedOut, LeaseLost, Store, StoredEvent, StoreUnavailable

log = logging.getLogger(__name__)

BATCH = 64
"""Events that are written in one transaction, at the most."""
BREATH = 0.02
"""Seconds between two events while intake is crowded."""
LEASE = "fan-out"
"""The lease of the one replica that fans out."""
SWEEP = 2.0
"""Seconds between two looks for events that other replicas stored, or left behind."""
ALONE = 30.0
"""The same where nobody else stores events: for what was kept though its intake gave up on it."""
STORE_PAUSE = 1.0
"""Seconds to wait when the store can't be read or written."""


class FanOut:
    """One task that turns stored events into deliveries."""

    def __init__(
        self,
        planner: Planner,
        store: Store,
        queues: QueueManager,
        metrics: Metrics,
        stand_back: Callable[[], bool],
        changed: Callable[[Iterable[int]], None] = lambda _: None,
    ) -> None:
        """While ``stand_back`` says so, the fan-out goes on only now and then: what is stored can
        wait, Penpot can't. ``changed`` is told what was fanned out."""
        self._planner = planner
        self._store = store
        self._queues = queues
        self._metrics = metrics
        self._stand_back = stand_back
        self._changed = changed
        self._woken = asyncio.Event()
        self._stop = asyncio.Event()

    def wake(self) -> None:
        """An event was stored."""
        self._woken.set()

    def stop(self) -> None:
        """End ``run`` soon; events that wait stay in the store."""
        self._stop.set()
        self._woken.set()

    async def run(self) -> None:
        """Fan out what is stored and what comes, until ``stop``."""
        while not self._stop.is_set():
            self._woken.clear()
            try:
                if not await self._store.lease(LEASE):
                    await self._planner.forget()
                    await pause(SWEEP, self._stop)
                elif not await self._fan_out():
                    await self._rest()
            except LeaseLost:
                log.warning("another replica fans out by now")
                await self._planner.forget()
            except StoreUnavailable as error:
                log.warning("fan-out waits for the store: %s", error)
                await self._planner.forget()
                await pause(STORE_PAUSE, self._stop)

    async def _rest(self) -> None:
        """Wait until something is stored, here or by another replica."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(SWEEP if self._store.shared else ALONE):
                await self._woken.wait()

    async def _fan_out(self) -> bool:
        """One batch; False when nothing was stored.

        An event that Penpot is asked about holds up those behind it, as their order is kept, but
        none before it.
        """
        batch: list[FannedOut] = []
        names: dict[int, str] = {}
        events = await self._store.stored(BATCH)
        await self._planner.prepare(events)
        for stored in events:
            if self._stop.is_set():
                break
            if not await self._planner.is_prepared(stored):
                if batch:
                    break
                if not await self._is_next(stored, alone=len(events) < BATCH):
                    return True
            batch.append(await self._planner.plan(stored, batch))
            names[stored.id] = stored.name
            await asyncio.sleep(BREATH if self._stand_back() else 0)
        for plan in await self._write(batch) if batch else ():
            if not self._store.shared:  # else all replicas are told at once, and share the queues
                self._queues.wake(delivery.queue for delivery in plan.deliveries)
            self._tell(plan, names[plan.event_id])
            self._changed([plan.event_id])
        return bool(batch)

    async def _is_next(self, stored: StoredEvent, *, alone: bool) -> bool:
        """Wait for what is asked about an event; False when something else is to be done before.

        Where it waits ``alone``, events that come meanwhile can be asked about as well.
        """
        prepared = asyncio.create_task(self._planner.prepared(stored))
        woken = asyncio.create_task((self._woken if alone else self._stop).wait())
        await asyncio.wait({prepared, woken}, return_when=asyncio.FIRST_COMPLETED)
        for task in (prepared, woken):
            task.cancel()
        return prepared.done()

    async def _write(self, batch: list[FannedOut]) -> list[FannedOut]:
        """Store plans; what was stored. In the place of one that can't be stands that it can't."""
        try:
            await self._store.fanned_out(batch)
            self._planner.kept()
        except (StoreUnavailable, LeaseLost):
            raise
        except Exception as error:
            log.exception("fan-out")
            await self._planner.forget()
            if len(batch) > 1:
                return [plan for each in batch for plan in await self._write([each])]
            batch = [bug(batch[0].event_id, batch[0].team, error)]
            await self._store.fanned_out(batch)
        return batch

    def _tell(self, plan: FannedOut, name: str) -> None:
        self._metrics.event(plan.team, name, plan.state)
        log.info(
            "event %d of %s, %s: %s%s",
            plan.event_id,
            plan.team,
            name,
            plan.state,
            f" ({plan.reason})" if plan.reason else "",
        )
