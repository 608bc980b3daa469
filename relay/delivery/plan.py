"""Planning: from a body as Penpot sent it to the messages for a team's channels."""

import asyncio
import logging
import time
import uuid
from collections.abc import Callable, Collection, Coroutine, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from relay.config import Config, TeamSettings
from relay.delivery.lookups import BUDGET, Lookups
from relay.delivery.memory import FactCache
from relay.delivery.people import pinged
from relay.delivery.pictures import Thumbnails
from relay.delivery.rewording import ChangeRenderer, is_own
from relay.delivery.summary import about
from relay.delivery.wording import EventRenderer
from relay.messages.templates import Templates
from relay.metrics import Metrics
from relay.penpot.events import Event, NotAnEvent, normalize
from relay.penpot.links import add_links
from relay.penpot.wire import UnreadableBody, decode
from relay.picture import Picture
from relay.store.base import FannedOut, NewDelivery, Store, StoredEvent, StoreUnavailable

if TYPE_CHECKING:
    from relay.penpot.api import PenpotClient

log = logging.getLogger(__name__)

NOBODY, NO_EDITS = "nobody is mentioned", "edits are not told"
LARGE_BODY = 64 * 1024
"""Bytes from which a body is decoded beside the event loop."""


async def read(body: bytes, content_type: str) -> Any:
    """The plain values in a body; large ones are decoded in a thread.

    Raises ``UnreadableBody``.
    """
    if len(body) < LARGE_BODY:
        return decode(body, content_type)
    return await asyncio.to_thread(decode, body, content_type)


def bug(event_id: int, team: str, error: Exception) -> FannedOut:
    """What is written of an event that Relay's own code fails on."""
    return FannedOut(event_id, team, "unreadable", f"bug: {type(error).__name__}")


class _Preparation:
    """An event that is being read, and asked about."""

    def __init__(self, work: Callable[[Callable[[], None]], Coroutine[Any, Any, Event]]) -> None:
        self.asks = asyncio.Event()
        """Set when it has begun to ask Penpot, or has ended."""
        self.task = asyncio.create_task(work(self.asks.set))
        self.task.add_done_callback(lambda _: self.asks.set())


