"""Routing: which channels get an event, and which skip it for what reason."""

import uuid
from collections.abc import Iterable
from dataclasses import dataclass, field

from relay.config.settings import AnyChannel, Config
from relay.delivery.lookups import FactCache
from relay.delivery.notices import report_problems
from relay.delivery.pipeline import PreparedEvent
from relay.delivery.renderer import ChangeRenderer, EventRenderer, is_synthetic, mentions_to_ping
from relay.messages.document import shorten
from relay.messages.templates import Templates
from relay.metrics import Metrics
from relay.penpot.events import Event
from relay.penpot.selection import Selection
from relay.store.records import FanOutResult, NewDelivery, StoredEvent

NOT_MENTIONED, NO_EDITS = "nobody is mentioned", "edits are not sent"
MAX_SUBJECT_LENGTH = 160  # characters
MAX_COMMENT_LENGTH = 90  # characters of a comment in it


class Planner:
    """Decides what becomes of a prepared event, and collects its new facts."""

    def __init__(
        self, config: Config, facts: FactCache, templates: Templates, metrics: Metrics
    ) -> None:
        self._config = config
        self._facts = facts
        self._templates = templates
        self._metrics = metrics

    async def plan(self, stored: StoredEvent, prepared: PreparedEvent) -> FanOutResult:
        """Call ``mark_stored`` or the preparer's ``reset`` then. Raises ``StoreUnavailable``."""
        team = self._config.teams.get(stored.team)
        if team is None:
            return FanOutResult(stored.id, stored.team, "ignored", "its team is not in the config")
        facts = await self._facts.new_facts(prepared.event, stored.team)
        renderer = self._renderer(stored.team, prepared)
        routes = await route(prepared.event, stored.team, team.channels, renderer)
        report_problems(renderer.problems, self._metrics)
        return FanOutResult(
            stored.id,
            stored.team,
            "fanned-out" if routes.deliveries else "ignored",
            routes.reason if team.channels else "the team has no channels",
            routes.deliveries,
            facts,
            person=prepared.linked.actor.name,
            about=event_subject(prepared.linked),
            skipped=routes.skipped,
        )

    def mark_stored(self, team: str) -> None:
        """All plans of the team so far are stored."""
        self._facts.mark_stored(team)

    def _renderer(self, team: str, prepared: PreparedEvent) -> EventRenderer | ChangeRenderer:
        linked = prepared.linked
        people = mentions_to_ping(linked, self._config.people)
        kind = ChangeRenderer if is_synthetic(linked) else EventRenderer
        picture, shared = prepared.event.file.thumbnail, self._config.shared_channels(team)
        return kind(self._templates, linked, team, people, picture, shared)


@dataclass(frozen=True, slots=True)
class Routes:
    deliveries: list[NewDelivery] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)  # by channel: the filter or the reason

    @property
    def reason(self) -> str:
        reasons = [f"{name} ({why})" if why else name for name, why in self.skipped.items()]
        return f"skipped: {', '.join(reasons)}" if reasons else ""


async def route(
    event: Event,
    team: str,
    channels: Iterable[AnyChannel],
    renderer: EventRenderer | ChangeRenderer,
) -> Routes:
    routes = Routes()
    for channel in channels:
        entry = Selection.of(channel.events).skipped_by(event.name, event.group)
        if entry is not None:
            routes.skipped[channel.name] = entry
            continue
        messages = await renderer.messages(channel)
        if not messages:
            routes.skipped[channel.name] = NOT_MENTIONED if channel.is_direct else NO_EDITS
        queue = f"{team}/{channel.name}"
        routes.deliveries.extend(
            NewDelivery(queue, uuid.uuid4().hex, *message) for message in messages
        )
    return routes


def event_subject(event: Event) -> str:
    """What an enriched event is about, as one line of plain text; empty where nothing is known.
    Every part may come from Penpot's users."""
    place = event.file.name or event.project.name or event.font.name or event.library.name
    parts = [place or (f"{len(event.files) + event.more_files} files" if event.files else "")]
    if event.previous and event.previous.name != place:
        parts.append(f"was {event.previous.name}")
    if event.library and event.library.name != place:
        parts.append(event.library.name)
    parts.append(event.thread.name)
    if text := " ".join(event.comment.text.split()):
        parts.append(f"“{shorten(text, MAX_COMMENT_LENGTH)}”")
    return shorten(" · ".join(part for part in parts if part), MAX_SUBJECT_LENGTH)
