"""What is kept, and the Store protocol that SQLite and PostgreSQL both speak."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from relay.store.reading import Reading
    from relay.store.seen import Seen

FactKey = tuple[str, str]
"""Kind and id of something in Penpot that has a name."""
AT_A_TIME = 1000
"""Dead deliveries that are put back in one transaction, so that intake never waits long for it, and
no database gives it up however many there are."""


class StoreUnavailable(Exception):
    """The store can't be read or written now: disk full, file locked, database gone."""


class LeaseLost(Exception):
    """Another replica serves the queue or the fan-out, or may do so: nothing was written."""


def queue_lease(queue: str) -> str:
    """The name of a queue's lease."""
    return f"queue:{queue}"


class StoreMisfit(Exception):
    """The store is not one that this Relay can use; the text says why and what to do."""


class StoreMissing(StoreMisfit):
    """There is no store yet."""


class NewEvent(NamedTuple):
    """A body as it was received, for ``accept``."""

    team: str
    content_type: str
    body: bytes
    digest: bytes
    """Equal for equal bodies of a team. It should begin with the event's time: an index over
    keys that grow stays quick, however many there are."""
    name: str
    state: str = "stored"
    reason: str = ""
    received_at: float = 0.0


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """An event in the store. ``state``: stored, fanned-out, ignored or unreadable."""

    id: int
    team: str
    content_type: str
    body: bytes
    name: str
    state: str
    reason: str
    received_at: float
    """Seconds since 1970."""


@dataclass(frozen=True, slots=True)
class NewDelivery:
    """A message on its way to one queue."""

    queue: str
    key: str
    """Names the delivery outside of the store, unique for ever (Matrix's transaction id)."""
    message: str
    thread: str = ""
    """Id of the Penpot comment thread of which it shows a comment; empty for all else."""
    comment: str = ""
    """The comment's id, empty for the thread's first."""


class ShownMessage(NamedTuple):
    """A delivery that shows a comment of a thread, or changes how it is shown."""

    delivery_id: int
    comment: str
    state: str
    """waiting, sent or dead"""
    receipt: str
    """Of the message in the channel; empty where there is none of its own."""


@dataclass(frozen=True, slots=True)
class ThreadPlace:
    """Where a Penpot comment thread stands in a queue: the receipts of its first and of its last
    message there, and the first one's title."""

    root: str
    last: str
    title: str


