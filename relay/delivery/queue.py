"""A queue: one channel's messages, one after the other, in the order of the events."""

import asyncio
import logging
import sys
import time
import uuid
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from relay.channels.base import Channel, Failure, ReplyTo
from relay.delivery import digest
from relay.delivery.changes import EditAttempt, EditOutcome
from relay.delivery.clock import RetryTimers
from relay.delivery.health import QueueHealth
from relay.delivery.pace import RateLimiter, pause
from relay.delivery.retry import LONGEST, delay
from relay.messages.message import Message
from relay.metrics import Metrics
from relay.picture import Picture
from relay.store.base import (
    Delivery,
    LeaseLost,
    QueueHead,
    Store,
    StoreUnavailable,
    ThreadPlace,
    queue_lease,
)

log = logging.getLogger(__name__)

READ_AHEAD = 32
"""Deliveries that a queue reads from the store at once."""
STORE_PAUSE = 1.0
"""Seconds to wait when the store can't be read or written."""


@dataclass(frozen=True, slots=True)
class QueueContext:
    """What all queues work with."""

    store: Store
    metrics: Metrics
    health: QueueHealth
    pictures: Callable[[str], Awaitable[Picture | None]]
    """Gives the picture of an id in Penpot."""
    retention: float
    """Seconds after which a message is too old."""
    clock_is_sure: Callable[[], bool]
    """Nothing is too old while this says that the time may be wrong."""
    changed: Callable[[Iterable[int]], None]
    """Is told the events whose deliveries were sent, failed or died."""
    stop: asyncio.Event
    waits: RetryTimers


