"""Backoff for failed deliveries: the delay that the server asked for, else an exponential one."""

import asyncio
import random
import time
from collections.abc import Callable

from relay.channels.base import MAX_REQUESTED_DELAY, DeliveryError
from relay.store.records import Delivery

FIRST_RETRY_DELAY = 1.0  # seconds
MAX_RETRY_DELAY = 60.0  # seconds, unless a server asks for more
MIN_REQUESTED_DELAY = 1.0  # seconds
STORE_RETRY_DELAY = 1.0  # seconds
SHARED_POLL_INTERVAL = 2.0
"""Seconds between two polls where replicas share the store, and another may have lost a lease."""


def retry_delay(failures: int, requested: float | None = None) -> float:
    """Seconds to wait after that many failed attempts in a row, or what the server ``requested``,
    which knows better. The upper half is random, so that the queues of a failed server do not retry
    at the same moment."""
    if requested is not None:
        return min(max(requested, MIN_REQUESTED_DELAY), MAX_REQUESTED_DELAY)
    ceiling: float = min(MAX_RETRY_DELAY, FIRST_RETRY_DELAY * 2 ** min(failures - 1, 30))
    return ceiling * random.uniform(0.5, 1.0)  # noqa: S311 - no secret depends on it


class FailureCounter:
    """The failed attempts of a queue in a row, by which its backoff grows, and how long a server
    has refused a message that it may never accept.

    They start again after a sent message, and once when a server that could not be reached answers:
    it was away, and that says nothing about its answers. Only once, as a server that comes and goes
    would never be left in peace.
    """

    def __init__(self) -> None:
        self._count: int | None = None  # None: not known in this process
        self._was_reached = True
        self._may_restart = True
        self._doubtful = (0, 0.0)  # a delivery that may be given up, and since when

    def forget(self) -> None:
        """Another replica may have served the queue meanwhile."""
        self._count = None

    def succeeded(self) -> None:
        self._count, self._was_reached, self._may_restart = 0, True, True

    def failed(self, delivery: Delivery, error: DeliveryError) -> int:
        """Count a failed attempt at ``delivery``; returns the failures in a row."""
        if error.answered and not self._was_reached and self._may_restart:
            self._count, self._may_restart = 0, False
        self._was_reached = error.answered
        self._count = 1 + (delivery.attempts if self._count is None else self._count)
        return self._count

    def gives_up(self, delivery: Delivery, error: DeliveryError) -> bool:
        """Whether ``error.give_up_after`` is over."""
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


MIN_JUMP_SECONDS = 60.0  # drift between both clocks that means that the wall clock was set
SETTLE_SECONDS = 900.0  # without trust in the wall clock after that, and after a start


class RetryTimer:
    """The retry delay of a queue's first delivery, by the monotonic clock.

    The store keeps ``next_at`` by the wall clock, for the replica that serves the queue next. That
    one waits no longer than the delay was: the wall clock may have been set back since.
    """

    def __init__(self) -> None:
        self._delivery, self._end = (0, 0.0), 0.0

    def start(self, delivery_id: int, next_at: float, wait: float) -> None:
        """``wait`` in seconds; ``next_at`` is what the store keeps, to recognize the delivery."""
        self._delivery, self._end = (delivery_id, next_at), time.monotonic() + wait

    def is_restored(self, delivery: Delivery) -> bool:
        """False for a delivery with a delay that another process started."""
        return not delivery.next_at or self._delivery == (delivery.id, delivery.next_at)

    def restore(self, delivery: Delivery, failed_at: float | None) -> None:
        """Continue the delay after an attempt that failed at that time, in seconds since 1970, or
        at an unknown one."""
        longest = MAX_RETRY_DELAY if failed_at is None else delivery.next_at - failed_at
        wait = min(delivery.next_at - time.time(), longest, MAX_REQUESTED_DELAY)
        self.start(delivery.id, delivery.next_at, wait)

    def remaining(self, delivery: Delivery) -> float:
        """Seconds until the delivery may be retried; 0 or less when it is due."""
        is_known = self._delivery == (delivery.id, delivery.next_at)
        return self._end - time.monotonic() if is_known else 0.0


class Clock:
    """Whether the wall clock can be trusted when it makes something expire: a machine may start
    with a wrong time that is corrected later, and what is deleted meanwhile is lost."""

    def __init__(self) -> None:
        self._since = time.monotonic()
        self._offset = time.time() - self._since

    def is_trusted(self, extra: float = 0.0) -> bool:
        """Whether the clock was not set for ``SETTLE_SECONDS + extra``. Call this regularly:
        between rare calls a clock that runs slightly fast looks like one that was set."""
        now = time.monotonic()
        offset = time.time() - now
        if abs(offset - self._offset) > MIN_JUMP_SECONDS:
            self._since = now
        self._offset = offset
        return now - self._since > SETTLE_SECONDS + extra


BURST_SIZE = 5  # messages without delay after an idle time: chats allow short bursts


class RateLimiter:
    """A token bucket for one queue."""

    def __init__(
        self, per_minute: float | None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """``per_minute`` None: no limit."""
        self._interval = 60.0 / per_minute if per_minute else 0.0
        self._clock = clock
        self._next = clock() - self._interval * BURST_SIZE

    def delay(self) -> float:
        """Seconds that ``take`` would return now."""
        return max(0.0, self._next - self._clock())

    def take(self) -> float:
        """Take one token: the seconds to wait before the next message is sent."""
        now = self._clock()
        self._next = max(self._next, now - self._interval * (BURST_SIZE - 1)) + self._interval
        return max(0.0, self._next - self._interval - now)


async def pause(seconds: float, stop: asyncio.Event) -> None:
    """Sleep until ``seconds`` have passed or ``stop`` is set."""
    if seconds <= 0 or stop.is_set():
        return
    try:
        async with asyncio.timeout(seconds):
            await stop.wait()
    except TimeoutError:
        return
