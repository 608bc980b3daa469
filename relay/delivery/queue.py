"""The queue of one channel: its deliveries, one after the other, in the order of the events."""

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import takewhile
from typing import ParamSpec, TypeVar

from relay.channels.base import (
    Channel,
    DeliveryError,
    Misconfigured,
    NoAddress,
    Permanent,
    ReplyTo,
    RetryLater,
    ThreadNotFound,
)
from relay.delivery.attempts import (
    MAX_INTERRUPTIONS,
    MIN_ALONE_INTERRUPTIONS,
    AttemptCounter,
    interruption_delay,
)
from relay.delivery.backoff import (
    MAX_RETRY_DELAY,
    STORE_RETRY_DELAY,
    FailureCounter,
    RateLimiter,
    RetryTimer,
    pause,
    retry_delay,
)
from relay.delivery.dead import report_dead_letters
from relay.delivery.digest import DigestPlanner
from relay.delivery.edits import Editor
from relay.delivery.health import SUSPENSION_POLL_INTERVAL, QueueHealth
from relay.delivery.queue_context import QueueContext, QueueSettings
from relay.delivery.undecided import UndecidedHead
from relay.messages.message import Message, Picture
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


@dataclass(frozen=True, slots=True)
class _Sent:
    """A message that the server has accepted."""

    receipt: str = ""
    thread: str = ""  # in Penpot, if it is a thread in the channel too
    subject: str = ""
    reached: bool = True  # whether the server was called, which shows that the queue works


class _Stopped(Exception):
    """The service stops: the message stays waiting."""


