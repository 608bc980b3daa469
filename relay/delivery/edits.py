"""Edits: updates or removes messages that a channel already shows."""

import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from relay.channels.base import Channel, EditableChannel, MessageNotFound, NotEditable
from relay.messages.message import Change, Message, Picture
from relay.metrics import Metrics
from relay.store.records import ShownMessage, ThreadReceipts

log = logging.getLogger(__name__)


class EditOutcome(NamedTuple):
    reached: bool
    """Whether the channel's server was called and answered."""
    fallback: Message | None = None
    """A message that still has to be sent."""
    stopped: bool = False
    """The service stops before all messages are edited: the next attempt edits the rest."""


@dataclass(frozen=True, slots=True)
class EditAttempt:
    """One attempt at a delivery that edits messages."""

    queue: str
    delivery_id: int
    key: str
    message: Message
    change: Change
    thread: ThreadReceipts | None
    shown: Sequence[ShownMessage]
    """The queue's deliveries in this comment thread."""
    done: set[str]
    """Receipts that this and earlier attempts have handled: a long thread may need more calls than
    its server allows at a time."""
    metrics: Metrics

    async def run(
        self, channel: Channel, picture: Picture | None, throttle: Callable[[], Awaitable[bool]]
    ) -> EditOutcome:
        """``throttle`` waits until the channel's rate limit allows the next call; it returns False
        where the service stops. Idempotent. Raises ``DeliveryError``."""
        fallback = self.change.fallback
        receipts = self._receipts()
        if not isinstance(channel, EditableChannel) or not receipts:
            log.info("queue %s: delivery %d has no message to edit", self.queue, self.delivery_id)
            return EditOutcome(reached=False, fallback=fallback)
        if self._is_superseded():
            log.info("queue %s: delivery %d is superseded", self.queue, self.delivery_id)
            return EditOutcome(reached=False)
        not_editable = False
        for number, receipt in enumerate(receipts):
            if receipt in self.done:
                continue
            if self.done and not await throttle():
                return EditOutcome(reached=True, stopped=True)
            try:
                await self._edit(channel, receipt, f"{self.key}.{number}", picture)
            except (MessageNotFound, NotEditable) as error:
                log.warning("queue %s: delivery %d: %s", self.queue, self.delivery_id, error)
                self.metrics.failed(self.queue, error.reason)
                if isinstance(error, NotEditable):
                    not_editable = True
                    if not self.change.removes:
                        break
            self.done.add(receipt)
        if not not_editable and (not self.change.new_mentions or channel.edits_notify):
            return EditOutcome(reached=True)
        may_continue = await throttle()
        return EditOutcome(reached=True, fallback=fallback, stopped=not may_continue)

    def _receipts(self) -> list[str]:
        """The messages to edit. The root of a thread comes last, as a server removes it only when
        it has no replies left."""
        change = self.change
        messages = [
            message
            for message in self.shown
            if message.state == "sent"
            and message.receipt
            and (change.whole_thread or message.comment == change.comment)
        ]
        # An edit with new mentions sent a message of its own, which is removed as well.
        affected = messages if change.removes else messages[:1]
        return [
            message.receipt for message in sorted(affected, key=lambda message: not message.comment)
        ]

    def _is_superseded(self) -> bool:
        """Whether a later edit of the same message was sent: an older one that is put back must not
        undo it."""
        return any(
            message.delivery_id > self.delivery_id
            and message.state == "sent"
            and message.comment == self.change.comment
            for message in self.shown
        )

    async def _edit(
        self, channel: EditableChannel, receipt: str, key: str, picture: Picture | None
    ) -> None:
        is_reply = self.thread is not None and receipt != self.thread.root
        message = self.message.in_thread() if is_reply else self.message
        if self.change.removes:
            await channel.remove(receipt, message, key)
        else:
            await channel.update(receipt, message, key, picture if message.picture else None)
