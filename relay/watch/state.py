"""How far the watch of a team has come, kept in the store's notes."""

import json
from collections.abc import Collection
from dataclasses import asdict, dataclass

from relay.store.base import Store

MARGIN = 3600.0
"""Seconds by which Penpot's clock and ours may differ, and more."""
_NOTES = "watch/"
"""What the keys of the notes begin with."""


@dataclass(frozen=True, slots=True)
class State:
    """Times are in seconds since 1970."""

    team_id: str
    """The team in Penpot that this is about: another one begins anew."""
    since: float
    """All comments from before were seen then, or brought by webhooks."""
    is_read: bool = False
    """Whether somebody reads comments with the token's account, so that not all are listed as
    unread."""
    blind_until: float = 0.0
    """When Relay last took events from webhooks but could not look for itself."""

    def cutoff(self, now: float, retention: float) -> float:
        """From when on a comment that was never seen is a new one. Where Relay could not look for
        longer than the store keeps events, what a webhook brought may have left it already."""
        pruned = now - retention + MARGIN
        return max(self.since - MARGIN, min(self.blind_until, pruned))


async def load(store: Store, team: str) -> State | None:
    """How far the watch has come; None before its first look."""
    note = await store.note(_key(team))
    return State(**json.loads(note.value)) if note is not None and note.value else None


async def keep(store: Store, team: str, state: State) -> None:
    """Keep it."""
    await store.keep_note(_key(team), json.dumps(asdict(state)))


async def forget(store: Store, but: Collection[str] = ()) -> None:
    """The config has no watch, or none of teams ``but`` these: the next one takes what is there
    then as seen. Where Relay is only down nobody calls this, and what happened meanwhile is told.
    """
    await store.seen.end(_NOTES, but)


def _key(team: str) -> str:
    return _NOTES + team