class ChannelQueue:
    """Sends what waits for one channel. Every receipt is on disk before the next message goes
    out."""

    def __init__(
        self,
        name: str,
        means: QueueContext,
        open_channel: Callable[[str], Channel],
        pace: float | None,
        *,
        threaded: bool,
        digest_after: int,
    ) -> None:
        """See ``Queues``, for this one queue."""
        self.name = name
        self._means = means
        self._open_channel = open_channel
        self._pace = pace
        self._threaded = threaded
        self._digest_after = digest_after
        self._opened: tuple[Channel, RateLimiter] | None = None
        self._begun = True
        self._started: float | None = None
        self._apart: frozenset[int] = frozenset()
        self._done: dict[int, set[str]] = {}
        self._waits_for: QueueHead | None = None
        self._woken = asyncio.Event()

    def begin(self) -> None:
        """The queue has its lease, maybe from another replica: what waits first may have been under
        way there."""
        self._begun = True

    def look(self, head: QueueHead | None) -> None:
        """That is what waits first by now: a queue that waits for something else reads anew, as
        `relay resend` or another replica has changed it."""
        if self._waits_for is not None and head != self._waits_for:
            self.wake()

    def wake(self) -> None:
        """Wait no longer."""
        self._woken.set()

    async def close(self) -> None:
        """Give the channel's connections back."""
        if self._opened is not None:
            await self._opened[0].close()

    async def send_next(self) -> bool:
        """Send the next messages; False when there are none."""
        try:
            batch = await self._means.store.waiting(self.name, self._window())
            if bundle := await self._bundled(batch):
                await self._deliver(bundle)
                return True
            for delivery in batch:
                if self._means.stop.is_set() or not await self._deliver([delivery]):
                    break
        except StoreUnavailable as error:
            log.warning("queue %s waits for the store: %s", self.name, error)
            await pause(STORE_PAUSE, self._means.stop)
            return True
        return bool(batch)

    def _window(self) -> int:
        """So many deliveries are read at once: one more tells that the queue is late."""
        after = self._digest_after
        return READ_AHEAD if after == sys.maxsize else max(READ_AHEAD, after + 1)

    async def _bundled(self, batch: Sequence[Delivery]) -> list[Delivery]:
        """The deliveries that go out next where the queue is late, or was: those of a digest, which
        the store knows before it is sent; none where each goes by itself."""
        if not batch:
            return []
        if batch[0].digest:
            return [delivery for delivery in batch if delivery.digest == batch[0].digest]
        if len(batch) <= self._digest_after:
            return []
        # What was tried may have arrived, also by one that was killed or hung before its receipt;
        # and what a digest was taken apart for goes by itself.
        begun, self._begun = self._begun, False
        if begun or batch[0].attempts or batch[0].id in self._apart:
            return [batch[0]]
        messages = [Message.loads(delivery.message) for delivery in batch[: digest.MOST]]
        members = batch[: digest.fitting(messages)]
        if len(members) == 1:
            return [batch[0]]
        key = uuid.uuid4().hex
        await self._means.store.bundle([member.id for member in members], key)
        return [replace(member, digest=key) for member in members]

    async def _deliver(self, deliveries: Sequence[Delivery]) -> bool:
        """One try at one delivery, or at a digest of several, when its time has come; False when it
        stays waiting."""
        delivery = deliveries[0]
        left = delivery.created_at + self._means.retention - time.time()
        if left < 0 and self._means.clock_is_sure():
            await self._bury(delivery, "expired", "waited longer than the retention")
            return True
        wait = self._means.waits.left(self.name, delivery)
        if wait > 0:
            await self._wait(delivery, min(wait, LONGEST, left if left > 0 else LONGEST))
            return False
        try:
            return await self._send(deliveries)
        except Failure as failure:
            return await self._fail(deliveries, failure)
        except (StoreUnavailable, LeaseLost):
            raise
        except Exception as error:  # a bug in a channel must not cost the message
            log.exception("queue %s: delivery %d", self.name, delivery.id)
            bug = Failure("retry", "bug", type(error).__name__)
            return await self._fail(deliveries, bug)

    async def _wait(self, delivery: Delivery, seconds: float) -> None:
        """Wait for a delivery, without asking the store: ``look`` tells what changes there."""
        self._waits_for = QueueHead(delivery.id, delivery.next_at)
        self._woken.clear()
        if not self._means.stop.is_set():
            await pause(seconds, self._woken)
        self._waits_for = None

    async def _send(self, deliveries: Sequence[Delivery]) -> bool:
        """Send a message and write its receipt; False when it stays waiting.

        Raises what the channel raises.
        """
        delivery = deliveries[0]
        message = Message.loads(delivery.message)
        if delivery.digest:
            message = self._together(deliveries)
        thread = message.thread if self._threaded and message.to is None else ""
        place = await self._means.store.thread(self.name, thread) if thread else None
        if place is not None and message.change is None:
            message = message.in_thread()
        channel, pace = self._open()
        await pause(pace.take(), self._means.stop)
        picture = await self._means.pictures(message.picture) if message.picture else None
        if self._means.stop.is_set():
            return False
        self._require_lease()
        self._started = time.monotonic()
        if message.change is not None:
            outcome = await self._change(delivery, message, place, picture)
            if outcome.stopped:
                return False
            if outcome.left is None:
                took = self._took()
                await self._note(lambda: self._means.store.sent([delivery.id], "", seconds=took))
                await self._tell_sent(deliveries, took, reached=outcome.reached)
                return True
            message = outcome.left if place is None else outcome.left.in_thread()
            picture = None
        try:
            receipt = await channel.send(
                message,
                delivery.digest or delivery.key,
                ReplyTo(place.root, place.last, place.title) if place else None,
                picture,
            )
        except Failure as failure:
            if failure.verdict != "rootless" or place is None:
                raise
            log.warning(
                "queue %s: delivery %d begins its thread anew: %s", self.name, delivery.id, failure
            )
            await self._means.store.forget_thread(self.name, thread)
            return False
        took = self._took()
        await self._note(
            lambda: self._means.store.sent(
                [one.id for one in deliveries],
                receipt.id,
                queue=self.name,
                thread=thread,
                title=message.title,
                seconds=took,
            )
        )
        await self._tell_sent(deliveries, took)
        return True

    def _together(self, deliveries: Sequence[Delivery]) -> Message:
        """The digest of some messages. One that can't be made is taken apart, as if its server
        would not have it."""
        try:
            return digest.together([Message.loads(one.message) for one in deliveries])
        except Exception as error:  # a bug must not hold the queue
            log.exception("queue %s: a digest of %d deliveries", self.name, len(deliveries))
            raise Failure("dead", "bug", type(error).__name__) from error

    async def _change(
        self,
        delivery: Delivery,
        message: Message,
        place: ThreadPlace | None,
        picture: Picture | None,
    ) -> EditOutcome:
        """Change what the message is to change. Raises what the channel raises."""
        assert message.change is not None  # noqa: S101 - for the type checker
        channel, pace = self._open()
        shown = await self._means.store.shown(self.name, message.thread)
        attempt = EditAttempt(
            queue=self.name,
            delivery_id=delivery.id,
            key=delivery.key,
            message=message,
            change=message.change,
            place=place,
            shown=shown,
            done=self._done.setdefault(delivery.id, set()),
            metrics=self._means.metrics,
        )

        async def breathe() -> bool:
            await pause(pace.take(), self._means.stop)
            self._require_lease()
            return not self._means.stop.is_set()

        outcome = await attempt.make(channel, picture, breathe)
        self._done.pop(delivery.id)
        return outcome

    async def _tell_sent(
        self, deliveries: Sequence[Delivery], took: float, *, reached: bool = True
    ) -> None:
        """Tell of it; that the queue works only where its server was ``reached``."""
        delivery = deliveries[0]
        self._means.changed(one.event_id for one in deliveries)
        self._means.metrics.sent(self.name, took)
        if delivery.digest:
            self._means.metrics.digest(self.name)
            log.info("queue %s: a digest of %d deliveries sent", self.name, len(deliveries))
        else:
            log.info(
                "queue %s: delivery %d of event %d sent", self.name, delivery.id, delivery.event_id
            )
        if reached:
            await self._note(lambda: self._means.health.works(self.name))

    async def _fail(self, deliveries: Sequence[Delivery], failure: Failure) -> bool:
        delivery = deliveries[0]
        self._means.metrics.failed(self.name, failure.reason)
        if failure.verdict not in ("retry", "broken"):
            if delivery.digest:
                log.warning("queue %s: a digest is taken apart: %s", self.name, failure)
                ids = [one.id for one in deliveries]
                self._apart = frozenset(ids)
                await self._note(lambda: self._means.store.bundle(ids, ""))
                return False
            self._means.health.answered(self.name)
            await self._bury(delivery, failure.reason, failure.detail)
            return True
        attempts = delivery.attempts + 1
        wait = delay(attempts, failure.after)
        known = False

        async def tell() -> None:
            nonlocal known
            known = await self._means.health.failed(self.name, failure)

        await self._note(tell)
        log.log(
            logging.DEBUG if known else logging.WARNING,
            "queue %s: delivery %d failed (%s), try %d, next in %.0f s",
            self.name,
            delivery.id,
            failure,
            attempts,
            wait,
        )
        next_at = time.time() + wait
        self._means.waits.begin(self.name, delivery.id, next_at, wait)
        took = self._took()
        await self._note(
            lambda: self._means.store.failed(delivery.id, str(failure), next_at, seconds=took)
        )
        self._means.changed([delivery.event_id])
        return False

    async def _bury(self, delivery: Delivery, reason: str, detail: str) -> None:
        self._done.pop(delivery.id, None)
        error = f"{reason}: {detail}" if detail else reason
        log.error("queue %s: delivery %d is dead: %s", self.name, delivery.id, error)
        took = self._took()
        await self._note(lambda: self._means.store.dead(delivery.id, error, seconds=took))
        self._means.changed([delivery.event_id])
        self._means.metrics.dead(self.name, reason)

    def _require_lease(self) -> None:
        """Raises ``LeaseLost`` where another replica may have sent meanwhile what is to be sent
        now: this one hung, or the store was away."""
        if not self._means.store.lease_is_sure(queue_lease(self.name)):
            raise LeaseLost(queue_lease(self.name))

    def _took(self) -> float:
        """The seconds since the queue's last send began; 0 where none did."""
        started, self._started = self._started, None
        return 0.0 if started is None else time.monotonic() - started

    async def _note(self, write: Callable[[], Awaitable[None]]) -> None:
        """Write what became of a send, as often as it takes: a store that is away for a while
        must not make the queue send the message again, not even when it is to stop meanwhile."""
        while True:
            try:
                await write()
            except StoreUnavailable as error:
                log.warning("what became of a message can't be written: %s", error)
                await asyncio.sleep(STORE_PAUSE)
            else:
                return

    def _open(self) -> tuple[Channel, RateLimiter]:
        if self._opened is None:
            channel = self._open_channel(self.name)
            self._opened = channel, RateLimiter(self._pace or channel.pace)
        return self._opened
