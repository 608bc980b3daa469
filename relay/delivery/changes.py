"""From one of Relay's own events, a change of a comment or thread, to its messages and edits."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial

from relay.channels import CHANNEL_TYPES
from relay.config.settings import AnyChannel, Config
from relay.delivery.renderer import (
    EventRenderer,
    MessageOptions,
    RenderContext,
    RenderedMessage,
    author_of,
    mentions_to_ping,
    participants_to_notify,
)
from relay.messages.lint import Problem
from relay.messages.message import Change, Mention, Message
from relay.messages.templates import Templates
from relay.penpot.catalogue import CATALOGUE
from relay.penpot.events import Event

NO_EDITS = "edits are not sent"

_ANYBODY = Mention("anybody")
_STATE_EVENTS = frozenset({"resolve-comment-thread", "reopen-comment-thread"})


class ChangeRenderer:
    """Renders one of Relay's own events for every channel that accepts it: as a line, as an edit of
    the comment's message, or as both. The edit uses the template of the original message."""

    def __init__(self, context: RenderContext) -> None:
        """``context.people`` are those whom the current text mentions."""
        self._event = event = context.event
        self._new_mentions = _new_mentions(event, context.people)
        self._line = EventRenderer(context._replace(people=self._new_mentions, picture=""))
        self._context = context
        self._originals: dict[str, EventRenderer] = {}  # by kind of channel

    @property
    def problems(self) -> set[Problem]:
        return self._line.problems.union(*(one.problems for one in self._originals.values()))

    def _original(self, kind: str) -> EventRenderer:
        """Renders the comment's message with its current text."""
        if kind not in self._originals:
            event = original_comment_event(self._event, kind)
            self._originals[kind] = EventRenderer(self._context._replace(event=event))
        return self._originals[kind]

    async def preview(self, channel: AnyChannel) -> Message:
        """As for ``EventRenderer``: the line, which an edited message replaces."""
        for rendered in await self._direct(channel) if self._hides_edit(channel) else ():
            return Message.loads(rendered.message)
        return await self._line.preview(channel)

    def skips(self, channel: AnyChannel) -> str:
        if self._changes_held(channel):
            return ""
        if self._hides_edit(channel) and not self._directly(channel):
            return NO_EDITS
        return self._line.skips(channel)

    def expect(self, channels: Iterable[AnyChannel]) -> None:
        """As for ``EventRenderer``."""
        self._line.expect(channel for channel in channels if not self._hides_edit(channel))

    def _hides_edit(self, channel: AnyChannel) -> bool:
        return channel.edit_mode == "none" and self._event.name not in _STATE_EVENTS

    def _directly(self, channel: AnyChannel) -> bool:
        """Whether people whom the edit mentions get messages though the channel gets none."""
        return not channel.edits and bool(channel.direct_recipients(self._new_mentions))

    async def summary(self) -> str:
        return await self._line.summary()

    async def messages(self, channel: AnyChannel) -> list[RenderedMessage]:
        if channel.edit_mode == "in-place" and self._is_known:
            is_state = self._event.name in _STATE_EVENTS
            return [
                *(await self._line.messages(channel) if is_state else []),
                await self._edit(channel),
            ]
        if self._changes_held(channel):
            return [await self._held_change(channel), *await self._direct(channel)]
        if self._hides_edit(channel):
            return await self._direct(channel)
        return await self._line.messages(channel)

    @property
    def _is_known(self) -> bool:
        """Whether the comment's messages can be found."""
        return bool(self._event.comment.is_first or self._event.comment.id)

    def _changes_held(self, channel: AnyChannel) -> bool:
        """Whether a channel that edits nothing may hold messages that the event changes."""
        is_comment = self._event.name not in _STATE_EVENTS
        in_place = channel.edit_mode == "in-place"
        return channel.holds and not in_place and is_comment and self._is_known

    async def _direct(self, channel: AnyChannel) -> list[RenderedMessage]:
        if self._hides_edit(channel) and not self._directly(channel):
            return []
        return await self._line.direct_messages(channel)

    async def _edit(self, channel: AnyChannel) -> RenderedMessage:
        event, message = self._event, await self._line.compose(channel)
        fallback = None if event.name in _STATE_EVENTS else message
        if updates_message(event):
            message = await self._original(channel.type).compose(channel)
        elif channel.shows_author and event.name == "delete-comment":
            # The placeholder stays the author's, who alone can delete it. A whole thread has
            # messages of several authors.
            message = replace(message, author=author_of(event))
        change = replace(await self._change(channel), fallback=fallback)
        text = replace(message, change=change).dumps()
        return RenderedMessage(text, event.thread.id, change.comment)

    async def _held_change(self, channel: AnyChannel) -> RenderedMessage:
        """Without ids of what it shows: it never edits what was sent, and its fallback is the
        line that the channel gets then."""
        line = await self._line.compose(channel)
        has_line = not self._hides_edit(channel) and not channel.is_direct
        message = line
        if updates_message(self._event):
            message = await self._original(channel.type).compose(channel)
        change = await self._change(channel)
        change = replace(change, only_held=True, fallback=line if has_line else None)
        return RenderedMessage(replace(message, change=change).dumps())

    async def _change(self, channel: AnyChannel) -> Change:
        event, comment = self._event, self._event.comment
        return Change(
            comment="" if comment.is_first else comment.id,
            removes=not updates_message(event),
            whole_thread=event.name == "delete-comment-thread",
            new_mentions=tuple(person.id for person in self._new_mentions),
            direct=await self._direct_forms(channel),
        )

    async def _direct_forms(self, channel: AnyChannel) -> tuple[Message, ...]:
        is_edit = self._event.name == "update-comment"
        if not (is_edit and channel.holds and channel.direct_recipients([_ANYBODY])):
            return ()
        original = self._original(channel.type)
        mentioned = await original.compose_direct(channel, mentioned=True)
        return mentioned, await original.compose_direct(channel, mentioned=False)


def renderer_of(
    templates: Templates,
    event: Event,
    team: str,
    config: Config,
    picture: str = "",
    drafts: Mapping[str, str] | None = None,
) -> EventRenderer | ChangeRenderer:
    """The renderer of an enriched and linked event, for sending and for previews; the arguments
    are as in ``RenderContext``."""
    people = mentions_to_ping(event, config.people)
    options_of = partial(MessageOptions.in_config, config, team)
    context = RenderContext(templates, event, team, people, picture, options_of, drafts)
    if is_synthetic(event):
        return ChangeRenderer(context)
    others = participants_to_notify(event, config.people)
    return EventRenderer(context._replace(participants=others))


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
    edited = event.comment.edited and not CHANNEL_TYPES[kind].marks_edits
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
