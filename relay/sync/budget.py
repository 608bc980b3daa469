"""How often Penpot is called: a budget of calls, and backoff after failures."""

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from relay.config.secret import Secret
from relay.config.settings import Config
from relay.metrics import Metrics
from relay.penpot.api import PenpotClient
from relay.penpot.client import PenpotError
from relay.store.base import Store

T = TypeVar("T")

MIN_BURST_SIZE = 10  # calls that may go out at once after a pause
MIN_BACKOFF_DELAY = 15.0  # seconds after the first failure; doubled by each further one
MAX_BACKOFF_DELAY = 900.0  # seconds


def jittered(seconds: float) -> float:
    """Up to 10 % less or more, so that the jobs of many teams do not coincide."""
    return seconds * random.uniform(0.9, 1.1)  # noqa: S311 - not for security


class CallBudget:
    """A token bucket of calls. A running job may overdraw it; the next one waits for that.

    ``now`` is in seconds, on any clock.
    """

    def __init__(self, per_minute: float, now: float) -> None:
        self._rate = per_minute / 60.0
        self._size = max(MIN_BURST_SIZE, self._rate)
        self._left = self._size
        self._refilled_at = now

    def spend(self, now: float) -> None:
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
        elapsed = max(0.0, now - self._refilled_at)
        self._left = min(self._size, self._left + elapsed * self._rate)
        self._refilled_at = now


@dataclass(slots=True)
class Backoff:
    """When something may be retried after failures in a row."""

    until: float = 0.0
    failures: int = 0

    def failed(self, now: float, retry_after: float | None = None) -> None:
        """``retry_after``: the seconds that Penpot asked for, if it did."""
        delay = min(MIN_BACKOFF_DELAY * 2.0**self.failures, MAX_BACKOFF_DELAY)
        self.failures = min(self.failures + 1, 10)
        self.until = now + (retry_after or jittered(delay))

    def reset(self) -> None:
        self.failures, self.until = 0, 0.0


class CountedPenpotClient(PenpotClient):
    """Calls ``spend`` before each call, and counts the outcomes in the metrics."""

    def __init__(
        self, url: str, token: Secret, metrics: Metrics, spend: Callable[[], None] = lambda: None
    ) -> None:
        super().__init__(url, token.reveal())
        self._metrics = metrics
        self.spend = spend

    async def _call(
        self, method: str, read: Callable[[Any], T | None], params: Mapping[str, Any]
    ) -> T | None:
        self.spend()
        try:
            answer = await super()._call(method, read, params)
        except PenpotError as error:
            self._metrics.sync_call(method, error.outcome)
            raise
        self._metrics.sync_call(method, "nothing" if answer is None else "found")
        return answer


@dataclass(frozen=True, slots=True)
class SyncContext:
    """What the sync of every team shares."""

    config: Config
    penpot: CountedPenpotClient
    store: Store
    metrics: Metrics
    stored: Callable[[], None]
    """Called after events were stored."""
    clock: Callable[[], float]
    """Returns seconds since 1970."""
