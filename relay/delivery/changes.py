"""Changes: a message that stands in a channel already is brought up to date, or taken away."""

import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from relay.channels.base import Channel, EditableChannel, Failure
from relay.messages.message import Change, Message
from relay.metrics import Metrics
from relay.picture import Picture
from relay.store.base import ShownMessage, ThreadPlace

log = logging.getLogger(__name__)


class EditOutcome(NamedTuple):
    """What came of it."""

    reached: bool
    """Whether the channel's server was asked, and has answered."""
    left: Message | None = None
    """What is left to be told in a message of its own."""
    stopped: bool = False
    """Whether the service is to stop before all was changed: another try does the rest."""


@dataclass(frozen=True, slots=True)
class EditAttempt:
    """One try at a delivery that changes something."""

    queue: str
    delivery_id: int
    key: str
    message: Message
    change: Change
    place: ThreadPlace | None
    """Where the thread stands in the queue."""
    shown: Sequence[ShownMessage]
    """What the queue has of the thread's comments."""
    done: set[str]
    """The receipts that earlier tries are done with, and then this one: a long thread may take more
    calls than its server allows at a time."""
    metrics: Metrics

    async def make(
        self,
        channel: Channel,
        picture: Picture | None,
        breathe: Callable[[], Awaitable[bool]],
    ) -> EditOutcome:
        """Change what is to be changed. ``breathe`` waits until the channel's pace allows the next
        call; False where the service is to stop and none is to be made.

        Made again after a crash it comes to the same. Raises ``Failure``.
        """
        otherwise = Message.loads(self.change.otherwise) if self.change.otherwise else None
        standing = self._standing()
        if not isinstance(channel, EditableChannel) or not standing:
            log.info("queue %s: delivery %d finds no message", self.queue, self.delivery_id)
            return EditOutcome(reached=False, left=otherwise)
        if self._is_overtaken():
            log.info("queue %s: delivery %d is overtaken", self.queue, self.delivery_id)
            return EditOutcome(reached=False)
        fixed = False
        for number, receipt in enumerate(standing):
            if receipt in self.done:
                continue
            if self.done and not await breathe():
                return EditOutcome(reached=True, stopped=True)
            try:
                await self._change_one(channel, receipt, f"{self.key}.{number}", picture)
            except Failure as failure:
                if failure.verdict not in ("gone", "fixed"):
                    raise
                log.warning("queue %s: delivery %d: %s", self.queue, self.delivery_id, failure)
                self.metrics.failed(self.queue, failure.reason)
                if failure.verdict == "fixed":
                    fixed = True
                    if not self.change.removes:
                        break
            self.done.add(receipt)
        if not fixed and (not self.change.news or channel.pings_in_edits):
            return EditOutcome(reached=True)
        goes_on = await breathe()
        return EditOutcome(reached=True, left=otherwise, stopped=not goes_on)

    def _standing(self) -> list[str]:
        """The receipts of the messages that are to be changed: the first of a thread at the end,
        as it can go only when no reply hangs on it."""
        change = self.change
        found = [
            one
            for one in self.shown
            if one.state == "sent"
            and one.receipt
            and (change.whole_thread or one.comment == change.comment)
        ]
        # Whoever was mentioned by an edit was told so in a message of its own, which goes as well.
        first = found if change.removes else found[:1]
        return [one.receipt for one in sorted(first, key=lambda one: not one.comment)]

    def _is_overtaken(self) -> bool:
        """Whether a later change was made already, so that an older one that is put back does not
        bring back what was."""
        return any(
            one.delivery_id > self.delivery_id
            and one.state == "sent"
            and one.comment == self.change.comment
            for one in self.shown
        )

    async def _change_one(
        self, editor: EditableChannel, receipt: str, key: str, picture: Picture | None
    ) -> None:
        under_another = self.place is not None and receipt != self.place.root
        message = self.message.in_thread() if under_another else self.message
        if self.change.removes:
            await editor.remove(receipt, message, key)
        else:
            await editor.update(receipt, message, key, picture if message.picture else None)
