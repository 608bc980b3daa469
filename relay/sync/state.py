"""The sync state of a team, in the key-value store."""

import json
from collections.abc import Collection
from dataclasses import asdict, dataclass, replace

from relay.store.base import Store

CLOCK_MARGIN_SECONDS = 3600.0  # more than Penpot's clock and ours differ
_KEY_PREFIX = "sync/"
_TIMES = ("since", "outage_end", "outage_start", "previous_outage_end")


@dataclass(frozen=True, slots=True)
class SyncState:
    """Times are in seconds since 1970.

    An *outage* is a period in which Relay received webhooks but could not poll the team.
    """

    team_id: str
    """The team in Penpot. The state does not apply to another one."""
    since: float
    """Start of the last complete scan: all comments from before are stored or were received."""
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
    return SyncState(**json.loads(entry.value)) if entry is not None and entry.value else None


async def save_state(store: Store, team: str, state: SyncState) -> None:
    await store.put_value(_KEY_PREFIX + team, json.dumps(asdict(state)))


async def forget_sync_state(store: Store, except_teams: Collection[str] = ()) -> None:
    """Delete the state and the snapshots of teams that the config no longer syncs: their next sync
    begins with a first scan. Not called when Relay is only down, so that nothing is missed then."""
    await store.sync_threads.delete_teams_except(_KEY_PREFIX, except_teams)
