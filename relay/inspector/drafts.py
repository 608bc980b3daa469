"""Drafts: the message that an event would give if a template said what somebody is typing."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from relay.channels.base import ReplyTo
from relay.config import Config
from relay.delivery.memory import FactCache
from relay.delivery.people import pinged
from relay.delivery.plan import read
from relay.examples import example
from relay.inspector.look import RECIPIENTS, SENDER, Look, shown
from relay.messages.message import Message
from relay.messages.rendering import Problem
from relay.messages.templates import GENERIC, Templates
from relay.penpot.catalogue import CATALOGUE
from relay.penpot.events import Event, NotAnEvent, normalize
from relay.penpot.links import add_links
from relay.penpot.wire import UnreadableBody
from relay.store.base import Store, StoredEvent

_SHARED = ("base", GENERIC)


class EventNotFound(Exception):
    """There is no event to show a template with; the text says why, for a person."""


@dataclass(frozen=True, slots=True)
class DraftPreview:
    """An event as a message, with a draft in the place of its template."""

    message: Message
    look: Look
    problems: tuple[Problem, ...]
    """What is wrong with the templates on the way; where it is in the draft, the message is the one
    that its channel gets while the draft fails."""


class Drafts:
    """Renders events with templates that are not saved.

    They run in a process of their own, apart from that of the templates in use: a draft that loops
    holds up nobody's messages. They do so one after the other, as that process serves no two at a
    time: drafts that wait for it must not take the threads that messages are made in. A draft is
    compiled for one rendering and then forgotten.
    """

    def __init__(self, config: Config, store: Store) -> None:
        self._config = config
        self._store = store
        self._templates = Templates(config.templates.path)
        self._turn = asyncio.Lock()

    def sample(self, name: str, team: str) -> Event:
        """The sample of that kind, as if it had happened in the team. Raises ``EventNotFound``."""
        try:
            event = example(name)
        except KeyError as error:
            raise EventNotFound(f"there is no sample of {name}: choose one that came") from error
        called = replace(event.team, name=self._config.team_name(team) or team)
        return add_links(replace(event, team=called), self._config.penpot.url)

    async def real(self, stored: StoredEvent) -> Event:
        """An event that came, with the names that are known. Raises ``EventNotFound``, and
        ``StoreUnavailable``."""
        try:
            event = normalize(await read(stored.body, stored.content_type))
        except (UnreadableBody, NotAnEvent) as error:
            raise EventNotFound(f"event {stored.id} can't be read: {error}") from error
        team = self._config.teams.get(stored.team)
        enriched = await FactCache(self._store).enriched(
            event,
            stored.team,
            self._config.team_name(stored.team) if team else stored.team,
            team.team_id if team else "",
        )
        return add_links(enriched, self._config.penpot.url)

    async def show(
        self,
        event: Event,
        team: str,
        kind: str,
        typed: Mapping[str, str] | None = None,
        *,
        replies: bool = False,
    ) -> DraftPreview:
        """The message about ``event``, which has its links, in a channel of that kind.

        ``typed`` are drafts by the names of their files; ``replies``: it stands in the thread of an
        earlier message. Never raises for anything that a template does.
        """
        async with self._turn:
            return await asyncio.to_thread(self._show, event, team, kind, typed or {}, replies)

    async def show_all(self, events: Sequence[Event], team: str, kind: str) -> list[DraftPreview]:
        """The messages about several events, as the templates are."""
        async with self._turn:
            return await asyncio.to_thread(
                lambda: [self._show(event, team, kind, {}, False) for event in events]
            )

    def _show(
        self, event: Event, team: str, kind: str, typed: Mapping[str, str], replies: bool
    ) -> DraftPreview:
        channels = [one for one in self._config.teams[team].channels if one.type == kind]
        if replies:
            event = replace(event, thread=replace(event.thread, begun=True))
        seen = event if any(one.share_emails for one in channels) else event.without_emails()
        variables = seen.variables()
        rendered = self._templates.render(
            event.name, variables, team=team, channel_kind=kind, typed=typed
        )
        message = replace(
            rendered.message,
            mentions=pinged(event, self._config.people),
            picture="thumbnail" if any(one.has_pictures for one in channels) else "",
        )
        problems = list(rendered.problems)
        known = {*CATALOGUE, event.name, *_SHARED}
        for name in typed:
            found = self._templates.faults(name, known, [variables], team=team, typed=typed)
            places = {(one.file, one.line) for one in found}
            problems = found + [one for one in problems if (one.file, one.line) not in places]
        mail = next((one for one in channels if one.type == "email"), None)
        sender, to = (mail.sender, mail.to) if mail else (SENDER, RECIPIENTS)
        thread = ReplyTo("", "", message.title) if replies else None
        look = shown(kind, message, thread, sender=sender, to=to)
        return DraftPreview(message, look, tuple(problems))
