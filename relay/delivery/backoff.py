"""Exponential backoff for failed deliveries."""

import asyncio
import random
import time
from collections.abc import Callable

from relay.store.records import Delivery

FIRST_RETRY_DELAY = 1.0  # seconds
MAX_RETRY_DELAY = 300.0  # seconds, unless a server asks for more


def retry_delay(attempts: int, requested: float | None = None) -> float:
    """Seconds to wait after that many failed attempts, at least what the server ``requested``. The
    upper half is random, so that the queues of a failed server do not retry at the same moment."""
    ceiling: float = min(MAX_RETRY_DELAY, FIRST_RETRY_DELAY * 2 ** min(attempts - 1, 30))
    wait = ceiling * random.uniform(0.5, 1.0)  # noqa: S311 - no secret depends on it
    return max(wait, requested or 0.0)


MIN_JUMP_SECONDS = 60.0  # drift between both clocks that means that the wall clock was set
SETTLE_SECONDS = 900.0  # without trust in the wall clock after that, and after a start


class RetryTimer:
    """The retry delay of a queue's first delivery, by the monotonic clock.

    The store keeps ``next_at`` by the wall clock, for the replica that serves the queue next. That
    one waits at most ``MAX_RETRY_DELAY``: the wall clock may have been set back since, and a server
    that asked for more asks again.
    """

    def __init__(self) -> None:
        self._delivery, self._end = (0, 0.0), 0.0

    def start(self, delivery_id: int, next_at: float, wait: float) -> None:
        """``wait`` in seconds; ``next_at`` is what the store keeps, to recognize the delivery."""
        self._delivery, self._end = (delivery_id, next_at), time.monotonic() + wait

    def remaining(self, delivery: Delivery) -> float:
        """Seconds until the delivery may be retried; 0 or less when it is due."""
        if self._delivery != (delivery.id, delivery.next_at):
            if not delivery.next_at:
                return 0.0
            wait = min(delivery.next_at - time.time(), MAX_RETRY_DELAY)
            self.start(delivery.id, delivery.next_at, wait)
        return self._end - time.monotonic()


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