@dataclass(frozen=True, slots=True)
class FannedOut:
    """What became of one event: its new state, its deliveries and what it taught."""

    event_id: int
    team: str
    state: str
    reason: str = ""
    deliveries: Sequence[NewDelivery] = ()
    facts: Mapping[FactKey, str] | None = None
    person: str = ""
    """Who did it, for the inspector's list."""
    about: str = ""
    """What it was about, for the list."""
    passed: Mapping[str, str] | None = None
    """The channels that did not take it, each with the filter or the reason that decided."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """A delivery in the store. ``state``: waiting, sent or dead."""

    id: int
    event_id: int
    queue: str
    key: str
    message: str
    state: str
    attempts: int
    next_at: float
    """Seconds since 1970; not to be tried before."""
    error: str
    receipt: str
    created_at: float
    digest: str = ""
    """Key of the digest that it goes out in; empty for a message by itself."""


class QueueHead(NamedTuple):
    """The delivery that waits first in a queue."""

    delivery_id: int
    next_at: float
    """Seconds since 1970; not to be tried before."""


class StoredValue(NamedTuple):
    """Something that a part of Relay wants to remember, and when it was written, in seconds since
    1970."""

    value: str
    at: float


@dataclass(frozen=True, slots=True)
class LogEntry:
    """A line of ``relay log``: an event with its deliveries."""

    event: StoredEvent
    deliveries: Sequence[Delivery]


class Store(Protocol):
    """Events, deliveries and names on disk.

    Every method that changes something returns when the change is on disk, and raises
    ``StoreUnavailable`` where that can't be done; then nothing of it has happened.

    Several replicas of Relay may work on one store where it is ``shared``. The fan-out and each
    queue are then served by the one that holds the lease of that name; what it writes for them
    without the lease raises ``LeaseLost``.
    """

    shared: bool
    reading: "Reading"
    """What the inspector reads."""
    seen: "Seen"
    """What the watch keeps."""

    async def open(self) -> None:
        """Open for the service: upgrade the schema, and keep every other service out.

        Raises ``StoreMisfit`` where the store belongs to a newer Relay or is in use.
        """
        ...

    async def close(self) -> None:
        """Finish what was asked for, then close."""
        ...

    async def accept(self, event: NewEvent) -> None:
        """Keep an event, unless the team's same body is kept already."""
        ...

    async def stored(self, limit: int) -> list[StoredEvent]:
        """The oldest events that wait for the fan-out, in the order in which they came; less
        than ``limit`` where their bodies are large, and none only if none waits."""
        ...

    async def fanned_out(self, batch: Sequence[FannedOut]) -> None:
        """Write what became of events, all of it or nothing."""
        ...

    async def facts(self, team: str, keys: Collection[FactKey]) -> dict[FactKey, str]:
        """What is known of the things of a team; unknown ones are left out."""
        ...

    async def waiting(self, queue: str, limit: int) -> list[Delivery]:
        """The next deliveries of a queue, in order."""
        ...

    async def busy_queues(self) -> dict[str, QueueHead]:
        """Every queue that has deliveries waiting and that no other replica serves, with the first;
        it takes no longer where many wait."""
        ...

    async def waiting_queues(self) -> dict[str, int]:
        """Every queue that has deliveries waiting, with their number; each of them is counted."""
        ...

    async def sent(
        self,
        delivery_ids: Sequence[int],
        receipt: str,
        *,
        queue: str = "",
        thread: str = "",
        title: str = "",
        seconds: float = 0.0,
    ) -> None:
        """A message was taken by its server within ``seconds``, which called it ``receipt``: that
        of one delivery, or a digest of several. Where it stands in a ``thread`` of its ``queue`` it
        is the thread's last from now on, and its first where the thread had none."""
        ...

    async def bundle(self, delivery_ids: Sequence[int], digest: str) -> None:
        """These deliveries of one queue go out together from now on, as the digest of that key."""
        ...

    async def thread(self, queue: str, thread: str) -> ThreadPlace | None:
        """Where a thread stands in a queue; None until a message of it is sent there."""
        ...

    async def shown(self, queue: str, thread: str) -> list[ShownMessage]:
        """The deliveries of a queue that are about a thread's comments, in their order."""
        ...

    async def forget_thread(self, queue: str, thread: str) -> None:
        """The thread's first message is gone from the channel: the next one begins it anew."""
        ...

    async def failed(
        self, delivery_id: int, error: str, next_at: float, *, seconds: float = 0.0
    ) -> None:
        """A try failed; the next is not before ``next_at``."""
        ...

    async def dead(self, delivery_id: int, error: str, *, seconds: float = 0.0) -> None:
        """A message can never be delivered."""
        ...

    async def resend(self, delivery_ids: Sequence[int]) -> list[int]:
        """Put deliveries back in their queue, as new ones for their server; the ids found."""
        ...

    async def resend_dead(self) -> list[int]:
        """Put all dead deliveries back, in steps of ``AT_A_TIME`` and in the order of their queues;
        their ids. What was put back before a step that fails stays so, and asked again this goes on
        with the rest."""
        ...

    async def log(self, *, team: str | None, state: str | None, limit: int) -> list[LogEntry]:
        """The newest events, newest first, with the beginnings of their bodies; ``state`` is one
        of an event or of a delivery."""
        ...

    async def prune(self, before: float, limit: int) -> int:
        """Delete up to ``limit`` events from before that time, with their deliveries, unless
        one of these was put back later and waits; how many there were."""
        ...

    async def announce(
        self, team: str, name: str, deliveries: Sequence[NewDelivery], about: str = ""
    ) -> None:
        """Keep an event of Relay's own, fanned out already, with its deliveries."""
        ...

    async def note(self, key: str) -> StoredValue | None:
        """What was remembered under ``key``."""
        ...

    async def keep_note(self, key: str, value: str) -> None:
        """Remember a value under ``key``, in the place of what was there."""
        ...

    async def lease(self, name: str) -> bool:
        """Take the lease of that name, or keep it; False while another replica that is alive has
        it. It is kept alive until it is released, or the store closed."""
        ...

    def lease_is_sure(self, name: str) -> bool:
        """Whether a lease that was taken can't have gone to another replica since, as far as that
        is known without asking."""
        ...

    async def release(self, name: str) -> None:
        """Give a lease back."""
        ...

    def watch(
        self, on_events: Callable[[], None], on_queues: Callable[[Collection[str]], None]
    ) -> None:
        """From ``open`` on call these when another process stored events, or messages for queues.
        A hint that may get lost: who waits looks by itself from time to time."""
        ...

    async def backup(self, path: Path) -> None:
        """Write a copy of everything, as of one moment, into a new file.

        Raises ``StoreMisfit`` where this kind of store has another way, which the text tells.
        """
        ...

    async def probe(self) -> None:
        """Write and read back, for ``/readyz``."""
        ...
