"""The Store protocol, which callers use."""

from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Protocol

from relay.store.queries import EventQueries
from relay.store.records import (
    Delivery,
    FactKey,
    FanOutResult,
    LogEntry,
    NewDelivery,
    NewEvent,
    QueueHead,
    ShownMessage,
    StoredEvent,
    StoredValue,
    ThreadReceipts,
)
from relay.store.sync_threads import SyncThreads


class Store(Protocol):
    """Events, deliveries, facts and values on disk.

    Every method that writes returns after the write is on disk. If that fails it raises
    ``StoreUnavailable`` and nothing is written.

    Several replicas of Relay may use one store if it is ``shared``. Each queue and the fan-out are
    then served by the replica that holds the lease of that name; writes for them without the lease
    raise ``LeaseLost``.
    """

    shared: bool
    queries: EventQueries
    sync_threads: SyncThreads

    async def open(self, *, service: bool = True) -> None:
        """Open for the service: create or upgrade the schema, and exclude any second service of a
        store that is not ``shared``. With ``service`` false open beside a running service, for
        commands.

        Raises ``StoreUnusable``.
        """
        ...

    async def close(self) -> None:
        """Finish pending writes, then close."""
        ...

    async def accept(self, event: NewEvent) -> None:
        """Store an event, unless the team has an event of this digest. If it raises, the event
        may be stored all the same."""
        ...

    async def stored_events(self, limit: int) -> list[StoredEvent]:
        """The oldest events in state stored, in the order of their ids. Fewer than ``limit`` if
        their bodies are large; empty only if there is none."""
        ...

    async def save_fan_out(self, batch: Sequence[FanOutResult]) -> None:
        """Write the results of several events in one transaction."""
        ...

    async def facts(self, team: str, keys: Collection[FactKey]) -> dict[FactKey, str]:
        """The known facts of a team; unknown keys are left out."""
        ...

    async def waiting_deliveries(self, queue: str, limit: int) -> list[Delivery]:
        """The next deliveries of a queue, in order."""
        ...

    async def busy_queues(self) -> dict[str, QueueHead]:
        """Every queue with waiting deliveries that no other replica serves. The cost depends on the
        number of queues, not of deliveries."""
        ...

    async def waiting_queues(self) -> dict[str, int]:
        """The number of waiting deliveries by queue; it counts every row."""
        ...

    async def mark_sent(
        self,
        delivery_ids: Sequence[int],
        receipt: str,
        *,
        queue: str = "",
        thread: str = "",
        title: str = "",
        seconds: float = 0.0,
    ) -> None:
        """The channel's server accepted a message after ``seconds`` and returned ``receipt``: one
        delivery, or the several deliveries of a digest. With ``thread`` the receipt becomes the
        last of this thread in ``queue``, and its root if the thread has none."""
        ...

    async def set_digest(self, delivery_ids: Sequence[int], digest: str) -> None:
        """Send these deliveries of one queue together, as the digest with this key."""
        ...

    async def get_thread(self, queue: str, thread: str) -> ThreadReceipts | None:
        """None until a message of the thread is sent in this queue."""
        ...

    async def shown_messages(self, queue: str, thread: str) -> list[ShownMessage]:
        """The deliveries of a queue about a thread's comments, in order."""
        ...

    async def delete_thread(self, queue: str, thread: str) -> None:
        """For a thread whose root message was deleted in the channel: the next message becomes the
        new root."""
        ...

    async def mark_failed(
        self, delivery_id: int, error: str, next_at: float, *, seconds: float = 0.0
    ) -> None:
        """An attempt failed; ``next_at`` is the earliest time of the next one."""
        ...

    async def mark_dead(self, delivery_id: int, error: str, *, seconds: float = 0.0) -> None:
        """The message can never be delivered."""
        ...

    async def resend(self, delivery_ids: Sequence[int]) -> list[int]:
        """Re-queue deliveries under new keys; returns the ids that exist."""
        ...

    async def resend_dead(self) -> list[int]:
        """Re-queue all dead deliveries, ``RESEND_BATCH_SIZE`` per transaction and queue by queue;
        returns their ids. After an error the earlier batches stay re-queued, and another call
        continues with the rest."""
        ...

    async def log(self, *, team: str | None, state: str | None, limit: int) -> list[LogEntry]:
        """The newest events first, with truncated bodies. ``state`` is one of ``EVENT_STATES`` or
        ``DELIVERY_STATES``."""
        ...

    async def prune(self, before: float, limit: int) -> int:
        """Delete up to ``limit`` events received before that time, with their deliveries; returns
        their number. Keeps events of which a delivery was re-queued later and waits."""
        ...

    async def announce(
        self, team: str, name: str, deliveries: Sequence[NewDelivery], about: str = ""
    ) -> None:
        """Store an event of Relay itself, in state fanned-out, with its deliveries."""
        ...

    async def get_value(self, key: str) -> StoredValue | None: ...

    async def put_value(self, key: str, value: str) -> None: ...

    async def acquire_lease(self, name: str) -> bool:
        """Acquire or keep a lease; False while another live replica holds it. The lease is renewed
        until it is released or the store is closed."""
        ...

    def holds_lease(self, name: str) -> bool:
        """Whether no other replica can have acquired the lease since this one did, judged without
        a query."""
        ...

    async def release_lease(self, name: str) -> None: ...

    def listen(
        self, on_events: Callable[[], None], on_queues: Callable[[Collection[str]], None]
    ) -> None:
        """Call these, from ``open`` on, when another process stores events or deliveries for
        queues. Best effort: a notification may be lost, so callers also poll."""
        ...

    async def backup(self, path: Path) -> None:
        """Write a consistent copy into a new file.

        Raises ``StoreUnusable`` if this engine has another way to back up; the text names it.
        """
        ...

    async def probe(self) -> None:
        """Write and read back, for ``/readyz``."""
        ...
