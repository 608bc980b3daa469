"""The queue of one channel: its deliveries, one after the other, in the order of the events."""

import asyncio
import contextlib
import logging
import sys
import time
import uuid
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import ParamSpec, TypeVar

from relay.channels.base import (
    Channel,
    DeliveryError,
    Misconfigured,
    Permanent,
    ReplyTo,
    RetryLater,
    ThreadNotFound,
)
from relay.delivery import digest
from relay.delivery.attempts import (
    MAX_INTERRUPTIONS,
    MIN_ALONE_INTERRUPTIONS,
    AttemptCounter,
    interruption_delay,
)
from relay.delivery.backoff import MAX_RETRY_DELAY, RateLimiter, RetryTimer, pause, retry_delay
from relay.delivery.edits import Edit, EditOutcome
from relay.delivery.health import QueueHealth
from relay.delivery.notices import NoticeRenderer
from relay.messages.message import Message, Picture
from relay.messages.turns import CONVERSIONS
from relay.metrics import Metrics
from relay.store.base import Store
from relay.store.records import (
    Delivery,
    LeaseLost,
    QueueHead,
    StoreUnavailable,
    ThreadReceipts,
    queue_lease,
)

log = logging.getLogger(__name__)

P = ParamSpec("P")
T = TypeVar("T")

READ_BATCH_SIZE = 32
STORE_RETRY_DELAY = 1.0  # seconds


@dataclass(frozen=True, slots=True)
class QueueSettings:
    open_channel: Callable[[], Channel]  # called before the first message
    pace: float | None = None  # messages per minute; None: the server's documented rate
    has_threads: bool = False
    digest_after: int = sys.maxsize  # more waiting messages are sent as a digest
    alerts_to: str | None = None  # the queue that gets the alerts about this one


class _Stopped(Exception):
    """The service stops: the message stays waiting."""


async def _no_picture(_: str) -> Picture | None:
    return None


