"""Drafts: previews of events with unsaved templates."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from relay.channels import override_formats, render_preview
from relay.channels.base import ReplyTo
from relay.channels.preview import MessagePreview
from relay.config.settings import Config
from relay.delivery.facts import FactCache
from relay.delivery.pipeline import EventSource, examples, prepare
from relay.delivery.renderer import mentions_to_ping
from relay.errors import RelayError
from relay.messages.rendering import Problem
from relay.messages.templates import GENERIC_TEMPLATE, Templates
from relay.penpot.catalogue import CATALOGUE
from relay.penpot.events import Event, NotAnEvent
from relay.penpot.wire import UnreadableBody
from relay.store.base import Store, StoredEvent

_SHARED = ("base", GENERIC_TEMPLATE)


class EventNotFound(RelayError):
    """There is no event to preview a template with; the text says why."""


@dataclass(frozen=True, slots=True)
class DraftPreview:
    preview: MessagePreview
    problems: tuple[Problem, ...]
    """Of all templates used. With a problem in the draft, the message is the one that the channel
    would get: from the built-in template."""


class Drafts:
    """Renders events with unsaved templates.

    In a sandbox worker of its own, so that an endless loop in a draft does not delay messages. One
    at a time: the worker is serial, and drafts that wait for it must not occupy the threads that
    render messages. A draft is compiled for one rendering only.
    """

    def __init__(self, config: Config, store: Store) -> None:
        self._config = config
        self._store = store
        self._templates = Templates(config.templates.path, override_formats())
        self._lock = asyncio.Lock()

    async def sample(self, name: str, team: str) -> Event:
        """The sample event, with the team's name. Raises ``EventNotFound``."""
        try:
            (event,) = await self.samples([name], team)
        except KeyError as error:
            raise EventNotFound(f"there is no sample of {name}: choose a received event") from error
        return event

    async def samples(self, names: Iterable[str], team: str) -> list[Event]:
        """Raises ``KeyError``."""
        source = EventSource.of(self._config, team)
        return await examples(names, replace(source, name=source.name or team))

    async def from_stored(self, stored: StoredEvent) -> Event:
        """A received event with cached names. Raises ``EventNotFound``, ``StoreUnavailable``."""
        source, facts = EventSource.of(self._config, stored.team), FactCache(self._store)
        try:
            return (await prepare(stored.body, stored.content_type, source, facts)).linked
        except (UnreadableBody, NotAnEvent) as error:
            raise EventNotFound(f"event {stored.id} is unreadable: {error}") from error

    async def render(
        self,
        event: Event,
        team: str,
        kind: str,
        typed: Mapping[str, str] | None = None,
        *,
        replies: bool = False,
    ) -> DraftPreview:
        """The message about ``event``, which has its links, in a channel of that kind.

        ``typed``: drafts by file name. ``replies``: render as a reply in a thread. Never raises for
        an error in a template.
        """
        async with self._lock:
            return await asyncio.to_thread(self._render, event, team, kind, typed or {}, replies)

    async def render_all(self, events: Sequence[Event], team: str, kind: str) -> list[DraftPreview]:
        """The messages about several events, with the saved templates."""
        async with self._lock:
            return await asyncio.to_thread(
                lambda: [self._render(event, team, kind, {}, False) for event in events]
            )

    def _render(
        self, event: Event, team: str, kind: str, typed: Mapping[str, str], replies: bool
    ) -> DraftPreview:
        channels = [c for c in self._config.teams[team].channels if c.type == kind]
        if replies:
            event = replace(event, thread=replace(event.thread, begun=True))
        shares_emails = any(channel.share_emails for channel in channels)
        variables = (event if shares_emails else event.without_emails()).variables()
        rendered = self._templates.render(
            event.name, variables, team=team, channel_kind=kind, drafts=typed
        )
        message = replace(
            rendered.message,
            mentions=mentions_to_ping(event, self._config.people),
            picture="thumbnail" if any(c.has_thumbnails for c in channels) else "",
        )
        problems = list(rendered.problems)
        known = {*CATALOGUE, event.name, *_SHARED}
        for name in typed:
            linted = self._templates.lint(name, known, [variables], team=team, drafts=typed)
            lines = {(problem.file, problem.line) for problem in linted}
            problems = linted + [p for p in problems if (p.file, p.line) not in lines]
        thread = ReplyTo("", "", message.title) if replies else None
        preview = render_preview(kind, message, thread, channels[0] if channels else None)
        return DraftPreview(preview, tuple(problems))
