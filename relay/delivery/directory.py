"""Which team in Penpot each hook belongs to, so that no event decides whose data Relay reads.

The config says it, or Penpot does: exactly one team of the token's user lists a webhook with the
hook's path, which contains the secret. Its host is not compared: Penpot may call Relay at an inner
address, while anybody can add the public one to another team. Every member of any team can add a
webhook, so several may list it; then none of them is verified. The first verified id is stored, and
only the config changes it.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from relay.config.settings import Config
from relay.delivery.alerts import Alerts
from relay.messages.locale import marked
from relay.penpot.client import PenpotBusy, PenpotUnexpected
from relay.penpot.records import TeamRecord
from relay.store.base import Store
from relay.store.records import ValueChange

if TYPE_CHECKING:  # httpx is only loaded where there is a token
    from relay.penpot.api import PenpotClient

log = logging.getLogger(__name__)

LISTED_TWICE = "webhook-listed-twice"  # the event name of the notice
TEAM_TTL = 36.0  # seconds that the lists are valid, per team in them
MAX_TTL = 3600.0  # seconds
REVIEW_INTERVAL = 24 * 3600.0  # seconds after which they are read though all teams are verified
REVIEW_KEY = "webhooks-read"  # of the stored value that was changed when all lists were read

_NOTHING_IS_READ = marked("Relay reads nothing from Penpot for this team")
_ONE_IS_READ = marked("Relay reads only the team that it found first")


class TeamDirectory:
    """The webhooks of all Penpot teams of the token's user. All parts of Relay share one; each
    passes its view of the client.

    Methods raise ``StoreUnavailable``, and ``PenpotError`` where they take a client.
    """

    def __init__(
        self,
        config: Config,
        store: Store | None,
        alerts: Alerts | None,
        clock: Callable[[], float],
    ) -> None:
        """``store`` is None before it exists. Without ``alerts`` nothing is written to it, and
        nothing reported. ``clock`` returns seconds since 1970."""
        self._config = config
        self._store = store
        self._alerts = alerts
        self._clock = clock
        self._lock = asyncio.Lock()
        self._verified: dict[str, str] = {}
        self._unread: list[TeamRecord] = []
        self._hooks = {path: team for team in config.teams for path in config.hook_paths(team)}
        self._listed: dict[str, dict[TeamRecord, None]] = {}
        self._is_concluded = False
        self._error = ""
        self._read_at = self._ttl = self._review_at = 0.0

    async def verified(self, team: str) -> str:
        """The Penpot id of a team, from the config or from the store; empty without one."""
        settings = self._config.teams.get(team)
        if settings is None:  # deleted since its event was stored
            return ""
        if team not in self._verified:
            entry = await self._store.get_value(_key(team)) if self._store else None
            stored = entry.value if entry else ""
            if not (id_ := settings.team_id or stored):
                return ""
            if self._store and self._alerts and id_ != stored:
                if stored:  # an event may name what was read of another team
                    await self._store.delete_facts(team)
                await self._store.put_value(_key(team), id_)
            self._verified[team] = id_
        return self._verified[team]

    async def search(self, team: str, penpot: "PenpotClient") -> str | None:
        """As ``verified``, after all lists were read. None if more of them has to be read: each
        call reads one. Raises ``PenpotUnexpected`` also if a list can't be read, so that no team
        can be the only one."""
        if not await self.verified(team) and not await self.read(penpot):
            return None
        if self._error and not await self.verified(team):
            raise PenpotUnexpected(f"Penpot can't list the webhooks of all teams: {self._error}")
        return await self.verified(team)

    async def is_read_due(self, team: str) -> bool:
        """Whether ``read`` may verify the team, or is due to find another team with its webhook."""
        if self._config.teams[team].team_id:
            return False
        if not await self.verified(team):
            return not (self._is_concluded and self._is_fresh())
        now = self._clock()
        if now < self._review_at or self._store is None:
            return False
        entry = await self._store.get_value(REVIEW_KEY)
        if entry is None or now - entry.at > REVIEW_INTERVAL:
            return True
        self._review_at = entry.at + REVIEW_INTERVAL
        return False

    async def read(self, penpot: "PenpotClient") -> bool:
        """Read the next list that is unread or too old; whether all were read."""
        async with self._lock:
            if not self._unread and not self._is_fresh():
                await self._list_teams(penpot)
            if self._unread:
                await self._read_webhooks(penpot, self._unread[0])
            if self._unread:
                return False
            if not self._is_concluded:
                await self._conclude()
                self._is_concluded = True
            return True

    def listed_in(self, team: str) -> list[TeamRecord]:
        """The Penpot teams that list the team's webhook, as far as their lists were read."""
        return list(self._listed.get(team, ()))

    def _is_fresh(self) -> bool:
        return 0 <= self._clock() - self._read_at < self._ttl

    async def _list_teams(self, penpot: "PenpotClient") -> None:
        self._unread = list(await penpot.teams() or ())
        self._listed, self._error, self._is_concluded = {}, "", False
        # With few teams, a webhook that was just created is found by the next check.
        at_least = self._config.sync.webhooks_every.total_seconds() / 2
        self._ttl = max(at_least, min(len(self._unread) * TEAM_TTL, MAX_TTL))
        self._read_at = self._clock()

    async def _read_webhooks(self, penpot: "PenpotClient", team: TeamRecord) -> None:
        try:
            for webhook in await penpot.webhooks(team.id) or ():
                if name := self._hooks.get(hook_address(webhook.uri)[2]):
                    self._listed.setdefault(name, {})[team] = None
        except (PenpotUnexpected, PenpotBusy) as error:
            if isinstance(error, PenpotBusy) and not await penpot.still_responds(error):
                raise
            log.warning("can't list the webhooks of team %s in Penpot: %s", team.id, error)
            self._error = str(error)
        self._unread.remove(team)
        self._read_at = self._clock()

    async def _conclude(self) -> None:
        """All lists were read: verify teams, and report those that several list."""
        for team, settings in self._config.teams.items():
            if settings.team_id:
                continue
            listed, id_ = self.listed_in(team), await self.verified(team)
            if not id_ and len(listed) == 1 and not self._error:
                id_ = await self._verify(team, listed[0].id)
            is_shared = any(record.id != id_ for record in listed) and (id_ or listed[1:])
            detail = _ONE_IS_READ if id_ else _NOTHING_IS_READ
            if is_shared or not self._error:
                await self._report(team, listed if is_shared else [], detail)
        if self._store is not None and self._alerts is not None:
            await self._store.put_value(REVIEW_KEY, "")

    async def _verify(self, team: str, id_: str) -> str:
        """The verified id: another replica may have been first."""
        if self._store and self._alerts:
            await self._store.put_new_value(_key(team), id_)
            log.info("team %s: the only Penpot team that lists its webhook is %s", team, id_)
        else:
            self._verified[team] = id_
        return await self.verified(team)

    async def _report(self, team: str, listed: list[TeamRecord], detail: str) -> None:
        """Once for the same teams, as soon as a channel works. Only the log names them: members of
        one may read the notice."""
        if self._store is None or self._alerts is None:
            return
        key, ids = f"listed-in/{team}", ",".join(sorted(record.id for record in listed))
        entry = await self._store.get_value(key)
        change = ValueChange(key, entry.value if entry else "", ids)
        if ids == change.before:
            return
        if ids:
            names = ", ".join(f"{record.id} ({record.name})" for record in listed)
            log.error(
                "team %s: its webhook is listed by the Penpot teams %s. %s. Remove the webhook "
                "from the others, or set teams.%s.team_id",
                team, names, detail, team,
            )  # fmt: skip
            problem = {"detail": detail, "reason": ""}
            await self._alerts.send(team, LISTED_TWICE, change, problem=problem)
        else:
            await self._store.put_value(key, ids)


def _key(team: str) -> str:
    return f"team/{team}"


def hook_address(uri: str) -> tuple[str, str, str]:
    """A webhook's address as the server reads it: host, what of the path a proxy may remove, and
    the part to compare with a hook's path. All are empty for an invalid address."""
    try:
        parts = urlsplit(uri)
        host = parts.hostname or ""
    except ValueError:
        return "", "", ""
    segments = unquote(parts.path).split("/")
    return host, "/".join(segments[:-3]), "/" + "/".join(segments[-3:])
