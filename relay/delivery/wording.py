"""Wording: the messages about one event, each look of it rendered once."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import NamedTuple

from relay.config import AnyChannel
from relay.messages.message import Mention, Message
from relay.messages.rendering import Problem
from relay.messages.templates import Rendered, Templates
from relay.penpot.events import Event


def render(
    templates: Templates, event: Event, team: str, kind: str, *, emails: bool = False
) -> Rendered:
    """The message about ``event``, which has its links, for one kind of channel; with ``emails``
    templates get people's mail addresses."""
    shown = event if emails else event.without_emails()
    return templates.render(event.name, shown.variables(), team=team, channel_kind=kind)


class RenderedMessage(NamedTuple):
    """A message as the store keeps it, and the comment that it shows, if any: as in
    ``NewDelivery``."""

    message: str
    thread: str = ""
    comment: str = ""


class EventRenderer:
    """Words one event for every channel that takes it."""

    def __init__(
        self,
        templates: Templates,
        event: Event,
        team: str,
        people: Sequence[Mention],
        picture: str,
    ) -> None:
        """``people`` are to be pinged, ``picture`` is the id of the thumbnail."""
        self.problems: set[Problem] = set()
        self._templates = templates
        self._event = event
        self._team = team
        self._people = tuple(people)
        self._picture = picture
        self._written: dict[tuple[str, bool, bool], Message] = {}
        self._stored: dict[tuple[str, bool, bool, bool], RenderedMessage] = {}

    async def messages(self, channel: AnyChannel) -> list[RenderedMessage]:
        """What a channel gets: one message, or where it writes to people directly one for each of
        them."""
        if channel.is_direct and not self._people:
            return []
        # A mail is read by itself, also in a thread; and the first of a thread has no other before.
        threaded = channel.in_threads and channel.type != "email"
        threaded = threaded and bool(self._event.thread.id)
        threaded = threaded and self._event.name != "create-comment-thread"
        look = channel.type, channel.share_emails, threaded
        whole = *look, channel.has_pictures
        if not channel.is_direct and whole in self._stored:
            return [self._stored[whole]]
        if look not in self._written:
            self._written[look] = await self._write(*look)
        message = self._written[look]
        if channel.has_pictures:
            message = replace(message, picture=self._picture)
        if channel.is_direct:
            return [RenderedMessage(replace(message, to=person).dumps()) for person in self._people]
        text = replace(message, mentions=self._people).dumps()
        self._stored[whole] = RenderedMessage(text, *self._shows())
        return [self._stored[whole]]

    def _shows(self) -> tuple[str, str]:
        """The thread and the comment that a message about the event shows; empty for none."""
        match self._event.name:
            case "create-comment-thread":
                return self._event.thread.id, ""
            case "create-comment" if self._event.comment.id:
                return self._event.thread.id, self._event.comment.id
        return "", ""

    async def _write(self, kind: str, emails: bool, threaded: bool) -> Message:
        message = await self._rendered(self._event, kind, emails)
        if threaded:
            begun = replace(self._event, thread=replace(self._event.thread, begun=True))
            short = await self._rendered(begun, kind, emails)
            brief = short.body, short.footer
            if brief != (message.body, message.footer):
                message = replace(message, brief=brief)
            if short.override != message.override:
                message = replace(message, brief_override=short.override)
        return message

    async def _rendered(self, event: Event, kind: str, emails: bool) -> Message:
        work = partial(render, self._templates, event, self._team, kind, emails=emails)
        if self._templates.user is None:
            rendered = work()
            await asyncio.sleep(0)  # rendering is what takes time
        else:
            rendered = await asyncio.to_thread(work)
        self.problems.update(rendered.problems)
        return rendered.message
