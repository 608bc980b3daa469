"""Routing: which channels get an event, and which skip it for what reason."""

import time
import uuid
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from relay.config.schedule import Hold, describe_hold
from relay.config.settings import AnyChannel, Config
from relay.delivery.changes import ChangeRenderer, renderer_of
from relay.delivery.decisions import ThreadHome, decide, has_place_filter
from relay.delivery.fact_cache import FactCache
from relay.delivery.holds import hold_back
from relay.delivery.notices import report_problems
from relay.delivery.pipeline import PreparedEvent
from relay.delivery.renderer import EventRenderer
from relay.messages.templates import Templates
from relay.metrics import Metrics
from relay.penpot.events import Event
from relay.store.records import FanOutResult, NewDelivery, StoredEvent


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
        home = await thread_home(prepared.linked, stored.team, team.channels, self._facts)
        more = () if home is None else (home.fact(),)
        facts = await self._facts.new_facts(prepared.event, stored.team, *more)
        picture = prepared.event.file.thumbnail
        renderer = renderer_of(self._templates, prepared.linked, stored.team, self._config, picture)
        holds = self._config.holds
        routes = await route(prepared.linked, stored.team, team.channels, renderer, home, holds)
        report_problems(renderer.problems, self._metrics)
        return FanOutResult(
            stored.id,
            stored.team,
            "fanned-out" if routes.deliveries else "ignored",
            routes.reason if team.channels else "the team has no channels",
            routes.deliveries,
            facts,
            person=prepared.linked.actor.name,
            about=await renderer.summary(),
            skipped=routes.skipped,
        )

    def held(self, plan: FanOutResult) -> Iterator[str]:
        """What is held of it, and until when, for the log."""
        for new in plan.deliveries:
            if new.held_until:
                described = describe_hold(
                    new.held_until, time.time(), self._config.holds[new.queue].zone
                )
                yield f"queue {new.queue}: a delivery of event {plan.event_id} is {described}"

    def mark_stored(self, team: str) -> None:
        """All plans of the team so far are stored."""
        self._facts.mark_stored(team)


@dataclass(frozen=True, slots=True)
class Routes:
    deliveries: list[NewDelivery] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)  # by channel: the filter or the reason

    @property
    def reason(self) -> str:
        reasons = [f"{name} ({why})" if why else name for name, why in self.skipped.items()]
        return f"skipped: {', '.join(reasons)}" if reasons else ""


async def thread_home(
    event: Event, team: str, channels: Iterable[AnyChannel], facts: FactCache
) -> ThreadHome | None:
    """The home of an enriched event's thread; None without one, and where no channel asks for it.
    Raises ``StoreUnavailable``."""
    filtered = [channel for channel in channels if has_place_filter(channel)]
    if not event.thread.id or not filtered:
        return None
    known = await facts.get(team, ("thread", event.thread.id))
    return ThreadHome.of(event, known).judged(filtered)


async def route(
    event: Event,
    team: str,
    channels: Iterable[AnyChannel],
    renderer: EventRenderer | ChangeRenderer,
    home: ThreadHome | None,
    holds: Mapping[str, Hold],
) -> Routes:
    """For an enriched event. ``holds``: when queues hold their messages back."""
    routes = Routes()
    for channel in channels:
        skipped = decide(event, channel, home).skipped
        if skipped is not None:
            routes.skipped[channel.name] = skipped
            continue
        if reason := renderer.skips(channel):
            routes.skipped[channel.name] = reason
            continue
        queue = f"{team}/{channel.name}"
        deliveries = [
            NewDelivery(queue, uuid.uuid4().hex, *message)
            for message in await renderer.messages(channel)
        ]
        if (hold := holds.get(queue)) is not None:
            deliveries = [hold_back(new, hold, time.time()) for new in deliveries]
        routes.deliveries.extend(deliveries)
    return routes
