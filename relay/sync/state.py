"""The sync state of a team in the key-value store, and what the jobs of the sync share."""

import json
import random
from collections.abc import Callable, Collection
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING

from relay.config.settings import Config
from relay.delivery.alerts import Alerts
from relay.metrics import Metrics
from relay.store.base import Store

if TYPE_CHECKING:  # httpx is not loaded where the sync is off
    from relay.penpot.api import PenpotClient

MIN_BACKOFF_DELAY = 15.0  # seconds after the first failure; doubled by each further one
MAX_BACKOFF_DELAY = 900.0  # seconds
CLOCK_MARGIN_SECONDS = 3600.0  # more than Penpot's clock and ours differ
_KEY_PREFIX = "sync/"
_TIMES = ("since", "outage_end", "outage_start", "previous_outage_end")


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
    penpot: "PenpotClient"
    store: Store
    metrics: Metrics
    stored: Callable[[], None]
    """Called after events were stored."""
    clock: Callable[[], float]
    """Returns seconds since 1970."""
    alerts: Alerts


@dataclass(frozen=True, slots=True)
class SyncState:
    """Times are in seconds since 1970.

    An *outage* is a period in which Relay received webhooks but could not poll the team.
    """

    team_id: str = ""
    """The team in Penpot, to which the state applies; empty until it is found."""
    since: float = 0.0
    """Start of the last complete scan: all comments from before are stored or were received; 0
    before the first scan is done."""
    has_read_threads: bool = False
    """Whether somebody reads comments with the token's account, which removes threads from
    Penpot's list of unread threads."""
    outage_end: float = 0.0
    """Last time of the last outage; 0 if there was none."""
    outage_start: float = 0.0
    """0 also if not known."""
    previous_outage_end: float = 0.0

    def not_after(self, now: float) -> "SyncState":
        """With all times cut to ``now``, after the clock was set back."""
        return replace(self, **{name: min(getattr(self, name), now) for name in _TIMES})

    def in_outage(self, now: float, max_gap: float) -> "SyncState":
        """With an outage that lasts until ``now``. It continues the last one if that ended at most
        ``max_gap`` seconds ago; after a longer gap Relay may have been down and received no
        webhooks."""
        if now - self.outage_end <= max_gap:
            return replace(self, outage_end=now)
        previous = self.outage_end
        return replace(self, outage_end=now, outage_start=now, previous_outage_end=previous)

    def cutoff(self, now: float, retention: float) -> float:
        """A comment in no snapshot is new if it was created after this time. In an outage longer
        than the store's retention, events that a webhook sent may have been pruned already."""
        pruned = now - retention + CLOCK_MARGIN_SECONDS
        outage_end = self.outage_end if self.outage_start < pruned else self.previous_outage_end
        return max(self.since - CLOCK_MARGIN_SECONDS, min(outage_end, pruned))


async def load_state(store: Store, team: str) -> SyncState | None:
    """None before the first scan is done."""
    entry = await store.get_value(_KEY_PREFIX + team)
    return SyncState(**json.loads(entry.value)) if entry is not None else None


async def save_state(store: Store, team: str, state: SyncState) -> None:
    await store.put_value(_KEY_PREFIX + team, json.dumps(asdict(state)))


async def forget_sync_state(store: Store, except_teams: Collection[str] = ()) -> None:
    """Delete the state and the snapshots of teams that the config no longer syncs: their next sync
    begins with a first scan. Not called when Relay is only down, so that nothing is missed then."""
    await store.sync_threads.delete_teams_except(_KEY_PREFIX, except_teams)