@dataclass(frozen=True, slots=True)
class QueueContext:
    """What all queues share."""

    store: Store
    metrics: Metrics
    notices: NoticeRenderer
    retention: float
    """Seconds after which a waiting message expires."""
    clock_is_trusted: Callable[[], bool] = lambda: True
    """No message expires while this is false."""
    pictures: Callable[[str], Awaitable[Picture | None]] = _no_picture
    """Fetches a picture by its id in Penpot."""
    changed: Callable[[Iterable[int]], None] = lambda _: None
    """Called with the ids of events whose deliveries changed state."""
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    alone: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Held during an attempt that may end the process, as those before it did."""


def _digest_size(batch: Sequence[Delivery]) -> int:
    first = batch[: digest.MAX_DIGEST_SIZE]
    return digest.digest_size([Message.loads(delivery.message) for delivery in first])


class ChannelQueue:
    """Sends the waiting deliveries of one channel. Every receipt is on disk before the next message
    is sent."""

    def __init__(self, name: str, settings: QueueSettings, context: QueueContext) -> None:
        self.name = name
        self._settings = settings
        self._context = context
        self._store, self._metrics, self._stop = context.store, context.metrics, context.stop
        self._health = QueueHealth(
            name, settings.alerts_to, context.store, context.metrics, context.notices
        )
        self._attempts = AttemptCounter(name, context.store)
        self._timer = RetryTimer()
        self._opened: tuple[Channel, RateLimiter] | None = None
        self._first_uncertain = True
        self._next: Delivery | None = None  # sent after the current one
        self._send_started: float | None = None
        self._unbundled: frozenset[int] = frozenset()
        self._edited: dict[int, set[str]] = {}
        self._doubtful = (0, 0.0)  # a delivery that may be given up, and since when
        self._waiting_for: QueueHead | None = None
        self._woken = asyncio.Event()

    @property
    def is_sending(self) -> bool:
        """Whether a server was asked to take a message and has not answered."""
        return self._send_started is not None

    def lease_acquired(self) -> None:
        """The replica that held the lease before may have been sending the first delivery."""
        self._first_uncertain = True
        if self._store.shared:
            self._health.forget()
            self._attempts.forget()

    def update_head(self, head: QueueHead | None) -> None:
        """Wake a queue that waits for another delivery than ``head``, the first one in the store:
        `relay resend` or another replica has changed the queue."""
        if self._waiting_for is not None and head != self._waiting_for:
            self.wake()

    def wake(self) -> None:
        self._woken.set()

    async def close(self) -> None:
        try:
            await self._attempts.cancel()
        except (StoreUnavailable, LeaseLost) as error:
            log.warning("queue %s: the last attempt stays unfinished: %s", self.name, error)
        if self._opened is not None:
            await self._opened[0].close()

    async def send_next(self) -> bool:
        """Send the next messages; False when there are none."""
        try:
            limit = self._read_size()
            batch = await self._store.waiting_deliveries(self.name, limit)
            if batch:
                await self._read_interruptions(batch[0])
            if members := await self._digest_members(batch):
                self._next = next(iter(batch[len(members) :]), None)
                await self._deliver(members)
                return True
            # the last one of a full batch is read again, as what follows it is not known
            following = [*batch[1:], *([None] if len(batch) < limit else [])]
            for delivery, self._next in zip(batch, following, strict=False):
                if self._stop.is_set() or not await self._deliver([delivery]):
                    break
        except StoreUnavailable as error:
            log.warning("queue %s waits for the store: %s", self.name, error)
            await pause(STORE_RETRY_DELAY, self._stop)
            return True
        return bool(batch)

    def _read_size(self) -> int:
        """Deliveries to read at once: one more than ``digest_after`` shows that a digest is due."""
        after = self._settings.digest_after
        return READ_BATCH_SIZE if after == sys.maxsize else max(READ_BATCH_SIZE, after + 1)

    async def _read_interruptions(self, head: Delivery) -> None:
        if interruptions := await self._attempts.read(head):
            self._metrics.failed(self.name, "interrupted")
            wait = interruption_delay(interruptions)
            self._timer.start(head.id, head.next_at, wait)
            text = "queue %s: the process ended during attempt %d in a row at delivery %d%s"
            hint = f", next in {wait:.0f} s" if wait else ""
            log.warning(text, self.name, interruptions, head.id, hint)

    async def _digest_members(self, batch: Sequence[Delivery]) -> list[Delivery]:
        """The deliveries of the next digest, which is stored before it is sent, or the single
        delivery that has to go before it; empty where no digest is due."""
        if not batch:
            return []
        if batch[0].digest:
            return [delivery for delivery in batch if delivery.digest == batch[0].digest]
        if len(batch) <= self._settings.digest_after:
            return []
        # A delivery that was attempted, maybe by a replica that ended before it stored the receipt,
        # may have arrived, and is repeated under its own key. Members of a digest that the server
        # refused are sent one by one.
        uncertain, self._first_uncertain = self._first_uncertain, False
        if uncertain or batch[0].attempts or batch[0].id in self._unbundled:
            return [batch[0]]
        team = self.name.partition("/")[0]
        members = batch[: await CONVERSIONS.run(team, partial(_digest_size, batch))]
        if len(members) == 1:
            return [batch[0]]
        key = uuid.uuid4().hex
        await self._store.set_digest([member.id for member in members], key)
        return [replace(member, digest=key) for member in members]

    async def _deliver(self, deliveries: Sequence[Delivery]) -> bool:
        """Attempt one delivery, or a digest of several, when it is due; False when it stays
        waiting."""
        delivery = deliveries[0]
        expires_in = delivery.created_at + self._context.retention - time.time()
        if expires_in < 0 and self._context.clock_is_trusted():
            await self._mark_dead(delivery, "expired", "waited longer than the retention")
            return True
        interruptions = self._attempts.interruptions(delivery)
        if interruptions >= MAX_INTERRUPTIONS:
            text = f"the process ended during {interruptions} attempts in a row"
            return await self._fail(deliveries, Permanent("interrupted", text))
        wait = self._timer.remaining(delivery)
        if wait > 0:
            limit = expires_in if expires_in > 0 else MAX_RETRY_DELAY
            await self._wait(delivery, min(wait, MAX_RETRY_DELAY, limit))
            return False
        is_risky = interruptions >= MIN_ALONE_INTERRUPTIONS
        try:
            async with self._context.alone if is_risky else contextlib.nullcontext():
                return await self._send(deliveries)
        except _Stopped:
            return False
        except DeliveryError as error:
            return await self._fail(deliveries, error)
        except (StoreUnavailable, LeaseLost):
            raise
        except Exception as error:  # a bug in a channel must not cost the message
            log.exception("queue %s: delivery %d", self.name, delivery.id)
            return await self._fail(deliveries, RetryLater("bug", type(error).__name__))

    async def _wait(self, delivery: Delivery, seconds: float) -> None:
        """Wait without polling the store: ``update_head`` reports changes of the delivery."""
        self._waiting_for = QueueHead(delivery.id, delivery.next_at)
        self._woken.clear()
        if not self._stop.is_set():
            await pause(seconds, self._woken)
        self._waiting_for = None

    async def _send(self, deliveries: Sequence[Delivery]) -> bool:
        """Send a message and store its receipt; False when it stays waiting. Raises what the
        channel raises."""
        delivery = deliveries[0]
        await self._throttle()
        await self._attempts.begin(delivery)
        message = Message.loads(delivery.message)
        if delivery.digest:
            message = await self._build_digest(deliveries)
        thread_id = self._thread_id(message)
        thread = await self._store.get_thread(self.name, thread_id) if thread_id else None
        if thread is not None and message.change is None:
            message = message.in_thread()
        picture = await self._context.pictures(message.picture) if message.picture else None
        self._require_may_send()
        self._send_started = time.monotonic()
        if message.change is None:
            return await self._post(deliveries, message, thread, picture)
        outcome = await self._edit(delivery, message, thread, picture)
        if outcome.fallback is None:
            await self._mark_sent(deliveries, reached=outcome.reached)
            return True
        message = outcome.fallback if thread is None else outcome.fallback.in_thread()
        return await self._post(deliveries, message, thread, None)

    def _thread_id(self, message: Message) -> str:
        """The message's comment thread, if it is a thread in the channel too."""
        return message.thread if self._settings.has_threads and message.to is None else ""

    async def _build_digest(self, deliveries: Sequence[Delivery]) -> Message:
        """Raises ``Permanent`` where a bug prevents it, so that its members are sent one by one."""
        try:
            messages = [Message.loads(delivery.message) for delivery in deliveries]
            combine = partial(digest.combine, messages=messages)
            return await self._context.notices.run(messages[-1].team, combine)
        except Exception as error:  # a bug must not hold up the queue
            log.exception("queue %s: a digest of %d deliveries", self.name, len(deliveries))
            raise Permanent("bug", type(error).__name__) from error

    async def _post(
        self,
        deliveries: Sequence[Delivery],
        message: Message,
        thread: ThreadReceipts | None,
        picture: Picture | None,
    ) -> bool:
        delivery, (channel, _) = deliveries[0], self._open()
        reply_to = ReplyTo(thread.root, thread.last, thread.title) if thread else None
        try:
            receipt = await channel.send(
                message, delivery.digest or delivery.key, reply_to, picture
            )
        except ThreadNotFound as error:
            if thread is None:
                raise
            text = "queue %s: delivery %d starts its thread again: %s"
            log.warning(text, self.name, delivery.id, error)
            await self._store.delete_thread(self.name, message.thread)
            return False
        await self._mark_sent(deliveries, receipt.id, self._thread_id(message), message.title)
        return True

    async def _edit(
        self,
        delivery: Delivery,
        message: Message,
        thread: ThreadReceipts | None,
        picture: Picture | None,
    ) -> EditOutcome:
        assert message.change is not None  # noqa: S101 - for the type checker
        shown = await self._store.shown_messages(self.name, message.thread)
        done = self._edited.setdefault(delivery.id, set())
        edit = Edit(
            self.name, delivery, message, message.change, thread, shown, done, self._metrics
        )
        outcome = await edit.run(self._open()[0], picture, self._throttle)
        self._edited.pop(delivery.id)
        return outcome

    async def _mark_sent(
        self,
        deliveries: Sequence[Delivery],
        receipt: str = "",
        thread_id: str = "",
        title: str = "",
        *,
        reached: bool = True,
    ) -> None:
        """``reached``: whether the server was called, which shows that the queue works."""
        delivery, took = deliveries[0], self._elapsed()
        ids = [member.id for member in deliveries]
        thread = {"queue": self.name, "thread": thread_id, "title": title}
        next_id = self._next_id()
        await self._write(
            self._store.mark_sent, ids, receipt, **thread, seconds=took, next_id=next_id
        )
        self._attempts.ended(next_id)
        self._context.changed(member.event_id for member in deliveries)
        self._metrics.sent(self.name, took)
        if delivery.digest:
            self._metrics.digest(self.name)
            log.info("queue %s: a digest of %d deliveries sent", self.name, len(deliveries))
        else:
            text = "queue %s: delivery %d of event %d sent"
            log.info(text, self.name, delivery.id, delivery.event_id)
        if reached:
            await self._write(self._health.succeeded)

    async def _fail(self, deliveries: Sequence[Delivery], error: DeliveryError) -> bool:
        delivery = deliveries[0]
        self._metrics.failed(self.name, error.reason)
        if not isinstance(error, RetryLater | Misconfigured) or self._gives_up(delivery, error):
            if delivery.digest:
                log.warning("queue %s: digest failed, sent one by one: %s", self.name, error)
                ids = [member.id for member in deliveries]
                self._unbundled = frozenset(ids)
                await self._write(self._store.set_digest, ids, "")
                self._attempts.ended()
                return False
            self._health.answered()
            await self._mark_dead(delivery, error.reason, error.detail)
            return True
        attempts = delivery.attempts + 1
        wait = retry_delay(attempts, error.retry_after)
        was_stopped = await self._write(self._health.failed, error)
        level = logging.DEBUG if was_stopped else logging.WARNING
        text = "queue %s: delivery %d failed (%s), attempt %d, next in %.0f s"
        log.log(level, text, self.name, delivery.id, error, attempts, wait)
        next_at = time.time() + wait
        self._timer.start(delivery.id, next_at, wait)
        took = self._elapsed()
        await self._write(self._store.mark_failed, delivery.id, str(error), next_at, seconds=took)
        self._attempts.ended()
        self._context.changed([delivery.event_id])
        return False

    def _gives_up(self, delivery: Delivery, error: DeliveryError) -> bool:
        now, (doubtful, since) = time.monotonic(), self._doubtful
        if error.give_up_after is None:
            return False
        if doubtful != delivery.id:
            self._doubtful = delivery.id, now
            return False
        gives_up = now - since >= error.give_up_after
        if gives_up:  # a person may resend it
            self._doubtful = (0, 0.0)
        return gives_up

    async def _mark_dead(self, delivery: Delivery, reason: str, detail: str) -> None:
        self._edited.pop(delivery.id, None)
        error = f"{reason}: {detail}" if detail else reason
        log.error("queue %s: delivery %d is dead: %s", self.name, delivery.id, error)
        took = self._elapsed()
        await self._write(self._store.mark_dead, delivery.id, error, seconds=took)
        self._attempts.ended()
        self._context.changed([delivery.event_id])
        self._metrics.dead(self.name, reason)

    def _next_id(self) -> int:
        """The delivery whose attempt begins with the result of the current one, so that it costs no
        write of its own; 0 if it has to wait first."""
        _, limiter = self._open()
        if self._next is None or self._next.next_at or self._stop.is_set() or limiter.delay():
            return 0
        return self._next.id

    async def _throttle(self) -> None:
        """Wait until the rate limit allows a call. Raises what ``_require_may_send`` raises."""
        _, limiter = self._open()
        await pause(limiter.take(), self._stop)
        self._require_may_send()

    def _require_may_send(self) -> None:
        """Raise ``LeaseLost`` where another replica may have sent the same message meanwhile,
        because this one was suspended or the store was unavailable."""
        if self._stop.is_set():
            raise _Stopped
        if not self._store.holds_lease(queue_lease(self.name)):
            raise LeaseLost(queue_lease(self.name))

    def _elapsed(self) -> float:
        """Seconds since the current send started; 0 where none did."""
        started, self._send_started = self._send_started, None
        return 0.0 if started is None else time.monotonic() - started

    async def _write(
        self, write: Callable[P, Awaitable[T]], *values: P.args, **named: P.kwargs
    ) -> T:
        """Write the result of a send, with retries even while the service stops: otherwise the
        message would be sent again."""
        while True:
            try:
                return await write(*values, **named)
            except StoreUnavailable as error:
                log.warning("the result of a delivery can't be stored yet: %s", error)
                await asyncio.sleep(STORE_RETRY_DELAY)

    def _open(self) -> tuple[Channel, RateLimiter]:
        if self._opened is None:
            channel = self._settings.open_channel()
            self._opened = channel, RateLimiter(self._settings.pace or channel.pace)
        return self._opened
