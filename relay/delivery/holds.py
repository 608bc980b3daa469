"""What a channel holds back: new messages at some times, and how edits change those that are held.

Edits of messages that were sent go out at once.
"""

import logging
import time
from dataclasses import replace
from datetime import UTC, datetime

from relay.config.schedule import Hold, describe_hold
from relay.messages.message import Change, Message
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
        change = message.change
        assert change is not None  # noqa: S101 - for the type checker
        held = await self._held_with(message, delivery.id)
        concerned = {id_: one for id_, one in held.items() if _concerns(message, change, one)}
        for id_, one in concerned.items():
            if change.removes:
                await self._store.mark_skipped(id_, DELETED)
            else:
                await self._store.holds.replace(id_, _latest(one, message, change).dumps())
            text = "queue %s: delivery %d changes %d, which is held"
            log.info(text, self._queue, delivery.id, id_)
        shared = [one for one in held.values() if one.to is None]
        is_covered = any(_covers(change, one) for one in concerned.values())
        news = change.fallback
        is_urgent = news is not None and self._hold is not None and _is_urgent(news, self._hold)
        if shared and is_urgent:
            await self._store.holds.release_group(self._queue, _group(message))
            if not is_covered:
                return None
        if is_covered:
            change = replace(change, fallback=None, new_mentions=())
        return replace(message, change=change)

    async def _held_with(self, message: Message, before: int) -> dict[int, Message]:
        """The held messages of a thread or line, by the ids of their deliveries; those of the event
        itself, which are not ``before`` its delivery, have the latest text."""
        rows = await self._store.holds.messages(self._queue, _group(message))
        held = {row.delivery_id: Message.loads(row.message) for row in rows}
        return {id_: one for id_, one in held.items() if id_ < before and one.line == message.line}

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


def _concerns(message: Message, change: Change, held: Message) -> bool:
    """A line about the thread's state shows no comment, and goes with its thread only."""
    is_same = held.comment is not None and held.comment == change.comment
    return bool(message.line) or change.whole_thread or is_same


def _covers(change: Change, held: Message) -> bool:
    """Whether all that the channel has to show of the change is in this message, or dropped with
    it."""
    is_dropped_news = change.removes and _is_news(held)
    return held.to is None and held.comment == change.comment and not is_dropped_news


def _latest(held: Message, message: Message, change: Change) -> Message:
    """The text for a held message; that of a person keeps its recipient."""
    if held.to is not None:
        form = change.direct[0 if held.mentioned else 1] if change.direct else held
        return replace(form, to=held.to, mentioned=held.mentioned)
    if _is_news(held):
        return change.fallback or held
    return replace(message, change=None)


def _is_news(held: Message) -> bool:
    """Whether it reports an edit of a comment whose message was sent."""
    return held.event == "update-comment"


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
