"""Rate limits of channels, and interruptible sleeps."""

import asyncio
import time
from collections.abc import Callable

BURST_SIZE = 5  # messages without delay after an idle time; Slack allows short bursts


class RateLimiter:
    """A token bucket for one queue."""

    def __init__(
        self, per_minute: float | None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """``per_minute`` None: no limit."""
        self._interval = 60.0 / per_minute if per_minute else 0.0
        self._clock = clock
        self._next = clock() - self._interval * BURST_SIZE

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
