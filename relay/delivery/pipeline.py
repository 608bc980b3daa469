"""From the body of an event to what templates get: decode → normalize → enrich → link."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Collection, Coroutine, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from relay.config.settings import Config
from relay.delivery.decisions import selection_of
from relay.delivery.fact_cache import FactCache
from relay.delivery.lookups import LOOKUP_TIMEOUT, LookedUp, Lookups
from relay.delivery.thumbnails import Thumbnails
from relay.penpot.events import Event, normalize
from relay.penpot.links import add_links
from relay.penpot.samples import SampleFacts, sample
from relay.penpot.wire import decode_body
from relay.store.records import StoredEvent, StoreUnavailable

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class EventSource:
    """The team that an event comes from, and Penpot's address for its links."""

    team: str  # key in the config
    name: str  # shown where no event has named the team
    team_id: str = ""  # in Penpot, where it is known
    penpot_url: str = ""

    @classmethod
    def of(cls, config: Config, team: str) -> "EventSource":
        """``team`` may have been deleted from the config since its event was stored."""
        settings, url = config.teams.get(team), config.penpot.url
        if settings is None:
            return cls(team, team, penpot_url=url)
        return cls(team, config.team_name(team), settings.team_id, url)


@dataclass(frozen=True, slots=True)
class PreparedEvent:
    event: Event  # as sent, for its facts
    linked: Event  # enriched and with links, for templates
    is_unanswered: bool = False  # whether Penpot could not answer a call for its names


async def prepare(
    body: bytes,
    content_type: str,
    source: EventSource,
    facts: FactCache,
    look_up: Callable[[Event], Awaitable[LookedUp]] | None = None,
) -> PreparedEvent:
    """The only way from a body to an event that templates can render.

    ``look_up`` adds facts to the cache and to the event before it is enriched. Raises
    ``UnreadableBody``, ``NotAnEvent``, ``StoreUnavailable``.
    """
    event, is_unanswered = LookedUp(normalize(await decode_body(body, content_type)))
    if look_up is not None:
        event, is_unanswered = await look_up(event)
    enriched = await facts.enriched(event, source.team, source.name, source.team_id)
    return PreparedEvent(event, add_links(enriched, source.penpot_url), is_unanswered)


async def examples(names: Iterable[str], source: EventSource) -> list[Event]:
    """The sample events of these names, prepared. Raises ``KeyError``."""
    facts = FactCache(SampleFacts())
    prepared = [await prepare(sample(name), "application/json", source, facts) for name in names]
    return [each.linked for each in prepared]


class _Preparation:
    """An event that is prepared ahead of its turn."""

    def __init__(
        self, team: str, work: "Callable[[_Preparation], Coroutine[Any, Any, PreparedEvent]]"
    ) -> None:
        self.team = team
        self.lookups_begun = asyncio.Event()
        self.lookups_done = asyncio.Event()
        self.turn = asyncio.Event()
        self.task = asyncio.create_task(work(self))
        self.task.add_done_callback(lambda _: self.end_lookups())

    def end_lookups(self) -> None:
        self.lookups_begun.set()
        self.lookups_done.set()