class Planner:
    """Decides what becomes of an event: decode, normalize, enrich, choose channels, render.

    With an API to ask, events are prepared side by side and ahead of their turn: ``prepare`` them,
    and ``plan`` each when it ``is_prepared`` or has to wait no longer.
    """

    def __init__(
        self,
        config: Config,
        store: Store,
        templates: Templates,
        metrics: Metrics,
        penpot: "PenpotClient | None" = None,
    ) -> None:
        """``penpot`` is closed with the planner."""
        self._config = config
        self._store = store
        self._templates = templates
        self._metrics = metrics
        self._memory = FactCache(store)
        self._lookups = Lookups(penpot, self._memory, store, metrics) if penpot else None
        self._pictures = Thumbnails(penpot, metrics) if penpot else None
        self._ahead: dict[int, _Preparation] = {}

    async def close(self) -> None:
        """Give up all preparations, and the API."""
        await self._give_up(list(self._ahead))
        if self._pictures is not None:
            await self._pictures.close()
        if self._lookups is not None:
            await self._lookups.close()

    async def picture(self, media: str) -> Picture | None:
        """The picture of that id in Penpot; None where it can't be had in time."""
        return await self._pictures.get(media) if self._pictures is not None else None

    def kept(self) -> None:
        """All plans so far are stored."""
        self._memory.kept()

    async def forget(self) -> None:
        """Drop the names at hand: what the last plans taught could not be stored."""
        await self._give_up(list(self._ahead))
        self._memory.forget()

    async def prepare(self, events: Sequence[StoredEvent]) -> None:
        """Begin to ask about the events that wait; without an API to ask this does nothing."""
        if self._lookups is None:
            return
        if gone := self._ahead.keys() - {stored.id for stored in events}:
            await self._give_up(gone)
        for stored in events:
            if stored.id not in self._ahead:
                self._ahead[stored.id] = _Preparation(partial(self._prepare, stored))

    async def is_prepared(self, stored: StoredEvent) -> bool:
        """Whether an event can be planned without waiting for Penpot."""
        ahead = self._ahead.get(stored.id)
        if ahead is None:
            return True
        await ahead.asks.wait()
        return ahead.task.done()

    async def prepared(self, stored: StoredEvent) -> None:
        """Wait for an event's preparation."""
        if stored.id in self._ahead:
            await asyncio.wait({self._ahead[stored.id].task})

    async def _give_up(self, ids: Collection[int]) -> None:
        tasks = [self._ahead.pop(id_).task for id_ in ids]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _prepare(self, stored: StoredEvent, asks: Callable[[], None]) -> Event:
        """The event in a body, once all that can be known of it is.

        Raises ``UnreadableBody``, ``NotAnEvent``, ``StoreUnavailable``.
        """
        event = normalize(await read(stored.body, stored.content_type))
        team = self._config.teams.get(stored.team)
        if self._lookups is None or team is None:
            return event
        taking = [one for one in team.channels if one.selection.takes(event.name, event.group)]
        if not taking:
            return event
        end = time.monotonic() + BUDGET
        try:
            event = await self._lookups.fill(
                event, stored.team, team.team_id, stored.received_at, asks
            )
            if any(channel.has_pictures for channel in taking):
                event = await self._with_picture(event, stored.team, team, end, asks)
        except StoreUnavailable:
            raise
        except Exception:  # names are worth having, no message is worth losing for them
            log.exception("lookups for event %d", stored.id)
        return event

    async def _with_picture(
        self, event: Event, key: str, team: TeamSettings, end: float, asks: Callable[[], None]
    ) -> Event:
        """The event with the id of its file's or board's thumbnail, if that is there in time."""
        patience = end - time.monotonic()
        if self._pictures is None or self._lookups is None or self._lookups.is_resting:
            return event
        asks()
        seen = await self._memory.enriched(event, key, "", team.team_id)
        found = await self._pictures.of(seen, patience, team.team_id)
        return replace(event, file=replace(event.file, thumbnail=found))

    async def plan(self, stored: StoredEvent, ahead: Sequence[FannedOut]) -> FannedOut:
        """What becomes of one event; ``ahead`` are the plans before it that are not stored yet.

        Raises ``StoreUnavailable``, and nothing else: one event must not hold up those behind.
        """
        try:
            return await self._plan(stored, ahead)
        except (UnreadableBody, NotAnEvent) as error:
            return FannedOut(stored.id, stored.team, "unreadable", str(error))
        except StoreUnavailable:
            raise
        except Exception as error:
            log.exception("event %d", stored.id)
            return bug(stored.id, stored.team, error)

    async def _plan(self, stored: StoredEvent, ahead: Sequence[FannedOut]) -> FannedOut:
        ahead_of_turn = self._ahead.pop(stored.id, None)
        event = await (ahead_of_turn.task if ahead_of_turn else self._prepare(stored, lambda: None))
        team = self._config.teams.get(stored.team)
        if team is None:
            return FannedOut(stored.id, stored.team, "ignored", "its team is not in the config")
        name = self._config.team_name(stored.team)
        enriched = await self._memory.enriched(event, stored.team, name, team.team_id)
        linked = add_links(enriched, self._config.penpot.url)
        facts = await self._memory.learned(event, stored.team)
        people = pinged(linked, self._config.people)
        words = ChangeRenderer if is_own(linked) else EventRenderer
        wording = words(self._templates, linked, stored.team, people, event.file.thumbnail)
        deliveries = []
        passed: dict[str, str] = {}
        for channel in team.channels:
            if not channel.selection.takes(event.name, event.group):
                entry = channel.selection.deciding(event.name, event.group)
                passed[channel.name] = entry
                continue
            messages = await wording.messages(channel)
            if not messages:
                passed[channel.name] = NOBODY if channel.is_direct else NO_EDITS
            queue = f"{stored.team}/{channel.name}"
            deliveries += [NewDelivery(queue, uuid.uuid4().hex, *worded) for worded in messages]
        problems = wording.problems
        for problem in problems:
            log.error("template %s", problem)
            self._metrics.template_problem(problem.file)
        state = "fanned-out" if deliveries else "ignored"
        told = ", ".join(_passed(name, why) for name, why in passed.items())
        reason = f"not chosen: {told}" if passed else ""
        if not team.channels:
            reason = "the team has no channels"
        return FannedOut(
            stored.id,
            stored.team,
            state,
            reason,
            deliveries,
            facts,
            person=linked.actor.name,
            about=about(linked),
            passed=passed,
        )


def _passed(name: str, why: str) -> str:
    if why in (NOBODY, NO_EDITS):
        return f"{name}: {why}"
    return f"{name} by {why}" if why else name
