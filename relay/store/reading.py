"""What the inspector reads of a store."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from relay.store.base import Delivery, StoredEvent

SCANNED = 30_000
"""Events among which a filter looks at once: as many as are read in some 50 ms."""
SCANNED_DELIVERIES = 8_000
"""The same where each event's deliveries have to be read for it."""
NEWEST = 50
"""New rows that are told at once."""
MOST_WAITING = 10_000
"""So many waiting messages of a queue are counted."""
FIRST_ATTEMPTS, LAST_ATTEMPTS = 5, 20
"""Attempts of a delivery that are kept, whatever lies between."""
MOST_WORDS = 500
"""Characters of a server's words that are kept with an attempt."""

DELIVERY_STATES = ("waiting", "sent", "dead")
EVENT_STATES = ("stored", "fanned-out", "ignored", "unreadable")
STATES = ("stored", "unreadable", "ignored", *DELIVERY_STATES)
"""What events can be filtered by: a state of theirs, or that one of their deliveries is in it."""


@dataclass(frozen=True, slots=True)
class Filters:
    """Which events are wanted; what is empty leaves out none."""

    kind: str = ""
    """Penpot's name of the event."""
    state: str = ""
    """One of ``STATES``."""
    text: str = ""
    """Stands in the event's name, in who did it or in what it is about, in any case."""

    def __bool__(self) -> bool:
        return bool(self.kind or self.state or self.text)


class Mark(NamedTuple):
    """A delivery in a row of the list."""

    id: int
    event_id: int
    queue: str
    state: str
    attempts: int
    next_at: float
    error: str


@dataclass(frozen=True, slots=True)
class Row:
    """An event in the list."""

    id: int
    team: str
    name: str
    state: str
    reason: str
    received_at: float
    person: str = ""
    about: str = ""
    passed: Mapping[str, str] = field(default_factory=dict)
    """The channels that did not take it, each with the filter, or the reason, that decided."""
    marks: Sequence[Mark] = ()

    @property
    def is_open(self) -> bool:
        """Whether something is still to become of it."""
        return self.state == "stored" or any(mark.state == "waiting" for mark in self.marks)


@dataclass(frozen=True, slots=True)
class Listing:
    """A page of events, newest first."""

    rows: Sequence[Row]
    older: int | None = None
    """What goes on after it: events before this id; None where there are none."""
    newer: int | None = None
    """The events before it in the list are those after this id; None on the first page."""
    searched: int | None = None
    """Where the filters looked at no more than so many events, their number."""


class DeliveryAttempt(NamedTuple):
    """A try at a delivery. ``outcome``: sent, failed or dead."""

    delivery_id: int
    number: int
    at: float
    seconds: float
    outcome: str
    words: str
    """What the server said of it."""


@dataclass(frozen=True, slots=True)
class Whole:
    """An event with all that is known of it."""

    event: StoredEvent
    row: Row
    deliveries: Sequence[Delivery]
    attempts: Mapping[int, Sequence[DeliveryAttempt]]
    """By delivery: the first and the last ones."""


class QueueStats(NamedTuple):
    """What is known of a queue."""

    queue: str
    waiting: int = 0
    """``MOST_WAITING`` at the most."""
    dead: int = 0
    """``MOST_WAITING`` at the most."""
    since: float = 0.0
    """When the message was fanned out, or put back, that waits the longest; 0 where none waits."""
    next_at: float = 0.0
    """When that one is tried next; 0 for now."""
    sent_at: float = 0.0
    """When a message was taken last; 0 for never."""
    failed_at: float = 0.0
    error: str = ""
    """What the last try that failed came to."""


class Reading(Protocol):
    """A store as the inspector reads it.

    ``team`` is the one team whose events are shown, None for all; it is never left out, so that
    nobody forgets it. All raise ``StoreUnavailable``.
    """

    async def events(
        self,
        team: str | None,
        filters: Filters,
        *,
        before: int | None = None,
        after: int | None = None,
        limit: int = 50,
    ) -> Listing:
        """The newest events; with ``before`` the newest of those with a smaller id; with ``after``
        the oldest of those with a larger one."""
        ...

    async def rows(
        self, team: str | None, ids: Collection[int], *, after: int | None = None
    ) -> list[Row]:
        """The rows of these events, and with ``after`` of the ``NEWEST`` with a larger id, newest
        first; ids that are not there are left out."""
        ...

    async def event(self, team: str | None, event_id: int) -> Whole | None:
        """One event whole."""
        ...

    async def queues(self, names: Collection[str]) -> dict[str, QueueStats]:
        """What is known of queues; the caller names those that may be shown."""
        ...
