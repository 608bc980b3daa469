"""Finds each team's webhook in Penpot and switches it on again: Penpot disables a webhook after
three failed calls.

The last status is kept in the key-value store for ``relay log``, ``relay doctor`` and the
inspector. A webhook's address contains its secret and appears in no text.
"""

import asyncio
import json
import logging
import uuid
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Literal, TypeAlias
from urllib.parse import urlsplit

from relay.channels.base import Finding
from relay.config.settings import Config
from relay.penpot.api import PenpotClient
from relay.penpot.client import PenpotBusy, PenpotError, PenpotUnexpected
from relay.penpot.facts import OWN_TEAM, Fact
from relay.penpot.records import WebhookRecord
from relay.store.base import Store
from relay.store.records import NewDelivery

if TYPE_CHECKING:
    from relay.sync.budget import SyncContext

log = logging.getLogger(__name__)

SWITCHED_ON = "webhook-switched-on"  # the event name of the notice
NOTICE_INTERVAL = 6 * 3600.0  # seconds; at most one notice per team in it
SEARCH_BATCH_SIZE = 5  # teams whose webhooks one search reads, one call each
TEAM_TTL = 36.0  # seconds that the directory is valid, per team in it
MAX_DIRECTORY_TTL = 3600.0  # seconds

WebhookState: TypeAlias = Literal["active", "off", "missing", "hidden"]

_ERROR_TEXTS = {
    "connection-error": "it could not connect to Relay",
    "timeout": "Relay did not answer in time",
    "ssl-validation-error": "it does not trust the certificate of Relay's address",
    "invalid-uri": "it can't parse the webhook's address",
    "blocked-request": "it may not call Relay's address (PENPOT_SSRF_ALLOWED_HOSTS)",
}
_NOT_PERMITTED = (
    "the user of penpot.access_token may not switch it on: make that user an editor of the team in "
    "Penpot, or switch it on there"
)
_MISSING = "Penpot has no webhook for this Relay: `relay doctor --fix` creates it"
_NOT_IN_ANY_TEAM = (
    "no team of the user of penpot.access_token has it: add that user to the team, and run "
    "`relay doctor --fix` to create the webhook"
)
_OFF_BY_HAND = "somebody switched it off in Penpot: `relay doctor --fix` switches it on"


@dataclass(frozen=True, slots=True)
class WebhookStatus:
    state: WebhookState
    why: str = ""
    """In words, if not active."""
    notified_at: float = 0.0
    """Time of the last notice to a channel, in seconds since 1970."""
    switched_on_once: bool = False
    """Whether Relay switched it on although Penpot recorded no failed call. Penpot's form creates
    webhooks that are off; one that is off a second time was switched off on purpose."""
    notice_pending: bool = False
    """Set before the webhook is switched on, until that is reported."""


def off_reason(webhook: WebhookRecord) -> str:
    """Why Penpot disabled a webhook, in words; empty if it recorded no error."""
    if not webhook.error_code:
        return ""
    code = webhook.error_code.partition(":")[0]
    return _ERROR_TEXTS.get(code, f"its calls failed ({webhook.error_code})")


def own_webhooks(
    webhooks: Iterable[WebhookRecord], public_url: str, path: str
) -> list[WebhookRecord]:
    """The webhooks with this Relay's host and path; without ``public_url`` compared by path only.
    ``path`` is the path of the team's hook, with its secret."""
    own = urlsplit(public_url + path)
    matches = []
    for webhook in webhooks:
        try:
            parts = urlsplit(webhook.uri)
            same_host = parts.hostname == own.hostname
        except ValueError:
            continue
        if (same_host and parts.path == own.path) if public_url else parts.path.endswith(path):
            matches.append(webhook)
    return matches


def pick_webhook(webhooks: Sequence[WebhookRecord]) -> WebhookRecord:
    """Prefers one that Penpot disabled to one that somebody switched off."""
    return max(webhooks, key=lambda webhook: bool(off_reason(webhook)))


