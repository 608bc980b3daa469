"""How often Penpot is asked: a budget of calls, and longer and longer rests after failures."""

import random
from dataclasses import dataclass, field

BURST = 10
"""Calls that may go out at once after a pause."""
FIRST_REST = 15.0
"""Seconds without a call after the first failure; each further one doubles them."""
LONGEST_REST = 900.0
"""Seconds without a call after many failures."""


def spread(seconds: float) -> float:
    """About that time, so that what is done for many teams does not fall together."""
    return seconds * random.uniform(0.9, 1.1)  # noqa: S311 - nothing to guess


class CallBudget:
    """A token bucket of calls. A job that has begun may overdraw it; the next waits for that."""

    def __init__(self, per_minute: float, now: float) -> None:
        """``now``, here and below, is in seconds, on any clock."""
        self._rate = per_minute / 60.0
        self._most = max(BURST, self._rate)
        self._left = self._most
        self._at = now

    def spend(self, now: float) -> None:
        """A call goes out."""
        self._refill(now)
        self._left -= 1

    def wait(self, now: float) -> float:
        """Seconds until a call may go out."""
        self._refill(now)
        return max(0.0, (1 - self._left) / self._rate)

    def left(self, now: float) -> float:
        """Calls that may go out at once."""
        self._refill(now)
        return self._left

    def _refill(self, now: float) -> None:
        self._left = min(self._most, self._left + max(0.0, now - self._at) * self._rate)
        self._at = now


@dataclass(slots=True)
class Backoff:
    """When something may be tried again after failures in a row."""

    until: float = 0.0
    failures: int = field(default=0)

    def failed(self, now: float, after: float | None = None) -> float:
        """One more failure; the seconds to rest, ``after`` where Penpot told them."""
        seconds = after or spread(min(FIRST_REST * 2.0**self.failures, LONGEST_REST))
        self.failures = min(self.failures + 1, 10)
        self.until = now + seconds
        return seconds

    def worked(self) -> None:
        """It works (again)."""
        self.failures, self.until = 0, 0.0
