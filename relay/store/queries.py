"""The inspector's queries and their results."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from relay.store.records import DELIVERY_STATES, Delivery, StoredEvent

MAX_SCANNED_EVENTS = 30_000
"""Events that a filter without an index reads for one page, in about 50 ms."""
MAX_SCANNED_EVENTS_WITH_DELIVERIES = 8_000
"""The same for a filter that also reads each event's deliveries."""
NEW_ROWS_LIMIT = 50
MAX_COUNTED = 10_000  # messages of a queue and state
FIRST_ATTEMPTS_COUNT, LAST_ATTEMPTS_COUNT = 5, 20
"""The attempts of a delivery that are kept; those between are deleted."""
MAX_DETAIL_LENGTH = 500  # characters of an attempt's detail

FILTER_STATES = ("stored", "unreadable", "ignored", *DELIVERY_STATES)
"""States of events, and of at least one delivery of an event."""


@dataclass(frozen=True, slots=True)
class EventFilters:
    """An empty field excludes no event."""

    kind: str = ""
    """Penpot's name of the event."""
    state: str = ""
    """One of ``FILTER_STATES``."""
    text: str = ""
    """Substring of the event's name, person or ``about``; case-insensitive."""

    def __bool__(self) -> bool:
        return bool(self.kind or self.state or self.text)


class DeliverySummary(NamedTuple):
    """A delivery in a row of the list."""

    id: int
    event_id: int
    queue: str
    state: str
    attempts: int
    next_at: float
    error: str


@dataclass(frozen=True, slots=True)
class EventRow:
    """An event in the list."""

    id: int
    team: str
    name: str
    state: str
    reason: str
    received_at: float
    person: str = ""
    about: str = ""
    skipped: Mapping[str, str] = field(default_factory=dict)
    """The channels that do not take the event, each with the filter or the reason."""
    deliveries: Sequence[DeliverySummary] = ()

    @property
    def is_open(self) -> bool:
        """Whether its state or that of a delivery can still change by itself."""
        return self.state == "stored" or any(one.state == "waiting" for one in self.deliveries)


@dataclass(frozen=True, slots=True)
class EventPage:
    """A page of the list, newest first."""

    rows: Sequence[EventRow]
    older: int | None = None
    """The next page has the events before this id; None on the last page."""
    newer: int | None = None
    """The previous page has the events after this id; None on the first page."""
    searched: int | None = None
    """The number of events that the filters read, if they stopped at their limit."""


class DeliveryAttempt(NamedTuple):
    """``outcome`` is sent, failed or dead."""

    delivery_id: int
    number: int
    at: float
    seconds: float
    outcome: str
    detail: str
    """The receipt or the error."""


@dataclass(frozen=True, slots=True)
class EventDetails:
    """An event with everything that the store has about it."""

    event: StoredEvent
    row: EventRow
    deliveries: Sequence[Delivery]
    attempts: Mapping[int, Sequence[DeliveryAttempt]]
    """By delivery: the first and the last attempts."""


class QueueStats(NamedTuple):
    """Statistics of a queue. Times are in seconds since 1970; 0 is never or, for ``next_at``,
    now."""

    queue: str
    waiting: int = 0
    """At most ``MAX_COUNTED``."""
    dead: int = 0
    """At most ``MAX_COUNTED``."""
    since: float = 0.0
    """When the first waiting message was queued or re-queued."""
    next_at: float = 0.0
    """Earliest time of this message's next attempt."""
    sent_at: float = 0.0
    failed_at: float = 0.0
    error: str = ""
    """Of the last failed attempt."""


class EventQueries(Protocol):
    """``team`` restricts the result to the events of one team, None allows all; it has no default,
    so that no caller forgets it. All methods raise ``StoreUnavailable``."""

    async def events(
        self,
        team: str | None,
        filters: EventFilters,
        *,
        before: int | None = None,
        after: int | None = None,
        limit: int = 50,
    ) -> EventPage:
        """The newest events; with ``before`` the newest of those with a smaller id; with ``after``
        the oldest of those with a larger id."""
        ...

    async def rows(
        self, team: str | None, ids: Collection[int], *, after: int | None = None
    ) -> list[EventRow]:
        """The rows of these events, and with ``after`` also those with a larger id of the newest
        ``NEW_ROWS_LIMIT``; newest first. Unknown ids are left out."""
        ...

    async def event(self, team: str | None, event_id: int) -> EventDetails | None: ...

    async def queues(self, names: Collection[str]) -> dict[str, QueueStats]:
        """The caller passes only queues that the viewer may see."""
        ...