class WebhookMonitor:
    def __init__(self, context: "SyncContext") -> None:
        self._config = context.config
        self._penpot = context.penpot
        self._store = context.store
        self._metrics = context.metrics
        self._clock = context.clock
        self._notices = context.notices

    async def check(self, team: str, team_id: str) -> bool:
        """Check a team's webhook; whether it was switched on, so that events were missed before.

        ``team_id`` is the team's id in Penpot. Raises ``PenpotError`` and ``StoreUnavailable``.
        """
        before = await load_status(self._store, team)
        listed = await self._penpot.webhooks(team_id)
        if listed is None:
            text = "the user of penpot.access_token is not in the team"
            await self._save(team, before, WebhookStatus("hidden", text))
            return False
        public_url, path = self._config.server.public_url, self._config.hook_path(team)
        webhooks = own_webhooks(listed, public_url, path)
        if not webhooks:
            await self._save(team, before, WebhookStatus("missing", _MISSING))
            return False
        if any(webhook.is_active for webhook in webhooks):
            if before is not None and before.notice_pending:  # Relay stopped before the report
                await self._report_switched_on(team, before, before.why)
                return True
            await self._save(team, before, WebhookStatus("active"))
            return False
        return await self._switch_on(team, before, pick_webhook(webhooks))

    async def not_found(self, team: str) -> None:
        """No team of the token's user has the webhook. Raises ``StoreUnavailable``."""
        before = await load_status(self._store, team)
        await self._save(team, before, WebhookStatus("missing", _NOT_IN_ANY_TEAM))

    async def _switch_on(
        self, team: str, before: WebhookStatus | None, webhook: WebhookRecord
    ) -> bool:
        reason = off_reason(webhook)
        if not reason and before is not None and before.switched_on_once:
            await self._save(team, before, WebhookStatus("off", _OFF_BY_HAND))
            return False
        not_permitted = f"{reason}; {_NOT_PERMITTED}" if reason else _NOT_PERMITTED
        if before is None or before.why != not_permitted:
            await self._save(team, before, WebhookStatus("off", reason, notice_pending=True))
            before = await load_status(self._store, team)
        if await self._penpot.enable_webhook(webhook) is None:
            await self._save(team, before, WebhookStatus("off", not_permitted))
            return False
        await self._report_switched_on(team, before, reason)
        return True

    async def _report_switched_on(
        self, team: str, before: WebhookStatus | None, reason: str
    ) -> None:
        self._metrics.webhook_reactivated(team)
        log.warning(
            "team %s: its webhook in Penpot was off (%s) and is on again",
            team,
            reason or "no reason recorded",
        )
        now = self._clock()
        status = WebhookStatus("active", switched_on_once=not reason)
        if now - (before.notified_at if before else 0.0) > NOTICE_INTERVAL:
            status = replace(status, notified_at=now)
            await self._notify(team, reason)
        await self._save(team, before, status)

    async def _save(self, team: str, before: WebhookStatus | None, status: WebhookStatus) -> None:
        self._metrics.webhook(team, is_active=status.state == "active")
        if before is not None:
            status = replace(
                status,
                notified_at=max(status.notified_at, before.notified_at),
                switched_on_once=status.switched_on_once or before.switched_on_once,
            )
        if status == before:
            return
        is_new = before is None or before.why != status.why
        if status.why and not status.notice_pending and is_new:
            log.warning("team %s: its webhook in Penpot is %s: %s", team, status.state, status.why)
        await self._store.put_value(_key(team), json.dumps(asdict(status)))

    async def _notify(self, team: str, reason: str) -> None:
        queue = self._config.notice_queue(team)
        if queue is None:
            return
        message = await self._notices.render(
            SWITCHED_ON, team, problem={"detail": reason, "reason": ""}
        )
        delivery = NewDelivery(queue, uuid.uuid4().hex, message.dumps())
        await self._store.announce(team, SWITCHED_ON, [delivery], message.title)


async def load_status(store: Store, team: str) -> WebhookStatus | None:
    """The status at the last check; None before the first."""
    entry = await store.get_value(_key(team))
    return None if entry is None else WebhookStatus(**json.loads(entry.value))


