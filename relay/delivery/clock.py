"""Retry delays and message ages that survive changes of the system clock."""

import time

from relay.delivery.retry import MAX_RETRY_DELAY
from relay.store.base import Delivery

MIN_JUMP_SECONDS = 60.0  # drift between both clocks that means that the wall clock was set
SETTLE_SECONDS = 900.0  # without trust in the wall clock after that, and after a start


class RetryTimers:
    """The retry delay of each queue's first delivery, by the monotonic clock.

    The store keeps ``next_at`` by the wall clock, for the replica that serves the queue next. That
    one waits at most ``MAX_RETRY_DELAY``: the wall clock may have been set back since, and a server
    that asked for more asks again.
    """

    def __init__(self) -> None:
        self._ends: dict[str, tuple[int, float, float]] = {}

    def start(self, queue: str, delivery_id: int, next_at: float, wait: float) -> None:
        """``wait`` in seconds; ``next_at`` is what the store keeps, to recognize the delivery."""
        self._ends[queue] = delivery_id, next_at, time.monotonic() + wait

    def remaining(self, queue: str, delivery: Delivery) -> float:
        """Seconds until the delivery may be retried; 0 or less when it is due."""
        if not delivery.next_at:
            return 0.0
        id_, next_at, end = self._ends.get(queue, (0, 0.0, 0.0))
        if (id_, next_at) != (delivery.id, delivery.next_at):
            wait = min(delivery.next_at - time.time(), MAX_RETRY_DELAY)
            self.start(queue, delivery.id, delivery.next_at, wait)
            return wait
        return end - time.monotonic()


class Clock:
    """Whether the wall clock can be trusted when it makes something expire.

    A machine may start with a wrong time that is corrected later: what is deleted by then is lost.
    """

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
