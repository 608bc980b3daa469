"""What the watch keeps: the comment threads as it saw them last."""

from collections.abc import Collection, Sequence
from typing import NamedTuple, Protocol

from relay.store.base import NewEvent, StoredEvent

LARGEST = 64 * 1024
"""Bytes of a body up to which ``recent`` reads it."""
LEASE = "watch"
"""The lease of the one replica that watches."""


class Fingerprint(NamedTuple):
    """A thread in short, to tell whether anything is new about it."""

    thread: str
    file: str
    mark: str
    """What the watch compares."""
    gone_at: float
    """When it was no longer there, in seconds since 1970; 0 while it is."""


class SeenThread(NamedTuple):
    """A thread as the watch saw it."""

    thread: str
    file: str
    mark: str
    gone_at: float
    state: str
    """All that the watch remembers of it, as text."""


class Seen(Protocol):
    """Threads that were seen, by team. All raise ``StoreUnavailable``, what writes also
    ``LeaseLost``."""

    async def marks(self, team: str, file: str = "") -> list[Fingerprint]:
        """The threads of a file, or of the whole team."""
        ...

    async def threads(self, team: str, threads: Collection[str]) -> dict[str, SeenThread]:
        """Threads by id; those that were never seen are left out."""
        ...

    async def notice(
        self, team: str, events: Sequence[NewEvent], threads: Sequence[SeenThread]
    ) -> int:
        """Keep events as ``Store.accept`` does, and what was seen with them, all or nothing; how
        many of the events were new."""
        ...

    async def forget(self, team: str, before: float) -> None:
        """Forget the threads that are gone since before that time, in seconds since 1970."""
        ...

    async def end(self, notes: str, but: Collection[str] = ()) -> None:
        """Forget all threads of all teams ``but`` these, and the notes whose keys are ``notes``
        and such a team: nobody watches them any more, so that it takes no lease."""
        ...

    async def recent(self, names: Collection[str], since: float, limit: int) -> list[StoredEvent]:
        """The newest events of these names that were received since that time, in seconds since
        1970, oldest first, without large ones."""
        ...
