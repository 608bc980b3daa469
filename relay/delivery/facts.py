"""The fact cache: names that events and Penpot's API have reported."""

import math
import time
from collections import OrderedDict
from collections.abc import Collection, Iterable, Mapping
from typing import Protocol

from relay.penpot.events import Event
from relay.penpot.facts import Fact, changed_facts, enrich, facts_from_event
from relay.store.records import FactKey

MAX_CACHED_FACTS = 10_000  # facts in memory, also empty ones


class FactStore(Protocol):
    async def facts(self, team: str, keys: Collection[FactKey]) -> Mapping[FactKey, str]:
        """The known facts of a team; unknown keys are left out."""
        ...


class FactCache:
    """Enriches events with known facts, and learns facts from them, in their order."""

    def __init__(self, store: FactStore) -> None:
        self._store = store
        self._facts: OrderedDict[tuple[str, FactKey], Fact] = OrderedDict()
        self._named_at: dict[tuple[str, FactKey], float] = {}  # by an event, of projects only
        # Facts from Penpot's API: in no plan yet, and in plans that are not stored yet.
        self._pending: dict[tuple[str, FactKey], Fact] = {}
        self._planned: dict[tuple[str, FactKey], Fact] = {}

    async def enriched(self, event: Event, team: str, team_name: str, team_id: str) -> Event:
        """``event`` with all known names; ``team`` is the team's key in the config, ``team_name``
        and ``team_id`` are its settings."""
        known: dict[FactKey, Fact] = {}
        while True:
            enriched, missing = enrich(event, known, team_key=team_name, team_id=team_id)
            if not missing:
                return enriched
            known |= await self._look_up(team, missing)

    async def learn(self, event: Event, team: str) -> dict[FactKey, str]:
        """The new facts from ``event`` and from earlier calls of ``add``, as the store keeps them.

        They count as known from now on; call ``mark_stored`` or ``reset`` afterwards.
        """
        facts = facts_from_event(event)
        known = await self._look_up(team, {fact.key for fact in facts})
        changed = {}
        for fact in changed_facts(event, facts, known):
            self._cache(team, fact.key, fact)
            changed[fact.key] = fact.dumps()
        for fact in facts:
            if fact.kind == "project" and fact.name:
                self._named_at[team, fact.key] = time.monotonic()
        while len(self._named_at) > MAX_CACHED_FACTS:
            del self._named_at[next(iter(self._named_at))]
        for owner, key in [pending for pending in self._pending if pending[0] == team]:
            fact = self._planned[owner, key] = self._pending.pop((owner, key))
            changed.setdefault(key, self._facts.get((owner, key), fact).dumps())
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
                known[fact.key] = merged
                self._cache(team, fact.key, merged)
                self._pending[team, fact.key] = merged

    async def has_names(self, team: str, keys: Collection[FactKey]) -> bool:
        known = await self._look_up(team, keys) if keys else {}
        return all(fact.name for fact in known.values())

    def mark_stored(self) -> None:
        """All plans with learned facts are stored."""
        self._planned.clear()

    def reset(self) -> None:
        """Drop cached facts that the store may not have; facts from the API are kept for the next
        plan."""
        self._facts.clear()
        self._pending = self._planned | self._pending
        self._planned = {}

    async def _look_up(self, team: str, keys: Iterable[FactKey]) -> dict[FactKey, Fact]:
        """Facts as they are when this returns: another task may learn while the store is read."""
        facts: dict[FactKey, Fact] = {}
        unread: list[FactKey] = []
        for key in keys:
            fact = self._facts.get((team, key))
            if fact is None:
                unread.append(key)
            else:
                self._facts.move_to_end((team, key))
                facts[key] = fact
        if unread:
            stored = await self._store.facts(team, unread)
            for key in facts:
                facts[key] = self._facts.get((team, key), facts[key])
            for key in unread:
                fact = self._facts.get((team, key))
                if fact is None:
                    fact = Fact.loads(*key, stored[key]) if key in stored else Fact(*key)
                    fact = Fact.merged(self._pending.get((team, key)), fact)
                    self._cache(team, key, fact)
                facts[key] = fact
        return facts

    def _cache(self, team: str, key: FactKey, fact: Fact) -> None:
        self._facts[team, key] = fact
        self._facts.move_to_end((team, key))
        while len(self._facts) > MAX_CACHED_FACTS:
            self._facts.popitem(last=False)
