"""What a channel holds back: new messages at some times, and how edits change those that are held.

Edits of messages that were sent go out at once.
"""

import logging
import time
from dataclasses import replace
from datetime import UTC, datetime

from relay.config.schedule import Hold, describe_hold
from relay.messages.message import Message
from relay.store.base import Store
from relay.store.records import Delivery, NewDelivery

log = logging.getLogger(__name__)

DELETED = "deleted while it was held"


def hold_back(new: NewDelivery, hold: Hold, now: float) -> NewDelivery:
    """The delivery, held if it has to be. ``now`` in seconds since 1970."""
    message = Message.loads(new.message)
    if message.change is not None or (until := released_at(hold, now)) is None:
        return new
    group = _group(message)
    if _is_urgent(message, hold):
        return replace(new, held_with=group, is_urgent=True)
    return replace(new, held_with=group, held_until=until)


class HeldMessages:
    """Those of one queue. All methods raise ``StoreUnavailable``, ``LeaseLost``."""

    def __init__(self, queue: str, hold: Hold | None, store: Store) -> None:
        self._queue = queue
        self._hold = hold
        self._store = store

    async def change(self, delivery: Delivery, message: Message) -> Message | None:
        """Give the held messages that a change concerns their latest text, or drop them. Returns
        what is left of the change for messages that were sent; None where it has to wait for held
        messages of its thread, which are released now."""
        change, holds = message.change, self._store.holds
        assert change is not None  # noqa: S101 - for the type checker
        held = await holds.messages(self._queue, _group(message))
        # a line about the thread's state shows no comment
        concerned = [
            one.delivery_id
            for one in held
            if change.whole_thread or (one.thread and one.comment == change.comment)
        ]
        text = replace(message, change=None).dumps()
        for id_ in concerned:
            if change.removes:
                await self._store.mark_skipped(id_, DELETED)
            else:
                await holds.replace(id_, text)
            log.info(
                "queue %s: delivery %d changes %d, which is held", self._queue, delivery.id, id_
            )
        news = change.fallback
        is_urgent = news is not None and self._hold is not None and _is_urgent(news, self._hold)
        if held and is_urgent:
            await holds.release_group(self._queue, _group(message))
            if not concerned:
                return None
        if concerned:
            change = replace(change, fallback=None, new_mentions=())
        return replace(message, change=change)

    async def release_before(self, message: Message) -> None:
        """Release the held messages that an urgent one takes along, to be sent before it."""
        if self._hold is not None and _is_urgent(message, self._hold) and message.thread:
            await self._store.holds.release_group(self._queue, _group(message))

    async def hold_back(self, delivery: Delivery, message: Message) -> bool:
        """Hold the first delivery of the queue, with this message, if it has to be."""
        if self._hold is None or _is_urgent(message, self._hold):
            return False
        until = released_at(self._hold, now := time.time())
        if until is None:
            return False
        await self._store.holds.hold(delivery.id, message.dumps(), until, _group(message))
        text = "queue %s: delivery %d of event %d is %s"
        described = describe_hold(until, now, self._hold.zone)
        log.info(text, self._queue, delivery.id, delivery.event_id, described)
        return True


def released_at(hold: Hold, now: float) -> float | None:
    """Both in seconds since 1970; None: at once."""
    until = hold.release_at(datetime.fromtimestamp(now, UTC))
    return None if until is None else until.timestamp()


def _group(message: Message) -> str:
    """The messages of a thread, and of a person, are released together; a line is one message."""
    if message.line:
        return message.line
    return f"{message.thread} {message.to.id}" if message.thread and message.to else message.thread


def _is_urgent(message: Message, hold: Hold) -> bool:
    is_ping = message.mentioned if message.to else bool(message.mentions)
    return "mentions" in hold.urgent and is_ping
