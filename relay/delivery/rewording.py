"""Rewording: what is told of a comment that was resolved, reopened, edited or deleted."""

from collections.abc import Sequence
from dataclasses import replace

from relay.config import AnyChannel
from relay.delivery.wording import EventRenderer, RenderedMessage
from relay.messages.message import Change, Mention, Message
from relay.messages.rendering import Problem
from relay.messages.templates import Templates
from relay.penpot.events import CATALOGUE, Event

CHANGED_IN = frozenset({"slack", "matrix"})
"""The kinds of channel in which messages can be changed."""
_STATE = frozenset({"resolve-comment-thread", "reopen-comment-thread"})
_MARKS_EDITS = frozenset({"matrix"})
"""The kinds of channel that say by themselves that a message was edited."""


class ChangeRenderer:
    """Words one of Relay's own events for every channel that takes it.

    A channel gets a line, or the comment's own message as it stands by now, or both. That message
    is made by the template that made it first.
    """

    def __init__(
        self,
        templates: Templates,
        event: Event,
        team: str,
        people: Sequence[Mention],
        picture: str,
    ) -> None:
        """As for ``EventRenderer``; ``people`` are the mentioned by now."""
        self._event = event
        self._news = _news(event, people)
        self._line = EventRenderer(templates, event, team, self._news, "")
        self._again = {
            kind: EventRenderer(templates, told_anew(event, kind), team, people, picture)
            for kind in CHANGED_IN
        }

    @property
    def problems(self) -> set[Problem]:
        """See ``EventRenderer``."""
        return self._line.problems.union(*(again.problems for again in self._again.values()))

    async def messages(self, channel: AnyChannel) -> list[RenderedMessage]:
        """See ``EventRenderer``."""
        state = self._event.name in _STATE
        if channel.edits_told == "none" and not state:
            return []
        lines = await self._line.messages(channel)
        known = self._event.comment.is_first or self._event.comment.id
        if channel.edits_told != "in-place" or not known:
            return lines
        change = Change("" if self._event.comment.is_first else self._event.comment.id)
        if state:
            return [*lines, await self._changed(channel, change)]
        (line,) = lines
        change = replace(change, otherwise=line.message)
        if changes_text(self._event):
            news = tuple(person.id for person in self._news)
            return [await self._changed(channel, replace(change, news=news))]
        whole_thread = self._event.name == "delete-comment-thread"
        change = replace(change, removes=True, whole_thread=whole_thread)
        return [self._with(line, change)]

    def _with(self, worded: RenderedMessage, change: Change) -> RenderedMessage:
        message = replace(Message.loads(worded.message), change=change)
        return RenderedMessage(message.dumps(), self._event.thread.id, change.comment)

    async def _changed(self, channel: AnyChannel, change: Change) -> RenderedMessage:
        (again,) = await self._again[channel.type].messages(channel)
        return self._with(again, change)


def is_own(event: Event) -> bool:
    """Whether an event is of Relay's own making."""
    kind = CATALOGUE.get(event.name)
    return kind is not None and kind.own


def changes_text(event: Event) -> bool:
    """Whether a comment's message is to be made anew, and not taken away."""
    return event.name in _STATE or event.name == "update-comment"


def told_anew(event: Event, kind: str) -> Event:
    """The event of the comment that ``event`` is about, as if it happened now, for one kind of
    channel: where the channel does not do so by itself it tells that the text was another one."""
    edited = event.comment.edited and kind not in _MARKS_EDITS
    comment = replace(event.comment, edited=edited)
    again = replace(event, actor=event.comment.author, comment=comment)
    if event.comment.is_first:
        return replace(again, name="create-comment-thread")
    # What became of the thread is told by its first message.
    thread = replace(event.thread, resolved=None)
    return replace(again, name="create-comment", thread=thread)


def _news(event: Event, people: Sequence[Mention]) -> tuple[Mention, ...]:
    """Whom an edit mentions who was not mentioned before; nobody where that is not known."""
    if event.name != "update-comment" or not event.comment.before:
        return ()
    before = {profile for _, _, profile in getattr(event.comment.before, "mentions", ())}
    return tuple(person for person in people if person.id not in before)
