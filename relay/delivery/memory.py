"""Memory: the names that events and Penpot's API told, from the store, the most used at hand."""

import math
import time
from collections import OrderedDict
from collections.abc import Collection, Iterable

from relay.penpot.events import Event
from relay.penpot.names import Fact, enrich, learned, taught
from relay.store.base import FactKey, Store

AT_HAND = 10_000
"""Facts that are kept in memory, known or known to be unknown."""


class FactCache:
    """Enriches events with what is known, and learns from them, in their order."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._facts: OrderedDict[tuple[str, FactKey], Fact] = OrderedDict()
        self._named: dict[tuple[str, FactKey], float] = {}  # when an event told a project's name
        # What Penpot's API told: not in a plan yet, and in plans that are not stored yet.
        self._found: dict[tuple[str, FactKey], Fact] = {}
        self._handed: dict[tuple[str, FactKey], Fact] = {}

    async def enriched(self, event: Event, team: str, team_name: str, team_id: str) -> Event:
        """``event`` with all names that are known; ``team`` is its key in the config, ``team_name``
        and ``team_id`` are what the config tells of it."""
        known: dict[FactKey, Fact] = {}
        while True:
            richer, missing = enrich(event, known, team_key=team_name, team_id=team_id)
            if not missing:
                return richer
            known |= await self._look_up(team, missing)

    async def learned(self, event: Event, team: str) -> dict[FactKey, str]:
        """What ``event`` teaches that was not known, and what was ``found`` since the last time,
        as the store keeps it.

        It counts as known from now on; ``forget`` when it could not be stored, ``kept`` when it
        was.
        """
        facts = taught(event)
        known = await self._look_up(team, {fact.key for fact in facts})
        news: dict[FactKey, str] = {}
        for fact in facts:
            key = fact.key
            merged = learned(event, known[key], fact)
            if merged != known[key]:
                known[key] = merged
                self._keep(team, key, merged)
                news[key] = merged.dumps()
            if fact.kind == "project" and fact.name:
                self._named[team, key] = time.monotonic()
                while len(self._named) > AT_HAND:
                    del self._named[next(iter(self._named))]
        for owner, key in [found for found in self._found if found[0] == team]:
            fact = self._handed[owner, key] = self._found.pop((owner, key))
            news.setdefault(key, self._facts.get((owner, key), fact).dumps())
        return news

    async def found(self, team: str, facts: Collection[Fact], asked_at: float = math.inf) -> None:
        """Take what Penpot's API told: of people and projects whatever it is, for no event tells
        that somebody has another name by now, and one that tells it of a project may have been
        missed; of all else where nothing is known: what events told in their order is not touched,
        or the old name of what is renamed would be lost before it is told. ``asked_at``, by the
        monotonic clock: an event that came since then knows a project's name better."""
        known = await self._look_up(team, {fact.key for fact in facts})
        for fact in facts:
            old = known[fact.key]
            is_newer = fact.kind == "person"
            if fact.kind == "project":  # rename-project tells the old name
                is_newer = self._named.get((team, fact.key), -math.inf) < asked_at
            merged = Fact.merged(old, fact) if is_newer else Fact.merged(fact, old)
            if merged != known[fact.key]:
                known[fact.key] = merged
                self._keep(team, fact.key, merged)
                self._found[team, fact.key] = merged

    async def has_names(self, team: str, keys: Collection[FactKey]) -> bool:
        """Whether all of these have a name."""
        known = await self._look_up(team, keys) if keys else {}
        return all(fact.name for fact in known.values())

    def kept(self) -> None:
        """All plans so far are stored, with what was found."""
        self._handed.clear()

    def forget(self) -> None:
        """Drop what is at hand; the store has the truth, but for what was found."""
        self._facts.clear()
        self._found = self._handed | self._found
        self._handed = {}

    async def _look_up(self, team: str, keys: Iterable[FactKey]) -> dict[FactKey, Fact]:
        """Facts as they are when this returns, whoever else learns meanwhile."""
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
                    fact = Fact.merged(self._found.get((team, key)), fact)
                    self._keep(team, key, fact)
                facts[key] = fact
        return facts

    def _keep(self, team: str, key: FactKey, fact: Fact) -> None:
        self._facts[team, key] = fact
        self._facts.move_to_end((team, key))
        while len(self._facts) > AT_HAND:
            self._facts.popitem(last=False)
