"""Pace: no more messages a minute than a server documents."""

import asyncio
import time
from collections.abc import Callable

BURST = 5
"""Messages that may go out at once after a pause; Slack allows short bursts."""


class RateLimiter:
    """A token bucket. One queue owns one."""

    def __init__(
        self, per_minute: float | None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """``per_minute`` None: as fast as the server answers."""
        self._interval = 60.0 / per_minute if per_minute else 0.0
        self._clock = clock
        self._next = clock() - self._interval * BURST

    def take(self) -> float:
        """Take the place of the next message: the seconds to wait before it is sent."""
        now = self._clock()
        self._next = max(self._next, now - self._interval * (BURST - 1)) + self._interval
        return max(0.0, self._next - self._interval - now)


async def pause(seconds: float, stop: asyncio.Event) -> None:
    """Wait, but no longer than until ``stop``."""
    if seconds <= 0 or stop.is_set():
        return
    try:
        async with asyncio.timeout(seconds):
            await stop.wait()
    except TimeoutError:
        return
