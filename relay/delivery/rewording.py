"""Renders Relay's own events: comments that were resolved, reopened, edited or deleted."""

from collections.abc import Sequence
from dataclasses import replace

from relay.config import AnyChannel
from relay.delivery.wording import EventRenderer, RenderedMessage
from relay.messages.message import Change, Mention, Message
from relay.messages.rendering import Problem
from relay.messages.templates import Templates
from relay.penpot.catalogue import CATALOGUE
from relay.penpot.events import Event

EDITABLE_CHANNELS = frozenset({"slack", "matrix"})
"""The kinds of channel in which messages can be edited."""
_STATE_EVENTS = frozenset({"resolve-comment-thread", "reopen-comment-thread"})
_SHOW_EDITED = frozenset({"matrix"})
"""The kinds of channel whose clients mark edited messages."""


class ChangeRenderer:
    """Renders one of Relay's own events for every channel that takes it: as a line, as an edit of
    the comment's message, or as both. The edit uses the template of the original message."""

    def __init__(
        self, templates: Templates, event: Event, team: str, people: Sequence[Mention], picture: str
    ) -> None:
        """As for ``EventRenderer``; ``people`` are those whom the current text mentions."""
        self._event = event
        self._new_mentions = _new_mentions(event, people)
        self._line = EventRenderer(templates, event, team, self._new_mentions, "")
        self._edits = {
            kind: EventRenderer(
                templates, original_comment_event(event, kind), team, people, picture
            )
            for kind in EDITABLE_CHANNELS
        }

    @property
    def problems(self) -> set[Problem]:
        return self._line.problems.union(*(edit.problems for edit in self._edits.values()))

    async def messages(self, channel: AnyChannel) -> list[RenderedMessage]:
        is_state = self._event.name in _STATE_EVENTS
        if channel.edit_mode == "none" and not is_state:
            return []
        lines = await self._line.messages(channel)
        known = self._event.comment.is_first or self._event.comment.id
        if channel.edit_mode != "in-place" or not known:
            return lines
        change = Change("" if self._event.comment.is_first else self._event.comment.id)
        if is_state:
            return [*lines, await self._edit(channel, change)]
        (line,) = lines
        change = replace(change, fallback=line.message)
        if updates_message(self._event):
            new_mentions = tuple(person.id for person in self._new_mentions)
            return [await self._edit(channel, replace(change, new_mentions=new_mentions))]
        whole_thread = self._event.name == "delete-comment-thread"
        change = replace(change, removes=True, whole_thread=whole_thread)
        return [self._with_change(line, change)]

    def _with_change(self, rendered: RenderedMessage, change: Change) -> RenderedMessage:
        message = replace(Message.loads(rendered.message), change=change)
        return RenderedMessage(message.dumps(), self._event.thread.id, change.comment)

    async def _edit(self, channel: AnyChannel, change: Change) -> RenderedMessage:
        (rendered,) = await self._edits[channel.type].messages(channel)
        return self._with_change(rendered, change)


def is_synthetic(event: Event) -> bool:
    """Whether Relay, not Penpot, created the event."""
    kind = CATALOGUE.get(event.name)
    return kind is not None and kind.synthetic


def updates_message(event: Event) -> bool:
    """Whether the event updates a comment's message instead of removing it."""
    return event.name in _STATE_EVENTS or event.name == "update-comment"


def original_comment_event(event: Event, kind: str) -> Event:
    """The event that created the comment of ``event``, with the comment's current text and, where
    the channel's clients do not mark edits, with a mark of its own."""
    edited = event.comment.edited and kind not in _SHOW_EDITED
    comment = replace(event.comment, edited=edited)
    original = replace(event, actor=event.comment.author, comment=comment)
    if event.comment.is_first:
        return replace(original, name="create-comment-thread")
    # Only the first message of a thread shows its state.
    thread = replace(event.thread, resolved=None)
    return replace(original, name="create-comment", thread=thread)


def _new_mentions(event: Event, people: Sequence[Mention]) -> tuple[Mention, ...]:
    """The people whom only the edited text mentions; none where the old text is not known."""
    if event.name != "update-comment" or not event.comment.before:
        return ()
    before = {profile for _, _, profile in getattr(event.comment.before, "mentions", ())}
    return tuple(person for person in people if person.id not in before)
