"""The clock on the wall, which somebody may set at any time: waits and ages that stand that."""

import time

from relay.delivery.retry import LONGEST
from relay.store.base import Delivery

SET = 60.0
"""Seconds by which it leaves the other clock when it was set, and not only slowed or hurried."""
DOUBT = 900.0
"""Seconds for which it is not believed after that, and after a start."""


class RetryTimers:
    """How long the next delivery of each queue has to wait, by a clock that nobody sets.

    The store keeps the time by the clock on the wall, for whoever serves the queue next. That one
    takes it for ``LONGEST`` seconds at the most: the clock may have been set back since, and a
    server that asked for more asks again.
    """

    def __init__(self) -> None:
        self._ends: dict[str, tuple[int, float, float]] = {}

    def begin(self, queue: str, delivery_id: int, next_at: float, wait: float) -> None:
        """The delivery waits for so many seconds; ``next_at`` is what the store keeps of it."""
        self._ends[queue] = delivery_id, next_at, time.monotonic() + wait

    def left(self, queue: str, delivery: Delivery) -> float:
        """Seconds until the delivery may be tried; none or less when it is time."""
        if not delivery.next_at:
            return 0.0
        id_, next_at, end = self._ends.get(queue, (0, 0.0, 0.0))
        if (id_, next_at) != (delivery.id, delivery.next_at):
            wait = min(delivery.next_at - time.time(), LONGEST)
            self.begin(queue, delivery.id, delivery.next_at, wait)
            return wait
        return end - time.monotonic()


class Clock:
    """Whether the clock on the wall can be believed when it says that something is too old.

    A machine may start with a wrong time, and one that was set wrong by mistake is set right again:
    what is deleted by then does not come back.
    """

    def __init__(self) -> None:
        self._since = time.monotonic()
        self._apart = time.time() - self._since

    def is_sure(self, longer: float = 0.0) -> bool:
        """Whether it has been right for ``DOUBT`` seconds and that much ``longer``. Ask from time
        to time, or a clock that runs a little fast looks like one that was set."""
        now = time.monotonic()
        apart = time.time() - now
        if abs(apart - self._apart) > SET:
            self._since = now
        self._apart = apart
        return now - self._since > DOUBT + longer