async def webhook_problems(store: Store, teams: Iterable[str]) -> dict[str, tuple[float, str]]:
    """By team whose webhook does not work: since when, in seconds since 1970, and the problem."""
    problems = {}
    for team in teams:
        entry = await store.get_value(_key(team))
        if entry is None:
            continue
        status = WebhookStatus(**json.loads(entry.value))
        if status.state != "active":
            problems[team] = entry.at, f"its webhook in Penpot is {status.state}: {status.why}"
    return problems


def _key(team: str) -> str:
    return f"hook/{team}"


class TeamDirectory:
    """The webhooks of all Penpot teams of the token's user, shared by all searches."""

    def __init__(self, config: Config, penpot: "PenpotClient", clock: Callable[[], float]) -> None:
        self._config = config
        self._penpot = penpot
        self._clock = clock
        self._lock = asyncio.Lock()
        self._webhooks: list[tuple[str, Sequence[WebhookRecord]]] = []
        self._unread: list[str] = []
        self._size = 0
        self._error = ""
        self._read_at = self._valid_until = 0.0

    async def search(self, team: str) -> str | None:
        """The id of the Penpot team that has the webhook of ``team``; empty if none has it, or had
        it when the directory was read. None if more of the directory has to be read: each call
        reads a few teams.

        Raises ``PenpotError``; ``PenpotUnexpected`` also if the webhooks of a team can't be read
        and no other team has it.
        """
        async with self._lock:
            if not self._unread and not self._read_at <= self._clock() < self._valid_until:
                await self._list_teams()
            if not (id_ := self._find(team)) and self._unread:
                await self._read_webhooks()
                id_ = self._find(team)
        if not id_ and self._unread:
            return None
        if not id_ and self._error:
            raise PenpotUnexpected(f"Penpot can't list the webhooks of all teams: {self._error}")
        return id_

    def _find(self, team: str) -> str:
        url, path = self._config.server.public_url, self._config.hook_path(team)
        return next((id_ for id_, hooks in self._webhooks if own_webhooks(hooks, url, path)), "")

    async def _list_teams(self) -> None:
        self._unread = [team.id for team in await self._penpot.teams() or ()]
        self._size = len(self._unread)
        self._webhooks, self._error = [], ""
        self._set_validity()

    async def _read_webhooks(self) -> None:
        for id_ in self._unread[:SEARCH_BATCH_SIZE]:
            try:
                self._webhooks.append((id_, await self._penpot.webhooks(id_) or ()))
            except PenpotUnexpected as error:
                self._skip(id_, error)
            except PenpotBusy as error:
                if not await self._penpot.still_responds(error):
                    raise
                self._skip(id_, error)
            self._unread.remove(id_)
        self._set_validity()

    def _set_validity(self) -> None:
        if self._unread:
            return
        # With few teams, a webhook that was just created is found by the next check.
        at_least = self._config.sync.webhooks_every.total_seconds() / 2
        ttl = max(at_least, min(self._size * TEAM_TTL, MAX_DIRECTORY_TTL))
        self._read_at = self._clock()
        self._valid_until = self._read_at + ttl

    def _skip(self, id_: str, error: Exception) -> None:
        log.warning("can't list the webhooks of team %s in Penpot: %s", id_, error)
        self._error = str(error)


async def team_id(
    config: Config, directory: TeamDirectory, store: Store | None, team: str
) -> str | None:
    """The Penpot id of a team: from the config, an event, or an earlier search; else from a search
    for its webhook, with the results of ``TeamDirectory.search``. ``store`` is None before it
    exists.

    Raises ``PenpotError`` and ``StoreUnavailable``.
    """
    if configured := config.teams[team].team_id:
        return configured.lower()
    if store is None:
        return await directory.search(team)
    facts = await store.facts(team, [OWN_TEAM])
    if OWN_TEAM in facts and (id_ := Fact.loads(*OWN_TEAM, facts[OWN_TEAM]).ref("team")):
        return id_
    key = f"team/{team}"
    entry = await store.get_value(key)
    if entry is not None and entry.value:
        return entry.value
    found = await directory.search(team)
    if found:
        await store.put_value(key, found)
    return found


