"""The records of the store, its errors and the names of states and leases."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Self

from relay.errors import RelayError

FactKey = tuple[str, str]
"""Kind and id of an object in Penpot that has a name."""
RESEND_BATCH_SIZE = 1000
"""Dead deliveries that one transaction re-queues: it must not delay intake, nor exceed the
database's statement timeout."""
FAN_OUT_LEASE = "fan-out"
MAX_UNREADABLE_BYTES = 4096  # stored of an unreadable body
INTERRUPTED = "interrupted: the process ended during the attempt"
EVENT_STATES = {
    "stored": "received, and not fanned out yet",
    "fanned-out": "turned into deliveries: the messages for its channels",
    "ignored": "no channel accepts it, for the reason that is shown",
    "unreadable": "no event of Penpot that Relay can read, for the reason that is shown",
}
DELIVERY_STATES = {
    "waiting": "not sent yet, or to be tried again",
    "held": "kept back until the channel's quiet hours end or its schedule is due",
    "sent": "accepted by the channel's server",
    "dead": "given up; `relay resend` sends it again",
    "skipped": "not for this channel after all: no address, or deleted while held",
}


class StoreUnavailable(RelayError):
    """The store can't be read or written now: disk full, file locked, database down."""


class LeaseLost(RelayError):
    """Another replica holds, or may hold, the lease of the queue or the fan-out: nothing was
    written."""


class StoreUnusable(RelayError):
    """This Relay can't use the store; the text says why and what to do."""


class StoreMissing(StoreUnusable):
    """The store does not exist yet, or has an older schema."""


def queue_lease(queue: str) -> str:
    """The name of a queue's lease."""
    return f"queue:{queue}"


def suspension_key(queue: str) -> str:
    """The key of the value that suspends a queue: the fingerprint of its settings at that time."""
    return f"suspended/{queue}"


class NewEvent(NamedTuple):
    """A body as it was received."""

    team: str
    content_type: str
    body: bytes
    digest: bytes
    """Equal for equal bodies of a team. It should begin with the event's time: inserts into an
    index over ascending keys stay fast at any size."""
    name: str
    state: str = "stored"
    reason: str = ""
    received_at: float = 0.0
    truncated_from: int = 0

    def truncated(self) -> Self:
        """With the first ``MAX_UNREADABLE_BYTES`` of the body."""
        size = len(self.body)
        if size <= MAX_UNREADABLE_BYTES:
            return self
        return self._replace(body=self.body[:MAX_UNREADABLE_BYTES], truncated_from=size)


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """An event in the store. ``state`` is one of ``EVENT_STATES``."""

    id: int
    team: str
    content_type: str
    body: bytes
    name: str
    state: str
    reason: str
    received_at: float
    """Seconds since 1970."""
    truncated_from: int = 0
    """Bytes that were received, if only the first of them are stored; otherwise 0."""


@dataclass(frozen=True, slots=True)
class NewDelivery:
    """A message for one queue."""

    queue: str
    key: str
    """Identifies the delivery towards the channel's server, for ever unique (it is Matrix's
    transaction id)."""
    message: str
    thread: str = ""
    """Id of the Penpot comment thread of which it shows a comment; empty for other events."""
    comment: str = ""
    """The comment's id; empty for the first comment of the thread."""
    held_until: float = 0.0
    """Of a held delivery: when it is released, in seconds since 1970. Otherwise 0."""
    held_with: str = ""
    """Deliveries of a queue that are released together have the same one; empty for none."""
    is_urgent: bool = False
    """Not held, and releases the held ones with the same ``held_with``, which are sent before."""
    undecided: str = ""
    """The keys of the channel's filters, separated by spaces, that have to accept it first: Penpot
    could not say the names that they need."""


@dataclass(frozen=True, slots=True)
class LineUpdate:
    """What an event makes of an activity line of one queue."""

    queue: str
    line: str
    """The line's id, in the thread of its deliveries."""
    counts: str
    """What it counts with this event."""
    message: str
    """The line's message with this event, for a delivery of the line that is held."""
    delivery: NewDelivery
    """For a line without such a delivery."""
    is_edit: bool
    """Whether ``delivery`` edits a message that was sent, or waits."""


class ShownMessage(NamedTuple):
    """A delivery that shows or edits a comment of a thread. ``state`` is one of
    ``DELIVERY_STATES``."""

    delivery_id: int
    comment: str
    state: str
    receipt: str
    """The message's id in the channel; empty where it was sent as part of a digest."""


@dataclass(frozen=True, slots=True)
class ThreadReceipts:
    """The receipts of the first and the last message of a Penpot comment thread in a queue, and
    the subject of the first message with a comment's words; empty before that."""

    root: str
    last: str
    subject: str


@dataclass(frozen=True, slots=True)
class FanOutResult:
    """The result of fanning out one event: its new state, its deliveries and its facts."""

    event_id: int
    team: str
    state: str
    reason: str = ""
    deliveries: Sequence[NewDelivery] = ()
    facts: Mapping[FactKey, str] | None = None
    person: str = ""
    """Who caused the event, for the inspector's list."""
    about: str = ""
    """What the event is about, for the inspector's list."""
    skipped: Mapping[str, str] | None = None
    """The channels that do not take the event, each with the filter or the reason."""
    lines: Sequence[LineUpdate] = ()
    counted: Mapping[str, int] | None = None
    """The channels that send the event as a part of another event's delivery, each with that
    event's id: the store fills it."""

    @property
    def size(self) -> int:
        """Characters of its messages."""
        return sum(len(each.message) for each in self.deliveries) + sum(
            len(each.message) for each in self.lines
        )


@dataclass(frozen=True, slots=True)
class Delivery:
    """A delivery in the store. ``state`` is one of ``DELIVERY_STATES``."""

    id: int
    event_id: int
    queue: str
    key: str
    message: str
    state: str
    attempts: int
    next_at: float
    """Earliest time of the next attempt, in seconds since 1970."""
    error: str
    receipt: str
    created_at: float
    digest: str = ""
    """Key of the digest that contains it; empty for a message of its own."""
    held_until: float = 0.0
    """When it is, or was, released to be sent in a digest with others, in seconds since 1970; 0 for
    a delivery that is not held."""
    undecided: str = ""
    """As ``NewDelivery.undecided``; empty once it is accepted."""


class QueueHead(NamedTuple):
    """The first waiting delivery of a queue."""

    delivery_id: int
    next_at: float
    """Earliest time of the next attempt, in seconds since 1970."""


class DiskSpace(NamedTuple):
    """Bytes on disk. ``free`` and ``total`` are of the store's file system, and None where Relay
    can't see it."""

    used: int
    free: int | None = None
    total: int | None = None


class StoredValue(NamedTuple):
    """A value of the key-value table, and the time of its last write in seconds since 1970."""

    value: str
    at: float


class ValueChange(NamedTuple):
    """Of a value of the key-value table; where it has another value than ``before``, it is not
    changed."""

    key: str
    before: str
    """Empty also for a key without a value."""
    after: str


@dataclass(frozen=True, slots=True)
class LogEntry:
    """A line of ``relay log``: an event with its deliveries."""

    event: StoredEvent
    deliveries: Sequence[Delivery]
    person: str = ""
    """Who caused the event; empty before its fan-out."""
    about: str = ""
    """What the event is about; empty before its fan-out."""
