"""Renders the messages about one event, once for all channels that need the same."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import NamedTuple

from relay.config import AnyChannel
from relay.messages.message import Mention, Message
from relay.messages.rendering import Problem
from relay.messages.templates import RenderResult, Templates
from relay.penpot.events import Event


def render(
    templates: Templates, event: Event, team: str, kind: str, *, emails: bool = False
) -> RenderResult:
    """Render an enriched and linked event for one kind of channel; with ``emails`` templates get
    people's mail addresses."""
    visible = event if emails else event.without_emails()
    return templates.render(event.name, visible.variables(), team=team, channel_kind=kind)


class RenderedMessage(NamedTuple):
    """Fields as in ``NewDelivery``: the serialized message, and the thread and comment that it
    shows, if any."""

    message: str
    thread: str = ""
    comment: str = ""


class EventRenderer:
    """Renders one event for every channel that takes it."""

    def __init__(
        self, templates: Templates, event: Event, team: str, people: Sequence[Mention], picture: str
    ) -> None:
        """``people`` are pinged; ``picture`` is the id of the thumbnail."""
        self.problems: set[Problem] = set()
        self._templates = templates
        self._event = event
        self._team = team
        self._people = tuple(people)
        self._picture = picture
        self._rendered: dict[tuple[str, bool, bool], Message] = {}
        self._serialized: dict[tuple[str, bool, bool, bool], RenderedMessage] = {}

    async def messages(self, channel: AnyChannel) -> list[RenderedMessage]:
        """One message, or one for each person where the channel writes to people directly."""
        if channel.is_direct and not self._people:
            return []
        # A mail is read by itself, also in a thread; and the first message of a thread has no other
        # before it.
        threaded = channel.in_threads and channel.type != "email"
        threaded = threaded and bool(self._event.thread.id)
        threaded = threaded and self._event.name != "create-comment-thread"
        variant = channel.type, channel.share_emails, threaded
        key = *variant, channel.has_thumbnails
        if not channel.is_direct and key in self._serialized:
            return [self._serialized[key]]
        if variant not in self._rendered:
            self._rendered[variant] = await self._render_variant(*variant)
        message = self._rendered[variant]
        if channel.has_thumbnails:
            message = replace(message, picture=self._picture)
        if channel.is_direct:
            return [RenderedMessage(replace(message, to=person).dumps()) for person in self._people]
        text = replace(message, mentions=self._people).dumps()
        self._serialized[key] = RenderedMessage(text, *self._shown_ids())
        return [self._serialized[key]]

    def _shown_ids(self) -> tuple[str, str]:
        """The thread and the comment that the message shows, so that an edit finds it."""
        match self._event.name:
            case "create-comment-thread":
                return self._event.thread.id, ""
            case "create-comment" if self._event.comment.id:
                return self._event.thread.id, self._event.comment.id
        return "", ""

    async def _render_variant(self, kind: str, emails: bool, threaded: bool) -> Message:
        message = await self._render(self._event, kind, emails)
        if threaded:
            in_thread = replace(self._event, thread=replace(self._event.thread, begun=True))
            reply = await self._render(in_thread, kind, emails)
            brief = reply.body, reply.footer
            if brief != (message.body, message.footer):
                message = replace(message, brief=brief)
            if reply.override != message.override:
                message = replace(message, brief_override=reply.override)
        return message

    async def _render(self, event: Event, kind: str, emails: bool) -> Message:
        work = partial(render, self._templates, event, self._team, kind, emails=emails)
        if self._templates.user is None:
            result = work()
            await asyncio.sleep(0)  # rendering takes time: let other tasks run
        else:
            result = await asyncio.to_thread(work)
        self.problems.update(result.problems)
        return result.message
