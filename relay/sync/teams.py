"""Which of Penpot's teams a hook belongs to."""

import asyncio
import logging
from collections.abc import Callable, Sequence

from relay.config import Config
from relay.penpot.answers import WebhookRecord
from relay.penpot.api import PenpotClient
from relay.penpot.names import OWN_TEAM, Fact
from relay.penpot.rpc import PenpotBusy, PenpotUnexpected
from relay.store.base import Store
from relay.sync.hooks import own

log = logging.getLogger(__name__)

SEARCHED = 5
"""Teams whose hooks are read before others have their turn."""
EACH = 36.0
"""Seconds for which the list of all hooks is good, for each team in it: each takes a call."""
MOST = 3600.0
"""Seconds for which it is good at the most."""


class TeamDirectory:
    """The hooks of all teams that the token's user is in, read once for all who look for theirs."""

    def __init__(self, config: Config, penpot: PenpotClient, clock: Callable[[], float]) -> None:
        self._config = config
        self._penpot = penpot
        self._clock = clock
        self._lock = asyncio.Lock()
        self._hooks: list[tuple[str, Sequence[WebhookRecord]]] = []
        self._left: list[str] = []
        self._size = 0
        self._unreadable = ""
        self._read_at = self._good_until = 0.0

    async def search(self, team: str) -> str | None:
        """The id of the team in Penpot that has the hook of this one; empty where none has, or
        none had when the list was read. None where the list has not been read to its end without
        finding it: each call reads a few teams more.

        Raises ``PenpotError``; ``PenpotUnexpected`` also where the hooks of a team can't be read,
        and no other has it.
        """
        async with self._lock:
            if not self._left and not self._read_at <= self._clock() < self._good_until:
                await self._begin()
            if not (found := self._find(team)) and self._left:
                await self._read()
                found = self._find(team)
        if not found and self._left:
            return None
        if not found and self._unreadable:
            raise PenpotUnexpected(
                f"Penpot can't list the webhooks of all teams: {self._unreadable}"
            )
        return found

    def _find(self, team: str) -> str:
        url, path = self._config.server.public_url, self._config.hook_path(team)
        return next((id_ for id_, hooks in self._hooks if own(hooks, url, path)), "")

    async def _begin(self) -> None:
        self._left = [team.id for team in await self._penpot.teams() or ()]
        self._size = len(self._left)
        self._hooks, self._unreadable = [], ""
        self._end()

    async def _read(self) -> None:
        for id_ in self._left[:SEARCHED]:
            try:
                self._hooks.append((id_, await self._penpot.webhooks(id_) or ()))
            except PenpotUnexpected as error:
                self._leave_out(id_, error)
            except PenpotBusy as error:
                if not await self._penpot.answers_others(error):
                    raise
                self._leave_out(id_, error)
            self._left.remove(id_)
        self._end()

    def _end(self) -> None:
        if self._left:
            return
        # Who has just made a hook need not wait longer than for the next look, where teams are few.
        at_least = self._config.watch.hooks_every.total_seconds() / 2
        self._read_at = self._clock()
        self._good_until = self._read_at + max(at_least, min(self._size * EACH, MOST))

    def _leave_out(self, id_: str, error: Exception) -> None:
        log.warning("the webhooks of team %s in Penpot can't be listed: %s", id_, error)
        self._unreadable = str(error)


async def team_id(
    config: Config, directory: TeamDirectory, store: Store | None, team: str
) -> str | None:
    """The id of a team: as the config has it, an event told it, or an earlier search found it;
    else the one in Penpot that has its hook. Empty where none has, None where the search is to go
    on with another call. ``store`` is None where there is none yet.

    Raises ``PenpotError`` and ``StoreUnavailable``.
    """
    if known := config.teams[team].team_id:
        return known.lower()
    if store is None:
        return await directory.search(team)
    facts = await store.facts(team, [OWN_TEAM])
    if OWN_TEAM in facts and (told := Fact.loads(*OWN_TEAM, facts[OWN_TEAM]).ref("team")):
        return told
    key = f"team/{team}"
    note = await store.note(key)
    if note is not None and note.value:
        return note.value
    found = await directory.search(team)
    if found:
        await store.keep_note(key, found)
    return found
