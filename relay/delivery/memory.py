"""Memory: the names that events taught, from the store, with the most used at hand."""

from collections import OrderedDict
from collections.abc import Iterable

from relay.penpot.events import Event
from relay.penpot.names import Fact, enrich, taught
from relay.store.base import FactKey, Store

AT_HAND = 10_000
"""Facts that are kept in memory, known or known to be unknown."""


class Memory:
    """Enriches events with what is known, and learns from them, in their order."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._facts: OrderedDict[tuple[str, FactKey], Fact] = OrderedDict()

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
        """What ``event`` teaches that was not known, as the store keeps it.

        It counts as known from now on; ``forget`` when it could not be stored.
        """
        facts = taught(event)
        known = await self._look_up(team, {fact.key for fact in facts})
        news: dict[FactKey, str] = {}
        for fact in facts:
            key = fact.key
            merged = Fact.merged(known[key], fact)
            if merged != known[key]:
                known[key] = merged
                self._keep(team, key, merged)
                news[key] = merged.dumps()
        return news

    def forget(self) -> None:
        """Drop what is at hand; the store has the truth."""
        self._facts.clear()

    async def _look_up(self, team: str, keys: Iterable[FactKey]) -> dict[FactKey, Fact]:
        found: dict[FactKey, Fact] = {}
        unread: list[FactKey] = []
        for key in keys:
            fact = self._facts.get((team, key))
            if fact is None:
                unread.append(key)
            else:
                self._facts.move_to_end((team, key))
                found[key] = fact
        if unread:
            stored = await self._store.facts(team, unread)
            for key in unread:
                found[key] = Fact.loads(*key, stored[key]) if key in stored else Fact(*key)
                self._keep(team, key, found[key])
        return found

    def _keep(self, team: str, key: FactKey, fact: Fact) -> None:
        self._facts[team, key] = fact
        self._facts.move_to_end((team, key))
        while len(self._facts) > AT_HAND:
            self._facts.popitem(last=False)
