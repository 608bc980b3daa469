"""Routing: which channels get an event, and which skip it for what reason."""

import time
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from relay.config.schedule import describe_hold
from relay.config.settings import AnyChannel, Config
from relay.delivery.activity import LinePlanner, LineStore
from relay.delivery.changes import ChangeRenderer, renderer_of
from relay.delivery.decisions import (
    ThreadHome,
    decide,
    describe_undecided,
    has_place_filter,
    is_counted,
)
from relay.delivery.fact_cache import FactCache
from relay.delivery.holds import hold_back
from relay.delivery.notices import report_problems
from relay.delivery.pipeline import PreparedEvent
from relay.delivery.renderer import ADDRESSED, EventRenderer
from relay.messages.templates import Templates
from relay.metrics import Metrics
from relay.penpot.events import Event
from relay.store.records import FanOutResult, LineUpdate, NewDelivery, StoredEvent


class Planner:
    """Decides what becomes of a prepared event, and collects its new facts."""

    def __init__(
        self,
        config: Config,
        facts: FactCache,
        lines: LineStore,
        templates: Templates,
        metrics: Metrics,
    ) -> None:
        self._config = config
        self._facts = facts
        self._lines = LinePlanner(config, lines)
        self._templates = templates
        self._metrics = metrics

    async def plan(self, stored: StoredEvent, prepared: PreparedEvent) -> FanOutResult:
        """Call ``mark_stored`` then, or ``reset`` and the preparer's. Raises
        ``StoreUnavailable``."""
        team = self._config.teams.get(stored.team)
        if team is None:
            return FanOutResult(stored.id, stored.team, "ignored", "its team is not in the config")
        event, is_unanswered = prepared.linked, prepared.is_unanswered
        home = await thread_home(
            event, stored.team, team.channels, self._facts, is_unanswered=is_unanswered
        )
        more = () if home is None else (home.fact(),)
        facts = await self._facts.new_facts(prepared.event, stored.team, *more)
        picture = prepared.event.file.thumbnail
        renderer = renderer_of(self._templates, event, stored.team, self._config, picture)
        routes = await self._route(prepared, stored, team.channels, renderer, home)
        report_problems(renderer.problems, self._metrics)
        return FanOutResult(
            stored.id,
            stored.team,
            "fanned-out" if routes.deliveries or routes.lines else "ignored",
            routes.reason if team.channels else "the team has no channels",
            routes.deliveries,
            facts,
            person=event.actor.name,
            about=await renderer.summary(),
            skipped=routes.skipped,
            lines=routes.lines,
        )

    async def _route(
        self,
        prepared: PreparedEvent,
        stored: StoredEvent,
        channels: Iterable[AnyChannel],
        renderer: EventRenderer | ChangeRenderer,
        home: ThreadHome | None,
    ) -> "Routes":
        event, routes = prepared.linked, Routes()
        in_lines: list[AnyChannel] = []
        takers: list[tuple[AnyChannel, str]] = []  # each with the filters that are undecided
        for channel in channels:
            decision = decide(event, channel, home, is_unanswered=prepared.is_unanswered)
            skipped = decision.skipped
            if skipped is not None or (skipped := renderer.skips(channel)):
                routes.skipped[channel.name] = skipped
            elif is_counted(event, channel) and not decision.undecided:
                in_lines.append(channel)
            else:
                takers.append((channel, decision.undecided))
        # an undecided one may reject it, and must not keep another one's mail from a person
        renderer.expect([channel for channel, undecided in takers if not undecided])
        for channel, undecided in sorted(takers, key=lambda taker: bool(taker[1])):
            if deliveries := await self._deliveries(stored.team, channel, renderer, undecided):
                routes.deliveries.extend(deliveries)
            else:
                routes.skipped[channel.name] = ADDRESSED
        if in_lines and isinstance(renderer, EventRenderer):  # Relay's own events are no activity
            routes.lines.extend(
                await self._lines.updates(
                    event, stored.team, stored.received_at, in_lines, renderer
                )
            )
        return routes

    async def _deliveries(
        self,
        team: str,
        channel: AnyChannel,
        renderer: EventRenderer | ChangeRenderer,
        undecided: str,
    ) -> list[NewDelivery]:
        queue = f"{team}/{channel.name}"
        deliveries = [
            NewDelivery(queue, uuid.uuid4().hex, *message, undecided=undecided)
            for message in await renderer.messages(channel)
        ]
        hold = None if undecided else self._config.holds.get(queue)
        return [hold_back(new, hold, time.time()) if hold else new for new in deliveries]

    def postponed(self, plan: FanOutResult) -> Iterator[str]:
        """What of it is held, and until when, or undecided, for the log."""
        for new in plan.deliveries:
            described = ""
            if new.undecided:
                described = f"waiting: {describe_undecided(new.undecided)}"
            elif new.held_until:
                zone = self._config.zones[new.queue]
                described = describe_hold(new.held_until, time.time(), zone)
            if described:
                yield f"queue {new.queue}: a delivery of event {plan.event_id} is {described}"

    def mark_stored(self, team: str) -> None:
        """All plans of the team so far are stored."""
        self._facts.mark_stored(team)
        self._lines.reset(team)

    def reset(self, team: str | None = None) -> None:
        """The last plans of this team, or of all, could not be stored."""
        self._lines.reset(team)


@dataclass(frozen=True, slots=True)
class Routes:
    deliveries: list[NewDelivery] = field(default_factory=list)
    lines: list[LineUpdate] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)  # by channel: the filter or the reason

    @property
    def reason(self) -> str:
        reasons = [f"{name} ({why})" if why else name for name, why in self.skipped.items()]
        lines = [update.queue.partition("/")[2] for update in self.lines]
        parts = {"part of a daily line": lines, "skipped": reasons}
        return "; ".join(f"{what}: {', '.join(names)}" for what, names in parts.items() if names)


async def thread_home(
    event: Event,
    team: str,
    channels: Iterable[AnyChannel],
    facts: FactCache,
    *,
    is_unanswered: bool = False,
) -> ThreadHome | None:
    """The home of an enriched event's thread; None without one, and where no channel asks for it.
    ``is_unanswered`` as for ``decide``. Raises ``StoreUnavailable``."""
    filtered = [channel for channel in channels if has_place_filter(channel)]
    if not event.thread.id or not filtered:
        return None
    known = await facts.get(team, ("thread", event.thread.id))
    return ThreadHome.of(event, known).judged(filtered, is_unanswered=is_unanswered)
