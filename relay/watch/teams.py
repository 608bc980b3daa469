"""Which of Penpot's teams a hook belongs to."""

import asyncio
from collections.abc import Callable, Sequence

from relay.config import Config
from relay.penpot.answers import Webhook
from relay.penpot.api import Penpot
from relay.penpot.names import OWN_TEAM, Fact
from relay.store.base import Store
from relay.watch.hooks import own

EACH = 36.0
"""Seconds for which the list of all hooks is good, for each team in it: each takes a call."""
MOST = 3600.0
"""Seconds for which it is good at the most."""


class Directory:
    """The hooks of all teams that the token's user is in, read once for all who look for theirs."""

    def __init__(self, config: Config, penpot: Penpot, clock: Callable[[], float]) -> None:
        self._config = config
        self._penpot = penpot
        self._clock = clock
        self._lock = asyncio.Lock()
        self._hooks: list[tuple[str, Sequence[Webhook]]] = []
        self._read_at = self._good_until = 0.0

    async def search(self, team: str) -> str:
        """The id of the team in Penpot that has the hook of this one; empty where none has, or
        none had when the list was read. Raises ``PenpotError``."""
        async with self._lock:
            if not self._read_at <= self._clock() < self._good_until:
                await self._read()
        url, path = self._config.server.public_url, self._config.hook_path(team)
        return next((id_ for id_, hooks in self._hooks if own(hooks, url, path)), "")

    async def _read(self) -> None:
        now = self._clock()
        self._hooks = [
            (team.id, await self._penpot.webhooks(team.id) or ())
            for team in await self._penpot.teams() or ()
        ]
        # Who has just made a hook need not wait longer than for the next look, where teams are few.
        at_least = self._config.watch.hooks_every.total_seconds() / 2
        self._read_at = now
        self._good_until = now + max(at_least, min(len(self._hooks) * EACH, MOST))


async def team_id(config: Config, directory: Directory, store: Store | None, team: str) -> str:
    """The id of a team: as the config has it, an event told it, or an earlier search found it;
    else the one in Penpot that has its hook. Empty where none has. ``store`` is None where there
    is none yet.

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
