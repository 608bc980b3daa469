"""Fan-out: turns stored events into one message per channel that accepts them.

A team's events are processed in their order, one batch after the other; teams have a task each, so
that slow templates or lookups of one delay no other.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial

from relay.delivery.backoff import SHARED_POLL_INTERVAL, STORE_RETRY_DELAY, pause
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

MAX_TEAMS = 16  # that are processed at a time; with more, each has one batch in its turn
FAN_OUT_BATCH_SIZE = 64  # events of a team in one transaction
BATCH_BYTES = 256 * 1024  # of their bodies; larger bodies are processed one at a time
MAX_MESSAGE_BYTES = 4 * 1024 * 1024  # of a batch, after which it is stored
MAX_BATCH_SECONDS = 1.0
"""After which it is stored: a slow template must not delay the messages before it."""
LOAD_DELAY = 0.02  # seconds between two events while intake is under load
LOOK_DELAY = 0.01  # seconds between two searches for teams, while others are processed
LOOKUPS_DELAY = 0.05
"""Seconds between two reads of a team's new events, while it waits for the lookups of others."""
POLL_INTERVAL = 30.0
"""Seconds where no other replica stores events: intake may report an error for an event that was
stored after all."""


class FanOut:
    """Turns stored events into deliveries."""

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
        self._woken = asyncio.Event()  # an event was stored, or a task has ended
        self._stored = asyncio.Event()  # with the next event
        self._stop = asyncio.Event()
        self._pace = asyncio.Lock()
        self._tasks: dict[str, asyncio.Task[None]] = {}  # by team
        self._ended: list[asyncio.Task[None]] = []
        self._last_team = ""  # whose turn it was
        self._large_team = ""  # whose large body was processed last
        self._large_task: asyncio.Task[None] | None = None

    def wake(self) -> None:
        """Called when an event was stored."""
        self._woken.set()
        self._stored.set()
        self._stored = asyncio.Event()

    def stop(self) -> None:
        self._stop.set()
        self._woken.set()

    async def run(self) -> None:
        try:
            while not self._stop.is_set():
                self._woken.clear()
                await self._run_teams()
        finally:
            await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    async def _run_teams(self) -> None:
        """Start the tasks of the next teams, and wait until there may be others."""
        try:
            while self._ended:
                self._ended.pop().result()
            if not await self._store.acquire_lease(FAN_OUT_LEASE):
                await self._reset()
                await pause(SHARED_POLL_INTERVAL, self._stop)
                return
            has_started = await self._start_teams()
        except LeaseLost:
            log.warning("lease lost, another replica does the fan-out")
            await self._reset()
        except StoreUnavailable as error:
            self._ended.clear()  # they have the same error
            log.warning("fan-out waits for the store: %s", error)
            await pause(STORE_RETRY_DELAY, self._stop)
        else:
            shared = self._store.shared
            await pause(SHARED_POLL_INTERVAL if shared else POLL_INTERVAL, self._woken)
            if self._tasks and not has_started:
                await pause(LOOK_DELAY, self._stop)

    async def _start_teams(self) -> bool:
        """Start tasks for the next teams, in the order of their keys; whether there are any."""
        if len(self._tasks) >= MAX_TEAMS:
            return False
        sizes = await self._store.stored_teams(self._last_team, MAX_TEAMS)
        if len(sizes) < MAX_TEAMS and self._last_team:
            self._last_team = ""
            sizes |= await self._store.stored_teams("", MAX_TEAMS)
        has_started, is_turn = False, len(sizes) >= MAX_TEAMS
        next_large = self._next_large_team(sizes)
        for team, size in sizes.items():
            if len(self._tasks) == MAX_TEAMS:
                break
            if is_turn:  # otherwise there is room for all
                self._last_team = team
            is_large = size > BATCH_BYTES
            if team in self._tasks or (is_large and team != next_large):
                continue
            has_started = True
            task = asyncio.create_task(self._run_team(team, is_large), name=f"fan-out of {team}")
            if is_large:
                self._large_team, self._large_task = team, task
            self._tasks[team] = task
            task.add_done_callback(partial(self._end_team, team))
        return has_started

    def _next_large_team(self, sizes: Mapping[str, int]) -> str:
        """Empty while the large body of another team is processed."""
        if self._large_task is not None and not self._large_task.done():
            return ""
        teams = [team for team, size in sizes.items() if size > BATCH_BYTES]
        # false sorts before true: the first one after the last
        return min(teams, key=lambda team: (team <= self._large_team, team), default="")

    def _end_team(self, team: str, task: asyncio.Task[None]) -> None:
        del self._tasks[team]
        if not task.cancelled():
            self._ended.append(task)
        self._woken.set()

    async def _reset(self) -> None:
        """End all tasks: another replica processes the events, and keeps their facts."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._ended.clear()
        await self._forget()

    async def _forget(self, team: str | None = None) -> None:
        """The last plans of this team, or of all, were not stored."""
        self._planner.reset(team)
        await self._preparer.reset(team)

    async def _run_team(self, team: str, is_large: bool) -> None:
        """Process one batch of a team, and the next ones while no other team waits for its turn.
        Raises ``LeaseLost``, ``StoreUnavailable``."""
        try:
            while await self._fan_out(team, is_large) and len(self._tasks) < MAX_TEAMS:
                pass
        except BaseException:
            await self._forget(team)
            raise

    async def _fan_out(self, team: str, is_large: bool) -> bool:
        """Process one batch; whether the team has further events for another one.

        An event with lookups in progress delays the events after it, to keep their order, but none
        before it.
        """
        stored_more = self._stored
        limit, max_bytes = (1, None) if is_large else (FAN_OUT_BATCH_SIZE, BATCH_BYTES)
        events = await self._store.stored_events(limit, team, max_bytes)
        await self._preparer.start(events)
        started = time.monotonic()
        batch: list[FanOutResult] = []
        size = 0
        for stored in events:
            is_late = time.monotonic() - started > MAX_BATCH_SECONDS or size > MAX_MESSAGE_BYTES
            if self._stop.is_set() or (batch and is_late):
                break
            if (lookups_done := await self._preparer.pending(stored)) is not None:
                if batch:
                    break
                has_room = [stored_more] if len(events) < limit else []
                if not await self._wait_for_lookups(lookups_done, *has_room):
                    return not self._stop.is_set()
            batch.append(await self._plan(stored))
            size += batch[-1].size
            await self._give_way()
        if batch:
            names = {stored.id: stored.name for stored in events}
            for plan in await self._write(batch, team):
                self._report(plan, names[plan.event_id])
        is_partial = len(batch) < len(events) or len(events) == limit
        return is_partial and not is_large and not self._stop.is_set()

    async def _give_way(self) -> None:
        """Let other tasks run; while intake is under load, one event of all teams at a time."""
        if not self._is_under_load():
            await asyncio.sleep(0)
            return
        async with self._pace:
            await asyncio.sleep(LOAD_DELAY)

    async def _wait_for_lookups(self, done: asyncio.Event, *others: asyncio.Event) -> bool:
        """False when the service stops, or with one of ``others``: more events may be prepared."""
        waits = [asyncio.create_task(event.wait()) for event in (done, self._stop, *others)]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in waits:
                task.cancel()
        if not done.is_set() and not self._stop.is_set():
            await pause(LOOKUPS_DELAY, done)
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

    async def _write(self, batch: list[FanOutResult], team: str) -> Sequence[FanOutResult]:
        """Store plans and return what was stored: an unreadable event for a plan that fails."""
        try:
            stored = await self._store.save_fan_out(batch)
            self._planner.mark_stored(team)
        except (StoreUnavailable, LeaseLost):
            raise
        except Exception as error:
            log.exception("fan-out")
            await self._forget(team)
            if len(batch) > 1:
                return [plan for single in batch for plan in await self._write([single], team)]
            failed = _failed_plan(batch[0].event_id, team, error)
            stored = await self._store.save_fan_out([failed])
        return stored

    def _report(self, plan: FanOutResult, name: str) -> None:
        if not self._store.shared:  # a shared store notifies all replicas, which share queues
            self._queues.wake(delivery.queue for delivery in plan.deliveries)
        self._metrics.event(plan.team, name, plan.state)
        reason = f" ({plan.reason})" if plan.reason else ""
        log.info("event %d of %s, %s: %s%s", plan.event_id, plan.team, name, plan.state, reason)
        for text in self._planner.postponed(plan):
            log.info("%s", text)
        self._changed([plan.event_id])


def _failed_plan(event_id: int, team: str, error: Exception) -> FanOutResult:
    """The result for an event that a bug in Relay fails on."""
    return FanOutResult(event_id, team, "unreadable", f"bug: {type(error).__name__}")