class EventPreparer:
    """Prepares stored events, each in its turn: an event is enriched with what those before it say.

    With a client for Penpot's API, lookups of several events run concurrently and ahead of their
    turn.
    """

    def __init__(
        self,
        config: Config,
        facts: FactCache,
        lookups: Lookups | None = None,
        thumbnails: Thumbnails | None = None,
    ) -> None:
        """``close`` closes ``lookups`` and its client, which ``thumbnails`` also uses."""
        self._config = config
        self._facts = facts
        self._lookups = lookups
        self._thumbnails = thumbnails
        self._ahead: dict[int, _Preparation] = {}

    async def start(self, events: Sequence[StoredEvent]) -> None:
        """Start the lookups of these events, and cancel those of all others of their teams."""
        if self._lookups is None:
            return
        ids = {stored.id for stored in events}
        for team in {stored.team for stored in events}:
            await self._cancel(team, ids)
        for stored in events:
            if stored.id not in self._ahead:
                work = partial(self._prepare, stored)
                self._ahead[stored.id] = _Preparation(stored.team, work)

    async def pending(self, stored: StoredEvent) -> asyncio.Event | None:
        """Set when the event's lookups end; None where ``take`` does not have to wait for them."""
        preparation = self._ahead.get(stored.id)
        if preparation is None:
            return None
        await preparation.lookups_begun.wait()
        return None if preparation.lookups_done.is_set() else preparation.lookups_done

    async def take(self, stored: StoredEvent) -> PreparedEvent:
        """Raises as ``prepare``."""
        if self._lookups is None:
            return await self._prepare(stored)
        work = partial(self._prepare, stored)
        preparation = self._ahead.pop(stored.id, None) or _Preparation(stored.team, work)
        preparation.turn.set()
        return await preparation.task

    async def reset(self, team: str | None = None) -> None:
        """Cancel the preparations of one team or of all, as other events may come next, and forget
        the facts of plans that could not be stored."""
        await self._cancel(team)
        self._facts.reset(team)

    async def close(self) -> None:
        await self._cancel(None)
        if self._lookups is not None:
            await self._lookups.close()

    async def _cancel(self, team: str | None, but: Collection[int] = ()) -> None:
        ids = [
            id_
            for id_, preparation in self._ahead.items()
            if team in (preparation.team, None) and id_ not in but
        ]
        tasks = [self._ahead.pop(id_).task for id_ in ids]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _prepare(
        self, stored: StoredEvent, preparation: _Preparation | None = None
    ) -> PreparedEvent:
        source = EventSource.of(self._config, stored.team)
        if self._lookups is not None:
            source = replace(source, team_id=await self._lookups.team_id(stored.team))
        look_up = None
        if preparation is not None:
            look_up = partial(self._look_up_until_turn, stored, source, preparation)
        return await prepare(stored.body, stored.content_type, source, self._facts, look_up)

    async def _look_up_until_turn(
        self, stored: StoredEvent, source: EventSource, preparation: _Preparation, event: Event
    ) -> LookedUp:
        looked_up = LookedUp(event)
        try:
            looked_up = await self._look_up(event, stored, source, preparation.lookups_begun.set)
        except StoreUnavailable:
            raise
        except Exception:  # a bug in a lookup must not cost the message
            log.exception("lookups for event %d", stored.id)
        preparation.end_lookups()
        await preparation.turn.wait()
        return looked_up

    async def _look_up(
        self, event: Event, stored: StoredEvent, source: EventSource, begun: Callable[[], None]
    ) -> LookedUp:
        team = self._config.teams.get(source.team)
        channels = [
            channel
            for channel in (team.channels if team else ())
            if selection_of(channel).takes(event.name, event.group)
        ]
        if self._lookups is None or not channels:
            return LookedUp(event)
        team_id = await self._lookups.find_team(source.team, begun)
        if not team_id:
            return LookedUp(event, await self._lookups.is_search_unanswered(source.team))
        if event.team.id not in ("", team_id):
            # Penpot sends an event only to the webhooks of the team that it names.
            return LookedUp(event)
        deadline = time.monotonic() + LOOKUP_TIMEOUT
        looked_up = await self._lookups.fill(
            event,
            source.team,
            team_id,
            stored.received_at,
            begun,
            needs_member=any(channel.shows_author for channel in channels),
            involved=any(channel.writes_to_participants for channel in channels),
        )
        with_picture = any(channel.has_thumbnails for channel in channels)
        if self._thumbnails is None or not with_picture or self._lookups.is_paused:
            return looked_up
        begun()
        enriched = await self._facts.enriched(looked_up.event, source.team, "", team_id)
        media = await self._thumbnails.of(enriched, deadline - time.monotonic(), team_id)
        file = replace(looked_up.event.file, thumbnail=media)
        return looked_up._replace(event=replace(looked_up.event, file=file))
