"""A short description of an event for the inspector's list."""

import asyncio
import logging
import time
import uuid
from collections.abc import Callable, Collection, Coroutine, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from relay.config.settings import Config, TeamSettings
from relay.delivery.facts import FactCache
from relay.delivery.lookups import LOOKUP_TIMEOUT, Lookups
from relay.delivery.renderer import ChangeRenderer, EventRenderer, is_synthetic, mentions_to_ping
from relay.delivery.thumbnails import Thumbnails
from relay.messages.message import Picture
from relay.messages.plain import shorten
from relay.messages.templates import Templates
from relay.metrics import Metrics
from relay.penpot.events import Event, NotAnEvent, normalize
from relay.penpot.links import add_links
from relay.penpot.selection import Selection
from relay.penpot.wire import UnreadableBody, decode
from relay.store.base import FanOutResult, NewDelivery, Store, StoredEvent, StoreUnavailable

if TYPE_CHECKING:
    from relay.penpot.api import PenpotClient

MAX_SUBJECT_LENGTH = 160  # characters
MAX_COMMENT_LENGTH = 90  # characters of a comment in it


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


log = logging.getLogger(__name__)

NOT_MENTIONED, NO_EDITS = "nobody is mentioned", "edits are not sent"
LARGE_BODY_BYTES = 64 * 1024  # a body of this size is decoded in a thread


async def decode_body(body: bytes, content_type: str) -> Any:
    """Raises ``UnreadableBody``."""
    if len(body) < LARGE_BODY_BYTES:
        return decode(body, content_type)
    return await asyncio.to_thread(decode, body, content_type)


def failed_plan(event_id: int, team: str, error: Exception) -> FanOutResult:
    """The result for an event that a bug in Relay fails on."""
    return FanOutResult(event_id, team, "unreadable", f"bug: {type(error).__name__}")


class _Preparation:
    """An event that is being decoded and looked up."""

    def __init__(self, work: Callable[[Callable[[], None]], Coroutine[Any, Any, Event]]) -> None:
        self.asks = asyncio.Event()
        """Set when the first lookup starts, or when the preparation has ended."""
        self.task = asyncio.create_task(work(self.asks.set))
        self.task.add_done_callback(lambda _: self.asks.set())