@dataclass(frozen=True, slots=True)
class WebhookFix:
    """A change in Penpot that needs a confirmation."""

    team: str
    question: str
    apply: Callable[[PenpotClient], Awaitable[Finding]]


async def check_webhook(
    config: Config, penpot: PenpotClient, directory: TeamDirectory, store: Store | None, team: str
) -> tuple[Finding, WebhookFix | None]:
    """``store`` is None before it exists. Raises ``PenpotError``."""
    url, path = config.server.public_url, config.hook_path(team)
    while (id_ := await team_id(config, directory, store, team)) is None:
        pass
    if not id_:
        return await _team_not_found(config, penpot, team)
    listed = await penpot.webhooks(id_)
    if listed is None:
        text = (
            f"the user of penpot.access_token is not in team {id_}: add that user (a viewer can "
            "read; an editor can also switch webhooks on)"
        )
        return Finding(False, text), None
    webhooks = own_webhooks(listed, url, path)
    if any(webhook.is_active for webhook in webhooks):
        return Finding(True, "its webhook in Penpot exists and is on"), None
    if webhooks:
        webhook = pick_webhook(webhooks)
        reason = off_reason(webhook) or "somebody switched it off, or left it off"
        fix = WebhookFix(team, f"Switch the webhook of {team} on?", partial(_switch_on, webhook))
        return Finding(False, f"its webhook in Penpot is off: {reason}"), fix
    if elsewhere := own_webhooks(listed, "", path):
        parts = urlsplit(elsewhere[0].uri)
        text = f"Penpot calls its webhook at {parts.scheme}://{parts.netloc.rpartition('@')[2]}, "
        return Finding(False, f"{text}which is not server.public_url: is that right?"), None
    text = "Penpot has no webhook for it"
    if not url:
        return Finding(False, f"{text}; set server.public_url, and `--fix` creates it"), None
    create = partial(_create, config, team, id_)
    return Finding(False, text), WebhookFix(
        team, f"Create the webhook of {team} in Penpot?", create
    )


async def _team_not_found(
    config: Config, penpot: PenpotClient, team: str
) -> tuple[Finding, WebhookFix | None]:
    """Offers to create the webhook if the user is in a single team."""
    text = "none of the Penpot teams of the user of penpot.access_token has its webhook"
    teams = [candidate for candidate in await penpot.teams() or () if not candidate.is_default]
    if len(teams) != 1 or not config.server.public_url:
        advice = "add that user to the team, and set team_id and server.public_url"
        return Finding(False, f"{text}: {advice}"), None
    (only,) = teams
    question = f"Create the webhook of {team} in Penpot, in the team “{only.name}”?"
    return Finding(False, text), WebhookFix(team, question, partial(_create, config, team, only.id))


async def _switch_on(webhook: WebhookRecord, penpot: PenpotClient) -> Finding:
    try:
        record = await penpot.enable_webhook(webhook)
    except PenpotError as error:
        return Finding(False, f"Penpot did not switch it on: {error}")
    if record is None:
        text = "the user of penpot.access_token may not switch it on: editors of the team may"
        return Finding(False, f"{text}, and whoever created the webhook")
    return Finding(True, "its webhook in Penpot is on again")


async def _create(config: Config, team: str, id_: str, penpot: PenpotClient) -> Finding:
    address = config.server.public_url + config.hook_path(team)
    try:
        record = await penpot.create_webhook(id_, address)
    except PenpotError as error:
        text = f"Penpot did not create it: {error}"
        if "webhook-validation" in text:
            text += (
                ". Penpot sends a HEAD request to the address first: is `relay serve` running, "
                "can Penpot reach server.public_url (PENPOT_SSRF_ALLOWED_HOSTS), does a proxy pass "
                "HEAD?"
            )
        return Finding(False, text)
    if record is None:
        return Finding(False, "the user of penpot.access_token may not create it in that team")
    return Finding(True, "its webhook was created and is on")
