"""What the jobs of the sync share, and their backoff after failures."""

import random
from collections.abc import Callable
from dataclasses import dataclass

from relay.config.settings import Config
from relay.delivery.notices import NoticeRenderer
from relay.metrics import Metrics
from relay.penpot.api import PenpotClient
from relay.store.base import Store

MIN_BACKOFF_DELAY = 15.0  # seconds after the first failure; doubled by each further one
MAX_BACKOFF_DELAY = 900.0  # seconds


def jittered(seconds: float) -> float:
    """Up to 10 % less or more, so that the jobs of many teams do not coincide."""
    return seconds * random.uniform(0.9, 1.1)  # noqa: S311 - not for security


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


@dataclass(frozen=True, slots=True)
class SyncContext:
    """What the sync of every team shares."""

    config: Config
    penpot: PenpotClient
    store: Store
    metrics: Metrics
    stored: Callable[[], None]
    """Called after events were stored."""
    clock: Callable[[], float]
    """Returns seconds since 1970."""
    notices: NoticeRenderer
