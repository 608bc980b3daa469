"""Edits: updates or removes messages that a channel already shows, or holds back.

A deleted message stays deleted, but for that of an activity line, which begins again with a new
one. Of the waiting edits of a line only the latest is made.
"""

import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from relay.channels.base import Channel, EditableChannel, MessageNotFound, NotEditable
from relay.config.schedule import Hold
from relay.delivery.holds import HeldMessages
from relay.messages.message import Change, Message, Picture
from relay.metrics import Metrics
from relay.store.activity import REPLACED
from relay.store.base import Store
from relay.store.records import Delivery, ShownMessage, ThreadReceipts

log = logging.getLogger(__name__)

ONLY_HELD = "only held messages take the change"


class EditOutcome(NamedTuple):
    reached: bool  # the channel's server answered a call
    fallback: Message | None = None  # still has to be sent


@dataclass(frozen=True, slots=True)
class Edit:
    """One attempt at a delivery that edits messages."""

    queue: str
    delivery: Delivery
    message: Message
    change: Change
    thread: ThreadReceipts | None
    shown: Sequence[ShownMessage]  # the queue's deliveries in this comment thread
    done: set[str]
    """Receipts that this and earlier attempts have handled: a long thread may need more calls than
    its server allows at a time."""
    metrics: Metrics

    async def run(
        self, channel: Channel, picture: Picture | None, throttle: Callable[[], Awaitable[None]]
    ) -> EditOutcome:
        """``throttle`` waits until the channel's rate limit allows the next call. Idempotent.
        Raises ``DeliveryError`` and what ``throttle`` raises: the next attempt edits the rest."""
        change, receipts = self.change, self._receipts()
        if change.only_held or not isinstance(channel, EditableChannel) or not receipts:
            log.info("queue %s: delivery %d has no message to edit", self.queue, self.delivery.id)
            return EditOutcome(reached=False, fallback=self._fallback())
        if self._is_superseded():
            log.info("queue %s: delivery %d is superseded", self.queue, self.delivery.id)
            return EditOutcome(reached=False)
        not_editable = False
        for number, receipt in enumerate(receipts):
            if receipt in self.done:
                continue
            if self.done:
                await throttle()
            try:
                await self._edit(channel, receipt, f"{self.delivery.key}.{number}", picture)
            except (MessageNotFound, NotEditable) as error:
                log.warning("queue %s: delivery %d: %s", self.queue, self.delivery.id, error)
                self.metrics.failed(self.queue, error.reason)
                is_lost = isinstance(error, NotEditable) or bool(self.message.line)
                not_editable = not_editable or is_lost
                if not_editable and not change.removes:
                    break
            self.done.add(receipt)
        if not not_editable and (not change.new_mentions or channel.edits_notify):
            return EditOutcome(reached=True)
        await throttle()
        return EditOutcome(reached=True, fallback=self._fallback())

    def _fallback(self) -> Message | None:
        return replace(self.message, change=None) if self.message.line else self.change.fallback

    def _receipts(self) -> list[str]:
        """The messages to edit. The root of a thread comes last, as a server removes it only when
        it has no replies left."""
        sent = [message for message in self._sent() if message.receipt]
        if self.message.line:  # a message that was lost is followed by another one
            return [message.receipt for message in sent[-1:]]
        # An edit with new mentions sent a message of its own, which is removed as well.
        affected = sent if self.change.removes else sent[:1]
        return [message.receipt for message in sorted(affected, key=_is_root)]

    def _reported_in(self) -> str:
        """The receipt of the message that reports the deletion: the oldest one."""
        return next((message.receipt for message in self._sent() if message.receipt), "")

    def _is_superseded(self) -> bool:
        """Whether a later edit of the same message was sent: an older one that is put back must not
        undo it."""
        return any(
            message.delivery_id > self.delivery.id and message.comment == self.change.comment
            for message in self._sent()
        )

    def _sent(self) -> list[ShownMessage]:
        """The sent messages that the change concerns."""
        return [
            message
            for message in self.shown
            if message.state == "sent"
            and (self.change.whole_thread or message.comment == self.change.comment)
        ]

    async def _edit(
        self, channel: EditableChannel, receipt: str, key: str, picture: Picture | None
    ) -> None:
        is_reply = self.thread is not None and receipt != self.thread.root
        message = self.message.in_thread() if is_reply else self.message
        if self.change.removes:
            await channel.remove(receipt, message, key, is_further=receipt != self._reported_in())
        else:
            await channel.update(receipt, message, key, picture if message.picture else None)


class Editor:
    """Makes the edits of one queue."""

    def __init__(
        self,
        queue: str,
        hold: Hold | None,
        store: Store,
        metrics: Metrics,
        changed: Callable[[Iterable[int]], None] = lambda _: None,
    ) -> None:
        """``changed`` is called with the ids of events whose deliveries were skipped."""
        self._queue = queue
        self._held = HeldMessages(queue, hold, store)
        self._store = store
        self._metrics = metrics
        self._changed = changed
        self._done: dict[int, set[str]] = {}

    async def run(
        self,
        delivery: Delivery,
        message: Message,
        thread: ThreadReceipts | None,
        channel: Channel,
        picture: Picture | None,
        throttle: Callable[[], Awaitable[None]],
    ) -> EditOutcome | None:
        """As ``Edit.run``. None where the queue goes on with its first delivery, which may be
        another one: this one is held now, or released ones go before it. Raises
        ``StoreUnavailable``, ``LeaseLost``."""
        if message.line and await self._drops_replaced(message.line):
            return None
        left = await self._held.change(delivery, message)
        if left is None or left.change is None:
            return None
        if left.change.only_held and left.change.fallback is None:
            await self._skip(delivery)
            return None
        shown = await self._store.shown_messages(self._queue, left.line or left.thread)
        done = self._done.setdefault(delivery.id, set())
        edit = Edit(self._queue, delivery, left, left.change, thread, shown, done, self._metrics)
        outcome = await edit.run(channel, picture, throttle)
        self.forget(delivery)
        if outcome.fallback and await self._held.hold_back(delivery, outcome.fallback):
            return None
        return outcome

    async def _skip(self, delivery: Delivery) -> None:
        """A change that was for held messages only."""
        await self._store.mark_skipped(delivery.id, ONLY_HELD)
        self._metrics.skipped(self._queue, "held")
        log.info("queue %s: delivery %d: %s", self._queue, delivery.id, ONLY_HELD)
        self._changed([delivery.event_id])

    async def _drops_replaced(self, line: str) -> bool:
        events = await self._store.activity.drop_replaced(self._queue, line)
        for _ in events:
            self._metrics.skipped(self._queue, "replaced")
        if events:
            log.info("queue %s: %d edits of a line: %s", self._queue, len(events), REPLACED)
            self._changed(events)
        return bool(events)

    def forget(self, delivery: Delivery) -> None:
        self._done.pop(delivery.id, None)


def _is_root(message: ShownMessage) -> bool:
    return message.comment == ""
