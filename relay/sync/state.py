"""How far the watch of a team has come, kept in the store's notes."""

import json
from collections.abc import Collection
from dataclasses import asdict, dataclass, replace

from relay.store.base import Store

MARGIN = 3600.0
"""Seconds by which Penpot's clock and ours may differ, and more."""
_NOTES = "watch/"
"""What the keys of the notes begin with."""


@dataclass(frozen=True, slots=True)
class SyncState:
    """Times are in seconds since 1970."""

    team_id: str
    """The team in Penpot that this is about: another one begins anew."""
    since: float
    """All comments from before were seen then, or brought by webhooks."""
    is_read: bool = False
    """Whether somebody reads comments with the token's account, so that not all are listed as
    unread."""
    blind_until: float = 0.0
    """When Relay last took events from webhooks but could not look for itself; 0 if it could at all
    times since."""
    blind_from: float = 0.0
    """When that began; 0 also where that is not known."""
    blind_before: float = 0.0
    """The same as ``blind_until`` for the times before that."""

    @property
    def newest(self) -> float:
        """The latest of its times."""
        return max(self.since, self.blind_until, self.blind_from, self.blind_before)

    def not_after(self, now: float) -> "SyncState":
        """The same without a time that is to come."""
        return replace(
            self,
            since=min(self.since, now),
            blind_until=min(self.blind_until, now),
            blind_from=min(self.blind_from, now),
            blind_before=min(self.blind_before, now),
        )

    def blind(self, now: float, spell: float) -> "SyncState":
        """The team can't be looked at now. What is noted within ``spell`` seconds of the last time
        is one: after more Relay may have been down, so that no webhook brought anything."""
        if now - self.blind_until > spell:
            return replace(self, blind_until=now, blind_from=now, blind_before=self.blind_until)
        return replace(self, blind_until=now)

    def cutoff(self, now: float, retention: float) -> float:
        """From when on a comment that was never seen is a new one. Where Relay could not look for
        longer than the store keeps events, what a webhook brought may have left it already."""
        pruned = now - retention + MARGIN
        blind_until = self.blind_until if self.blind_from < pruned else self.blind_before
        return max(self.since - MARGIN, min(blind_until, pruned))


async def load(store: Store, team: str) -> SyncState | None:
    """How far the watch has come; None before its first look."""
    note = await store.note(_key(team))
    return SyncState(**json.loads(note.value)) if note is not None and note.value else None


async def keep(store: Store, team: str, state: SyncState) -> None:
    """Keep it."""
    await store.keep_note(_key(team), json.dumps(asdict(state)))


async def forget(store: Store, but: Collection[str] = ()) -> None:
    """The config has no watch, or none of teams ``but`` these: the next one takes what is there
    then as seen. Where Relay is only down nobody calls this, and what happened meanwhile is told.
    """
    await store.seen.end(_NOTES, but)


def _key(team: str) -> str:
    return _NOTES + team
