"""The facts that are known, from the store and from Penpot, with those that are not stored yet."""

import math
import time
from collections.abc import Collection, Mapping
from typing import Protocol

from cachetools import LRUCache

from relay.penpot.events import Event
from relay.penpot.facts import Fact, changed_facts, enrich, facts_from_event
from relay.store.records import FactKey

MAX_CACHED_FACTS = 10_000  # facts in memory, also empty ones


class FactStore(Protocol):
    async def facts(self, team: str, keys: Collection[FactKey]) -> Mapping[FactKey, str]:
        """The known facts of a team; unknown keys are left out."""
        ...


class FactCache:
    """Enriches events with known facts, and collects their new facts, in their order."""

    def __init__(self, store: FactStore) -> None:
        self._store = store
        self._facts: LRUCache[tuple[str, FactKey], Fact] = LRUCache(MAX_CACHED_FACTS)
        # When an event named a project.
        self._named_at: LRUCache[tuple[str, FactKey], float] = LRUCache(MAX_CACHED_FACTS)
        # Facts from Penpot's API by team: in no plan yet, and in plans that are not stored yet.
        self._pending: dict[str, dict[FactKey, Fact]] = {}
        self._planned: dict[str, dict[FactKey, Fact]] = {}

    async def enriched(self, event: Event, team: str, team_name: str, team_id: str) -> Event:
        """``event`` with all known names; ``team`` is the team's key in the config, ``team_name``
        and ``team_id`` are its settings."""
        known: dict[FactKey, Fact] = {}
        while True:
            enriched, missing = enrich(event, known, team_key=team_name, team_id=team_id)
            if not missing:
                return enriched
            known |= await self._look_up(team, missing)

    async def get(self, team: str, key: FactKey) -> Fact:
        """Without fields where nothing is known."""
        return (await self._look_up(team, [key]))[key]

    async def new_facts(self, event: Event, team: str, *more: Fact) -> dict[FactKey, str]:
        """The new facts from ``event``, ``more`` and earlier calls of ``add``, as the store keeps
        them. They count as known from now on; call ``mark_stored`` or ``reset`` afterwards."""
        facts = (*facts_from_event(event), *more)
        known = await self._look_up(team, {fact.key for fact in facts})
        changed = {}
        for fact in changed_facts(event, facts, known):
            self._facts[team, fact.key] = fact
            changed[fact.key] = fact.dumps()
        for fact in facts:
            if fact.kind == "project" and fact.name:
                self._named_at[team, fact.key] = time.monotonic()
        pending = self._pending.pop(team, {})
        for key, fact in pending.items():
            changed.setdefault(key, self._facts.get((team, key), fact).dumps())
        if pending:
            self._planned.setdefault(team, {}).update(pending)
        return changed

    async def add(self, team: str, facts: Collection[Fact], asked_at: float = math.inf) -> None:
        """Add facts from Penpot's API. For people and projects they replace known ones: no event
        reports that a person was renamed, and the event of a project may have been missed. All
        others only fill gaps: the old name of a renamed object must not be lost before its event
        is rendered. ``asked_at``, by the monotonic clock: later events know a project's name
        better."""
        known = await self._look_up(team, {fact.key for fact in facts})
        for fact in facts:
            old = known[fact.key]
            is_newer = fact.kind == "person"
            if fact.kind == "project":  # rename-project contains the old name
                is_newer = self._named_at.get((team, fact.key), -math.inf) < asked_at
            merged = Fact.merged(old, fact) if is_newer else Fact.merged(fact, old)
            if merged != known[fact.key]:
                known[fact.key] = self._facts[team, fact.key] = merged
                self._pending.setdefault(team, {})[fact.key] = merged

    async def has_names(self, team: str, keys: Collection[FactKey]) -> bool:
        known = await self._look_up(team, keys) if keys else {}
        return all(fact.name for fact in known.values())

    def mark_stored(self, team: str) -> None:
        """All plans with new facts of the team are stored."""
        self._planned.pop(team, None)

    def reset(self, team: str | None = None) -> None:
        """Drop the cached facts, of one team or of all, that the store may not have; facts from the
        API are kept for the next plan."""
        for key in [key for key in self._facts if team in (key[0], None)]:
            del self._facts[key]
        for owner in [owner for owner in self._planned if team in (owner, None)]:
            self._pending[owner] = self._planned.pop(owner) | self._pending.get(owner, {})

    async def _look_up(self, team: str, keys: Collection[FactKey]) -> dict[FactKey, Fact]:
        """Facts as they are when this returns: another task may add some meanwhile."""
        cached = {key: self._facts.get((team, key)) for key in keys}
        unread = [key for key, fact in cached.items() if fact is None]
        stored = await self._store.facts(team, unread) if unread else {}
        facts = {}
        for key in keys:
            fact = self._facts.get((team, key), cached[key])
            if fact is None:
                fact = Fact.loads(*key, stored[key]) if key in stored else Fact(*key)
                fact = Fact.merged(self._pending.get(team, {}).get(key), fact)
                self._facts[team, key] = fact
            facts[key] = fact
        return facts
