"""The comment threads of Penpot as the sync last saw them."""

from collections.abc import Collection, Sequence
from typing import NamedTuple, Protocol

from relay.store.records import NewEvent, StoredEvent

MAX_RECENT_BODY_BYTES = 64 * 1024  # ``recent_events`` leaves out larger bodies
SYNC_LEASE = "sync"


class ThreadFingerprint(NamedTuple):
    """What the sync compares to detect a change of a thread."""

    thread: str
    file: str
    fingerprint: str
    gone_at: float
    """When the thread was first missing in Penpot, in seconds since 1970; 0 if it exists."""


class SyncThread(NamedTuple):
    """A thread as the sync last saw it."""

    thread: str
    file: str
    fingerprint: str
    gone_at: float
    state: str
    """Everything else that the sync stores of it, in its own format."""


class SyncThreads(Protocol):
    """All methods raise ``StoreUnavailable``; ``save`` and ``delete_gone`` also ``LeaseLost``."""

    async def fingerprints(self, team: str, file: str = "") -> list[ThreadFingerprint]:
        """The threads of a file, or of the whole team."""
        ...

    async def get(self, team: str, threads: Collection[str]) -> dict[str, SyncThread]:
        """Threads by id; unknown ones are left out."""
        ...

    async def save(
        self, team: str, events: Sequence[NewEvent], threads: Sequence[SyncThread]
    ) -> int:
        """Store events as ``Store.accept`` does, and threads, in one transaction; returns the
        number of new events."""
        ...

    async def delete_gone(self, team: str, before: float) -> None:
        """Delete the threads with a ``gone_at`` before that time, in seconds since 1970."""
        ...

    async def delete_teams_except(self, key_prefix: str, teams: Collection[str] = ()) -> None:
        """Delete all threads of all other teams, and their values whose key is ``key_prefix`` and
        the team. It requires no lease, because no replica syncs those teams."""
        ...

    async def recent_events(
        self, names: Collection[str], since: float, limit: int
    ) -> list[StoredEvent]:
        """The newest events of these names since that time (seconds since 1970), oldest first,
        without bodies over ``MAX_RECENT_BODY_BYTES``."""
        ...