class ChannelQueue:
    """Sends the waiting deliveries of one channel. Every receipt is on disk before the next message
    is sent."""

    def __init__(self, name: str, settings: QueueSettings, context: QueueContext) -> None:
        self.name = name
        self._settings = settings
        self._context = context
        self._store, self._metrics, self._stop = context.store, context.metrics, context.stop
        self._alerts = context.alerts
        self._health = QueueHealth(
            name, context.alerts, context.store, context.metrics, settings.fingerprint
        )
        self._attempts = AttemptCounter(name, context.store)
        self._failures = FailureCounter()
        self._timer = RetryTimer()
        self._opened: tuple[Channel, RateLimiter] | None = None
        self._digests = DigestPlanner(
            name,
            settings.digest_after,
            settings.fits,
            self._store,
            context.notices,
            settings.locale,
        )
        self._next: Delivery | None = None  # sent after the current one
        self._was_suspended = False  # at the last look
        self._send_started: float | None = None
        self._editor = Editor(name, settings.hold, context.store, context.metrics, context.changed)
        self._undecided = UndecidedHead(
            name,
            settings.hold,
            context.judge,
            context.store,
            context.metrics,
            context.alerts,
            context.changed,
        )
        self._waiting_for: QueueHead | None = None
        self._woken = asyncio.Event()

    @property
    def is_sending(self) -> bool:
        """Whether a server was asked to take a message and has not answered."""
        return self._send_started is not None

    def lease_acquired(self) -> None:
        if self._store.shared:
            self._health.forget()
            self._failures.forget()
            self._attempts.forget()

    def update_head(self, head: QueueHead | None) -> None:
        """Wake a queue that waits for another delivery than ``head``, the first one in the store:
        `relay resend` or another replica has changed the queue."""
        if self._waiting_for is not None and head != self._waiting_for:
            self.wake()

    def wake(self) -> None:
        self._woken.set()

    async def lease_ends(self) -> None:
        """Raises ``StoreUnavailable``, ``LeaseLost``."""
        await self._attempts.cancel()

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
            limit = self._digests.batch_size
            batch = await self._store.waiting_deliveries(self.name, limit)
            if batch and batch[0].undecided:
                if wait := await self._undecided.settle(batch[0]):
                    await self._wait(batch[0], wait)
                return True
            # what comes after an undecided one waits for it, and is in no digest without it
            batch = [*takewhile(lambda delivery: not delivery.undecided, batch)]
            if batch:
                await self._read_interruptions(batch[0])
            uncertain = bool(batch) and self._attempts.may_be_sent(batch[0])
            if members := await self._digests.members(batch, is_first_uncertain=uncertain):
                ids = {member.id for member in members}
                self._next = next((one for one in batch if one.id not in ids), None)
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

    async def _read_interruptions(self, head: Delivery) -> None:
        if interruptions := await self._attempts.read(head):
            self._metrics.failed(self.name, "interrupted")
            wait = interruption_delay(interruptions)
            self._timer.start(head.id, head.next_at, wait)
            text = "queue %s: the process ended during attempt %d in a row at delivery %d%s"
            hint = f", next in {wait:.0f} s" if wait else ""
            log.warning(text, self.name, interruptions, head.id, hint)

    async def _deliver(self, deliveries: Sequence[Delivery]) -> bool:
        """Attempt one delivery, or a digest of several, when it is due; False when it stays
        waiting."""
        delivery = deliveries[0]
        expires_in = delivery.created_at + self._context.retention - time.time()
        if expires_in < 0 and self._context.clock_is_trusted():
            error = Permanent("expired", "waited longer than the retention")
            await self._mark_dead(delivery, error)
            return True
        if await self._health.is_suspended():
            self._was_suspended = True
            await self._wait(delivery, SUSPENSION_POLL_INTERVAL)
            return False
        if self._was_suspended:  # a resend that ended it gave the delivery a new key: read it again
            self._was_suspended = False
            return False
        interruptions = self._attempts.interruptions(delivery)
        if interruptions >= MAX_INTERRUPTIONS:
            text = f"the process ended during {interruptions} attempts in a row"
            return await self._fail(deliveries, Permanent("interrupted", text))
        if not self._timer.is_restored(delivery):
            times = await self._store.problems.attempt_times(delivery.id)
            self._health.resumes(times)
            self._timer.restore(delivery, times.last if times else None)
        wait = self._timer.remaining(delivery)
        if wait > 0:
            limit = expires_in if expires_in > 0 else MAX_RETRY_DELAY
            await self._health.waits(delivery)
            limit = min(limit, self._health.seconds_to_stop)
            await self._wait(delivery, min(wait, MAX_RETRY_DELAY, limit))
            return False
        is_risky = interruptions >= MIN_ALONE_INTERRUPTIONS
        try:
            async with self._context.alone if is_risky else contextlib.nullcontext():
                return await self._attempt(deliveries)
        finally:
            self._send_started = None

    async def _attempt(self, deliveries: Sequence[Delivery]) -> bool:
        """As ``_deliver``. What the server has accepted never counts as failed, whatever follows:
        it would be sent again."""
        delivery = deliveries[0]
        try:
            sent = await self._send(deliveries)
        except _Stopped:
            return False
        except NoAddress as error:
            return await self._skip(delivery, error)
        except DeliveryError as error:
            return await self._fail(deliveries, error)
        except (StoreUnavailable, LeaseLost):
            raise
        except Exception as error:  # a bug in a channel must not cost the message
            log.exception("queue %s: delivery %d", self.name, delivery.id)
            return await self._fail(deliveries, RetryLater("bug", type(error).__name__))
        if sent is not None:
            await self._mark_sent(deliveries, sent)
        return sent is not None

    async def _wait(self, delivery: Delivery, seconds: float) -> None:
        """Wait without polling the store: ``update_head`` reports changes of the delivery."""
        self._waiting_for = QueueHead(delivery.id, delivery.next_at)
        self._woken.clear()
        if not self._stop.is_set():
            await pause(seconds, self._woken)
        self._waiting_for = None

    async def _send(self, deliveries: Sequence[Delivery]) -> _Sent | None:
        """None when the message stays waiting. Raises what the channel raises."""
        delivery = deliveries[0]
        await self._throttle()
        await self._attempts.begin(delivery)
        message = (await self._digests.message(deliveries)).with_current_times()
        thread_id = self._thread_id(message)
        thread = await self._store.get_thread(self.name, thread_id) if thread_id else None
        if thread is not None and message.change is None and message.to is None:
            message = message.in_thread()
        fetch = self._context.pictures if message.picture else None
        picture = await fetch(message.picture) if fetch else None
        self._require_may_send()
        self._send_started = time.monotonic()
        if message.change is None:
            return await self._post(delivery, message, thread, picture)
        outcome = await self._editor.run(
            delivery, message, thread, self._open()[0], picture, self._throttle
        )
        if outcome is None:
            return None
        if outcome.fallback is None:
            return _Sent(reached=outcome.reached)
        message = outcome.fallback if thread is None else outcome.fallback.in_thread()
        return await self._post(delivery, message, thread, None)

    def _thread_id(self, message: Message) -> str:
        """The message's comment thread, if it is a thread in the channel too."""
        return message.thread if self._settings.has_threads else ""

    async def _post(
        self,
        delivery: Delivery,
        message: Message,
        thread: ThreadReceipts | None,
        picture: Picture | None,
    ) -> _Sent | None:
        channel, _ = self._open()
        reply_to = ReplyTo(thread.root, thread.last, thread.subject) if thread else None
        key = delivery.digest or delivery.key
        try:
            receipt = await channel.send(message, key, reply_to, picture)
        except ThreadNotFound as error:
            if thread is None:
                raise
            log.warning("queue %s: %d starts its thread again: %s", self.name, delivery.id, error)
            await self._store.delete_thread(self.name, message.thread)
            return None
        thread_id = "" if message.to else self._thread_id(message)  # only the person sees it
        # A mail about a state, such as "Resolved", does not name the whole thread.
        return _Sent(receipt.id, thread_id, "" if message.activity else message.subject)

    async def _mark_sent(self, deliveries: Sequence[Delivery], sent: _Sent) -> None:
        delivery, took, next_id = deliveries[0], self._elapsed(), self._next_id()
        ids = [member.id for member in deliveries]
        mark = partial(self._store.mark_sent, ids, seconds=took, next_id=next_id)
        try:
            thread = {"queue": self.name, "thread": sent.thread, "subject": sent.subject}
            await self._write(mark, sent.receipt, **thread)
        except LeaseLost:
            raise
        except Exception:  # a receipt that can't be stored must not cause a second message
            log.exception("queue %s: the receipt of delivery %d", self.name, delivery.id)
            await self._write(mark, "")
        self._attempts.ended(next_id)
        self._failures.succeeded()
        self._context.changed(member.event_id for member in deliveries)
        self._metrics.sent(self.name, took)
        if delivery.digest:
            self._metrics.digest(self.name)
            log.info("queue %s: a digest of %d deliveries sent", self.name, len(deliveries))
        else:
            text = "queue %s: delivery %d of event %d sent"
            log.info(text, self.name, delivery.id, delivery.event_id)
        if sent.reached:
            await self._write(self._health.succeeded)

    async def _fail(self, deliveries: Sequence[Delivery], error: DeliveryError) -> bool:
        delivery = deliveries[0]
        self._metrics.failed(self.name, error.reason)
        is_final = not isinstance(error, RetryLater | Misconfigured)
        if is_final or self._failures.gives_up(delivery, error):
            if delivery.digest:
                log.warning("queue %s: digest failed, sent one by one: %s", self.name, error)
                await self._write(self._digests.split, deliveries)
                self._attempts.ended()
                return False
            self._health.answered()
            if not await self._hand_on(delivery, error):
                await self._mark_dead(delivery, error)
            return True
        wait = retry_delay(self._failures.failed(delivery, error), error.retry_after)
        level = logging.DEBUG if self._health.is_stopped else logging.WARNING
        text = "queue %s: delivery %d failed (%s), attempt %d, next in %.0f s"
        log.log(level, text, self.name, delivery.id, error, delivery.attempts + 1, wait)
        next_at = time.time() + wait
        self._timer.start(delivery.id, next_at, wait)
        took = self._elapsed()
        await self._write(self._store.mark_failed, delivery.id, str(error), next_at, seconds=took)
        self._attempts.ended()
        self._context.changed([delivery.event_id])
        await self._write(self._health.failed, delivery, error)  # last: alerts may leave the queue
        return False

    async def _hand_on(self, delivery: Delivery, error: DeliveryError) -> bool:
        """Move an alert that the server refuses to another queue; False for other messages, and
        where no queue works."""
        is_alert = await self._write(self._store.problems.is_alert, delivery.event_id)
        if not is_alert or error.reason == "interrupted":  # it would end the process there as well
            return False
        target = await self._write(self._alerts.next_queue, self.name)
        if target is None:
            return False
        log.warning("queue %s: alert %d goes to %s: %s", self.name, delivery.id, target, error)
        took = self._elapsed()
        await self._write(self._store.mark_failed, delivery.id, str(error), 0.0, seconds=took)
        self._attempts.ended()
        await self._write(self._store.problems.move, [delivery.id], self.name, target)
        self._context.changed([delivery.event_id])
        return True

    async def _skip(self, delivery: Delivery, error: DeliveryError) -> bool:
        log.info("queue %s: delivery %d is skipped: %s", self.name, delivery.id, error)
        await self._write(self._store.mark_skipped, delivery.id, str(error))
        self._attempts.ended()
        self._context.changed([delivery.event_id])
        self._metrics.skipped(self.name, error.reason)
        return True

    async def _mark_dead(self, delivery: Delivery, error: DeliveryError) -> None:
        self._editor.forget(delivery)
        log.error("queue %s: delivery %d is dead: %s", self.name, delivery.id, error)
        took = self._elapsed()
        await self._write(self._store.mark_dead, delivery.id, str(error), seconds=took)
        self._attempts.ended()
        self._context.changed([delivery.event_id])
        self._metrics.dead(self.name, error.reason)
        await self._write(report_dead_letters, self.name, self._store, self._alerts)

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
        return 0.0 if self._send_started is None else time.monotonic() - self._send_started

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
