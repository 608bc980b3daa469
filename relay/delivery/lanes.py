"""Lanes: every channel's messages, one after the other, in the order of the events."""

import asyncio
import logging
import sys
import time
import uuid
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import replace

from relay.channels.base import Channel, Failure, Thread
from relay.delivery import digest
from relay.delivery.changes import Attempt, Outcome
from relay.delivery.clock import Waits
from relay.delivery.health import Health
from relay.delivery.pace import Pace, pause
from relay.delivery.retry import delay
from relay.messages.message import Message
from relay.metrics import Metrics
from relay.picture import Picture
from relay.store.base import Delivery, LeaseLost, Store, StoreUnavailable, ThreadPlace

log = logging.getLogger(__name__)

READ_AHEAD = 32
"""Deliveries that a lane reads from the store at once."""
SWEEP = 5.0
"""Seconds between two looks for deliveries that another process put back."""
SHARED_SWEEP = 2.0
"""The same where several replicas share the store, and one may have left its lanes behind."""
COUNTING = 0.01
"""The part of the time that counting what waits may take."""
STORE_PAUSE = 1.0
"""Seconds to wait when the store can't be written."""


async def _no_picture(media: str) -> Picture | None:
    return None


class Lanes:
    """Sends what waits in the store.

    A lane has a task only while something waits for it, so idle lanes cost nothing. Every
    receipt is on disk before the lane's next message goes out: after a crash at most the one
    message that was under way is sent again, under the same key.
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
        """``names``: the lanes of the config; ``threaded``: those whose channels have threads.
        ``open_channel`` makes a lane's channel when its first message goes out; ``pace`` tells the
        messages a minute that its config allows, None for the server's documented pace.
        ``retention`` in seconds; ``pictures`` gives the picture of an id in Penpot. A lane in
        which more than ``digest_after`` messages wait puts them together; ``alerts_to`` tells the
        lane that is told when another has stopped. Nothing is too old while ``clock_is_sure`` says
        that the time may be wrong. ``changed`` is told the events whose deliveries were sent,
        failed or died."""
        self._store = store
        self._names = frozenset(names)
        self._threaded = frozenset(threaded)
        self._open_channel = open_channel
        self._pace = pace
        self._retention = retention
        self._metrics = metrics
        self._pictures = pictures
        self._digest_after = digest_after
        self._changed = changed
        self._health = Health(store, metrics, alerts_to)
        self._clock_is_sure = clock_is_sure
        self._waits = Waits()
        self._started: dict[str, float] = {}
        self._apart: dict[str, frozenset[int]] = {}
        self._done: dict[int, set[str]] = {}
        self._begun: set[str] = set()
        self._channels: dict[str, tuple[Channel, Pace]] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._woken: set[str] = set()
        self._count_at = 0.0
        self._stop = asyncio.Event()

    def wake(self, names: Iterable[str]) -> None:
        """Something waits for these lanes."""
        for name in names:
            self._woken.add(name)
            if name in self._names and name not in self._tasks and not self._stop.is_set():
                self._tasks[name] = asyncio.create_task(self._drain(name), name=f"lane {name}")

    async def run(self) -> None:
        """Look for waiting deliveries again and again, until ``stop``."""
        strangers: set[str] = set()
        while not self._stop.is_set():
            try:
                busy = await self._store.busy_lanes()
                self.wake(busy)
                await self._count()
            except StoreUnavailable as error:
                log.warning("the store can't be read: %s", error)
            else:
                for name in set(busy) - self._names - strangers:
                    strangers.add(name)
                    log.warning("deliveries wait for %s, which is not in the config", name)
            await pause(SHARED_SWEEP if self._store.shared else SWEEP, self._stop)

    async def _count(self) -> None:
        """Tell how much waits, unless counting that took so long that it is too soon again."""
        begun = time.monotonic()
        if begun < self._count_at:
            return
        waiting = await self._store.waiting_lanes()
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
        tasks = list(self._tasks.values())
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=grace)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
        await asyncio.gather(*(channel.close() for channel, _ in self._channels.values()))

    async def _drain(self, name: str) -> None:
        try:
            while name in self._woken and not self._stop.is_set():
                self._woken.discard(name)
                if not await self._has_lease(name):
                    return
                self._begun.add(name)
                if self._store.shared:
                    self._health.look_again(name)
                while not self._stop.is_set():
                    if not await self._send_next(name):
                        break
                await self._release(name)
        except LeaseLost:
            log.warning("lane %s is served by another replica by now", name)
        finally:
            del self._tasks[name]

    async def _has_lease(self, name: str) -> bool:
        """Whether this replica may serve the lane; another may have it, or the store be away."""
        try:
            return await self._store.lease(f"lane:{name}")
        except StoreUnavailable as error:
            log.warning("lane %s waits for the store: %s", name, error)
            await pause(STORE_PAUSE, self._stop)
            return False

    async def _release(self, name: str) -> None:
        try:
            await self._store.release(f"lane:{name}")
        except StoreUnavailable as error:
            log.warning("the lease of lane %s can't be given back: %s", name, error)

    async def _send_next(self, name: str) -> bool:
        """Send the lane's next messages; False when there are none."""
        try:
            batch = await self._store.waiting(name, self._window(name))
            if bundle := await self._bundled(name, batch):
                await self._deliver(name, bundle)
                return True
            for delivery in batch:
                if self._stop.is_set() or not await self._deliver(name, [delivery]):
                    break
        except StoreUnavailable as error:
            log.warning("lane %s waits for the store: %s", name, error)
            await pause(STORE_PAUSE, self._stop)
            return True
        return bool(batch)

    def _window(self, name: str) -> int:
        """So many deliveries are read at once: one more tells that the lane is late."""
        after = self._digest_after(name)
        return READ_AHEAD if after == sys.maxsize else max(READ_AHEAD, after + 1)

    async def _bundled(self, name: str, batch: Sequence[Delivery]) -> list[Delivery]:
        """The deliveries that go out next where the lane is late, or was: those of a digest, which
        the store knows before it is sent; none where each goes by itself."""
        if not batch:
            return []
        if batch[0].digest:
            return [delivery for delivery in batch if delivery.digest == batch[0].digest]
        if len(batch) <= self._digest_after(name):
            return []
        # What was tried may have arrived, also by one that was killed or hung before its receipt;
        # and what a digest was taken apart for goes by itself.
        begun = name in self._begun
        self._begun.discard(name)
        if begun or batch[0].attempts or batch[0].id in self._apart.get(name, ()):
            return [batch[0]]
        messages = [Message.loads(delivery.message) for delivery in batch[: digest.MOST]]
        members = batch[: digest.fitting(messages)]
        if len(members) == 1:
            return [batch[0]]
        key = uuid.uuid4().hex
        await self._store.bundle([member.id for member in members], key)
        return [replace(member, digest=key) for member in members]

    async def _deliver(self, name: str, deliveries: Sequence[Delivery]) -> bool:
        """One try at one delivery, or at a digest of several, when its time has come; False when it
        stays waiting."""
        delivery = deliveries[0]
        if time.time() - delivery.created_at > self._retention and self._clock_is_sure():
            await self._bury(name, delivery, "expired", "waited longer than the retention")
            return True
        wait = self._waits.left(name, delivery)
        if wait > 0:  # then read again: `relay resend` may have changed it
            await pause(min(wait, SWEEP), self._stop)
            return False
        try:
            return await self._send(name, deliveries)
        except Failure as failure:
            return await self._fail(name, deliveries, failure)
        except (StoreUnavailable, LeaseLost):
            raise
        except Exception as error:  # a bug in a channel must not cost the message
            log.exception("lane %s: delivery %d", name, delivery.id)
            bug = Failure("retry", "bug", type(error).__name__)
            return await self._fail(name, deliveries, bug)

    async def _send(self, name: str, deliveries: Sequence[Delivery]) -> bool:
        """Send a message and write its receipt; False when it stays waiting.

        Raises what the channel raises.
        """
        delivery = deliveries[0]
        message = Message.loads(delivery.message)
        if delivery.digest:
            message = digest.together([Message.loads(one.message) for one in deliveries])
        thread = message.thread if name in self._threaded and message.to is None else ""
        place = await self._store.thread(name, thread) if thread else None
        if place is not None and message.change is None:
            message = message.in_thread()
        channel, pace = self._channel(name)
        await pause(pace.take(), self._stop)
        picture = await self._pictures(message.picture) if message.picture else None
        if self._stop.is_set():
            return False
        self._started[name] = time.monotonic()
        if message.change is not None:
            outcome = await self._change(name, delivery, message, place, picture)
            if outcome.left is None:
                took = self._took(name)
                await self._note(lambda: self._store.sent([delivery.id], "", seconds=took))
                await self._tell_sent(name, deliveries, took, reached=outcome.reached)
                return True
            message = outcome.left if place is None else outcome.left.in_thread()
            picture = None
        try:
            receipt = await channel.send(
                message,
                delivery.digest or delivery.key,
                Thread(place.root, place.last, place.title) if place else None,
                picture,
            )
        except Failure as failure:
            if failure.verdict != "rootless" or place is None:
                raise
            log.warning(
                "lane %s: delivery %d begins its thread anew: %s", name, delivery.id, failure
            )
            await self._store.forget_thread(name, thread)
            return False
        took = self._took(name)
        await self._note(
            lambda: self._store.sent(
                [one.id for one in deliveries],
                receipt.id,
                lane=name,
                thread=thread,
                title=message.title,
                seconds=took,
            )
        )
        await self._tell_sent(name, deliveries, took)
        return True

    async def _change(
        self,
        name: str,
        delivery: Delivery,
        message: Message,
        place: ThreadPlace | None,
        picture: Picture | None,
    ) -> Outcome:
        """Change what the message is to change. Raises what the channel raises."""
        assert message.change is not None  # noqa: S101 - for the type checker
        channel, pace = self._channel(name)
        shown = await self._store.shown(name, message.thread)
        attempt = Attempt(
            lane=name,
            delivery_id=delivery.id,
            key=delivery.key,
            message=message,
            change=message.change,
            place=place,
            shown=shown,
            done=self._done.setdefault(delivery.id, set()),
            metrics=self._metrics,
        )
        outcome = await attempt.make(channel, picture, lambda: pause(pace.take(), self._stop))
        self._done.pop(delivery.id)
        return outcome

    async def _tell_sent(
        self, name: str, deliveries: Sequence[Delivery], took: float, *, reached: bool = True
    ) -> None:
        """Tell of it; that the lane works only where its server was ``reached``."""
        delivery = deliveries[0]
        self._changed(one.event_id for one in deliveries)
        self._metrics.sent(name, took)
        if delivery.digest:
            self._metrics.digest(name)
            log.info("lane %s: a digest of %d deliveries sent", name, len(deliveries))
        else:
            log.info("lane %s: delivery %d of event %d sent", name, delivery.id, delivery.event_id)
        if reached:
            await self._note(lambda: self._health.works(name))

    async def _fail(self, name: str, deliveries: Sequence[Delivery], failure: Failure) -> bool:
        delivery = deliveries[0]
        self._metrics.failed(name, failure.reason)
        if failure.verdict not in ("retry", "broken"):
            if delivery.digest:
                log.warning("lane %s: a digest is taken apart: %s", name, failure)
                ids = [one.id for one in deliveries]
                self._apart[name] = frozenset(ids)
                await self._note(lambda: self._store.bundle(ids, ""))
                return False
            await self._bury(name, delivery, failure.reason, failure.detail)
            return True
        attempts = delivery.attempts + 1
        wait = delay(attempts, failure.after)
        known = False

        async def tell() -> None:
            nonlocal known
            known = await self._health.failed(name, failure)

        await self._note(tell)
        log.log(
            logging.DEBUG if known else logging.WARNING,
            "lane %s: delivery %d failed (%s), try %d, next in %.0f s",
            name,
            delivery.id,
            failure,
            attempts,
            wait,
        )
        next_at = time.time() + wait
        self._waits.begin(name, delivery.id, next_at, wait)
        took = self._took(name)
        await self._note(
            lambda: self._store.failed(delivery.id, str(failure), next_at, seconds=took)
        )
        self._changed([delivery.event_id])
        return False

    async def _bury(self, name: str, delivery: Delivery, reason: str, detail: str) -> None:
        self._done.pop(delivery.id, None)
        error = f"{reason}: {detail}" if detail else reason
        log.error("lane %s: delivery %d is dead: %s", name, delivery.id, error)
        took = self._took(name)
        await self._note(lambda: self._store.dead(delivery.id, error, seconds=took))
        self._changed([delivery.event_id])
        self._metrics.dead(name, reason)

    def _took(self, name: str) -> float:
        """The seconds since the lane's last send began; 0 where none did."""
        return time.monotonic() - self._started.pop(name, time.monotonic())

    async def _note(self, write: Callable[[], Awaitable[None]]) -> None:
        """Write what became of a send, as often as it takes: a store that is away for a while
        must not make the lane send the message again, not even when it is to stop meanwhile."""
        while True:
            try:
                await write()
            except StoreUnavailable as error:
                log.warning("what became of a message can't be written: %s", error)
                await asyncio.sleep(STORE_PAUSE)
            else:
                return

    def _channel(self, name: str) -> tuple[Channel, Pace]:
        if name not in self._channels:
            channel = self._open_channel(name)
            self._channels[name] = channel, Pace(self._pace(name) or channel.pace)
        return self._channels[name]
