"""Which of Penpot's teams a hook belongs to."""

import asyncio

from relay.config import Config
from relay.penpot.api import Penpot
from relay.penpot.names import OWN_TEAM, Fact
from relay.store.base import Store
from relay.watch.hooks import own


async def team_id(config: Config, penpot: Penpot, store: Store | None, team: str) -> str:
    """The id of a team: as the config has it, an event told it, or an earlier search found it;
    else the one in Penpot that has its hook. Empty where none has. ``store`` is None where there
    is none yet.

    Raises ``PenpotError`` and ``StoreUnavailable``.
    """
    if known := config.teams[team].team_id:
        return known.lower()
    if store is None:
        return await search(config, penpot, team)
    facts = await store.facts(team, [OWN_TEAM])
    if OWN_TEAM in facts and (told := Fact.loads(*OWN_TEAM, facts[OWN_TEAM]).ref("team")):
        return told
    key = f"team/{team}"
    note = await store.note(key)
    if note is not None and note.value:
        return note.value
    found = await search(config, penpot, team)
    if found:
        await store.keep_note(key, found)
    return found


async def search(config: Config, penpot: Penpot, team: str) -> str:
    """The id of the team in Penpot that has the hook of this one; empty where none has."""
    url, path = config.server.public_url, config.hook_path(team)
    for candidate in await penpot.teams() or ():
        if own(await penpot.webhooks(candidate.id) or (), url, path):
            return candidate.id
        await asyncio.sleep(0)
    return ""