class Planner:
    """Decodes, normalizes, enriches, links, routes and renders events.

    With a client for Penpot's API, lookups of several events run concurrently and ahead of their
    turn: ``prepare`` the events, and ``plan`` each once it ``is_prepared``.
    """

    def __init__(
        self,
        config: Config,
        store: Store,
        templates: Templates,
        metrics: Metrics,
        penpot: "PenpotClient | None" = None,
    ) -> None:
        """``close`` closes ``penpot``."""
        self._config = config
        self._store = store
        self._templates = templates
        self._metrics = metrics
        self._facts = FactCache(store)
        self._lookups = Lookups(penpot, self._facts, store, metrics) if penpot else None
        self._thumbnails = Thumbnails(penpot, metrics) if penpot else None
        self._preparations: dict[int, _Preparation] = {}

    async def close(self) -> None:
        await self._cancel(list(self._preparations))
        if self._thumbnails is not None:
            await self._thumbnails.close()
        if self._lookups is not None:
            await self._lookups.close()

    async def picture(self, media: str) -> Picture | None:
        """The picture of that id in Penpot; None where it does not arrive in time."""
        return await self._thumbnails.get(media) if self._thumbnails is not None else None

    def mark_stored(self) -> None:
        """All plans so far are stored."""
        self._facts.mark_stored()

    async def reset(self) -> None:
        """Drop cached facts: those of the last plans could not be stored."""
        await self._cancel(list(self._preparations))
        self._facts.reset()

    async def prepare(self, events: Sequence[StoredEvent]) -> None:
        """Start the lookups of these events, and cancel those of all others."""
        if self._lookups is None:
            return
        if gone := self._preparations.keys() - {stored.id for stored in events}:
            await self._cancel(gone)
        for stored in events:
            if stored.id not in self._preparations:
                self._preparations[stored.id] = _Preparation(partial(self._prepare, stored))

    async def is_prepared(self, stored: StoredEvent) -> bool:
        """Whether ``plan`` does not have to wait for Penpot."""
        preparation = self._preparations.get(stored.id)
        if preparation is None:
            return True
        await preparation.asks.wait()
        return preparation.task.done()

    async def wait_prepared(self, stored: StoredEvent) -> None:
        if stored.id in self._preparations:
            await asyncio.wait({self._preparations[stored.id].task})

    async def _cancel(self, ids: Collection[int]) -> None:
        tasks = [self._preparations.pop(id_).task for id_ in ids]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _prepare(self, stored: StoredEvent, asks: Callable[[], None]) -> Event:
        """The normalized event, after its lookups.

        Raises ``UnreadableBody``, ``NotAnEvent``, ``StoreUnavailable``.
        """
        event = normalize(await decode_body(stored.body, stored.content_type))
        team = self._config.teams.get(stored.team)
        if self._lookups is None or team is None:
            return event
        channels = [
            channel
            for channel in team.channels
            if Selection.of(channel.events).takes(event.name, event.group)
        ]
        if not channels:
            return event
        deadline = time.monotonic() + LOOKUP_TIMEOUT
        try:
            event = await self._lookups.fill(
                event, stored.team, team.team_id, stored.received_at, asks
            )
            if any(channel.has_thumbnails for channel in channels):
                event = await self._add_thumbnail(event, stored.team, team, deadline, asks)
        except StoreUnavailable:
            raise
        except Exception:  # a bug in a lookup must not cost the message
            log.exception("lookups for event %d", stored.id)
        return event

    async def _add_thumbnail(
        self, event: Event, key: str, team: TeamSettings, deadline: float, asks: Callable[[], None]
    ) -> Event:
        timeout = deadline - time.monotonic()
        if self._thumbnails is None or self._lookups is None or self._lookups.is_paused:
            return event
        asks()
        enriched = await self._facts.enriched(event, key, "", team.team_id)
        media = await self._thumbnails.of(enriched, timeout, team.team_id)
        return replace(event, file=replace(event.file, thumbnail=media))

    async def plan(self, stored: StoredEvent) -> FanOutResult:
        """Raises ``StoreUnavailable`` and nothing else: one event must not hold up the others."""
        try:
            return await self._plan(stored)
        except (UnreadableBody, NotAnEvent) as error:
            return FanOutResult(stored.id, stored.team, "unreadable", str(error))
        except StoreUnavailable:
            raise
        except Exception as error:
            log.exception("event %d", stored.id)
            return failed_plan(stored.id, stored.team, error)

    async def _plan(self, stored: StoredEvent) -> FanOutResult:
        preparation = self._preparations.pop(stored.id, None)
        event = await (preparation.task if preparation else self._prepare(stored, lambda: None))
        team = self._config.teams.get(stored.team)
        if team is None:
            return FanOutResult(stored.id, stored.team, "ignored", "its team is not in the config")
        name = self._config.team_name(stored.team)
        enriched = await self._facts.enriched(event, stored.team, name, team.team_id)
        linked = add_links(enriched, self._config.penpot.url)
        facts = await self._facts.learn(event, stored.team)
        people = mentions_to_ping(linked, self._config.people)
        renderer_class = ChangeRenderer if is_synthetic(linked) else EventRenderer
        thumbnail = event.file.thumbnail
        renderer = renderer_class(self._templates, linked, stored.team, people, thumbnail)
        deliveries = []
        skipped: dict[str, str] = {}
        for channel in team.channels:
            if not Selection.of(channel.events).takes(event.name, event.group):
                entry = Selection.of(channel.events).deciding_entry(event.name, event.group)
                skipped[channel.name] = entry
                continue
            messages = await renderer.messages(channel)
            if not messages:
                skipped[channel.name] = NOT_MENTIONED if channel.is_direct else NO_EDITS
            queue = f"{stored.team}/{channel.name}"
            deliveries += [NewDelivery(queue, uuid.uuid4().hex, *message) for message in messages]
        problems = renderer.problems
        for problem in problems:
            log.error("template %s", problem)
            self._metrics.template_problem(problem.file)
        state = "fanned-out" if deliveries else "ignored"
        reasons = [f"{name} ({why})" if why else name for name, why in skipped.items()]
        reason = f"skipped: {', '.join(reasons)}" if skipped else ""
        if not team.channels:
            reason = "the team has no channels"
        return FanOutResult(
            stored.id,
            stored.team,
            state,
            reason,
            deliveries,
            facts,
            person=linked.actor.name,
            about=event_subject(linked),
            skipped=skipped,
        )
