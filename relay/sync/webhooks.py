"""Finds each team's webhook in Penpot and switches it on again: Penpot disables a webhook after
three failed calls.

The last status is kept in the key-value store for ``relay log``, ``relay doctor`` and the
inspector. A webhook's address contains its secret and appears in no text.
"""

import json
import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal, TypeAlias
from urllib.parse import urlsplit

from relay.channels.base import Finding, noted
from relay.config.settings import Config
from relay.delivery.directory import hook_address
from relay.messages.locale import marked
from relay.penpot.api import PenpotClient
from relay.penpot.client import WEBHOOK_VALIDATION, PenpotError
from relay.penpot.records import TeamRecord, WebhookRecord
from relay.store.base import Store
from relay.sync.state import SyncContext

log = logging.getLogger(__name__)

SWITCHED_ON = "webhook-switched-on"  # the event name of the notice
NOTICE_INTERVAL = 6 * 3600.0  # seconds; at most one notice per team in it

WebhookState: TypeAlias = Literal["active", "off", "missing", "hidden", "ambiguous"]

# The notice translates what is before the brackets.
_CALLS_FAILED = marked("its calls failed")
_MAY_NOT_CALL = marked("it may not call Relay's address")
_ERROR_TEXTS = {
    "connection-error": marked("it could not connect to Relay"),
    "timeout": marked("Relay did not answer in time"),
    "ssl-validation-error": marked("it does not trust the certificate of Relay's address"),
    "invalid-uri": marked("it can't parse the webhook's address"),
    "blocked-request": f"{_MAY_NOT_CALL} (PENPOT_SSRF_ALLOWED_HOSTS)",
}
_NOT_PERMITTED = (
    "the user of penpot.access_token may not switch it on: make that user an editor of the team in "
    "Penpot, or switch it on there"
)
_NOT_IN_TEAM = (
    "the user of penpot.access_token is not in the team: add that user (a viewer can read; an "
    "editor can also switch webhooks on)"
)
_REASONS: dict[WebhookState, str] = {
    "active": "",
    "hidden": _NOT_IN_TEAM,
    "missing": "Penpot has no webhook for this Relay: `relay doctor --fix` creates it",
    "ambiguous": (
        "more than one Penpot team lists it, so Relay reads nothing from Penpot for this team: "
        "remove it from the other teams, or set team_id; `relay doctor` names them"
    ),
}
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
    saved_at: float = field(default=0.0, compare=False)
    """Time of the last change, in seconds since 1970."""


def off_reason(webhook: WebhookRecord) -> str:
    """Why Penpot disabled a webhook, in words; empty if it recorded no error."""
    if not webhook.error_code:
        return ""
    code = webhook.error_code.partition(":")[0]
    return _ERROR_TEXTS.get(code, f"{_CALLS_FAILED} ({webhook.error_code})")


def own_webhooks(
    webhooks: Iterable[WebhookRecord], public_url: str, *paths: str
) -> list[WebhookRecord]:
    """The webhooks with the host and the path of ``public_url`` and one of the ``paths``, which are
    those of the team's hook, with its secrets; without ``public_url`` at any host."""
    own = hook_address(f"{public_url}/hooks/team/secret")[:2]
    matches = []
    for webhook in webhooks:
        *base, path = hook_address(webhook.uri)
        if path in paths and (not public_url or tuple(base) == own):
            matches.append(webhook)
    return matches


async def find_webhook(
    config: Config, penpot: PenpotClient, team: str, team_id: str
) -> tuple[WebhookState, WebhookRecord | None]:
    """The webhook of a team, whose id in Penpot is ``team_id``: one with the current secret, else
    an active one with the old secret. If it is missing, one with another host and the same path.
    Raises ``PenpotError``."""
    listed = await penpot.webhooks(team_id)
    if listed is None:
        return "hidden", None
    path, *old_paths = config.hook_paths(team)
    own = own_webhooks(listed, config.server.public_url, path)
    if not own:
        for webhook in own_webhooks(listed, config.server.public_url, *old_paths):
            if webhook.is_active:
                return "active", webhook
        return "missing", next(iter(own_webhooks(listed, "", path)), None)
    # Prefers one that Penpot disabled to one that somebody switched off.
    webhook = max(own, key=lambda webhook: (webhook.is_active, bool(off_reason(webhook))))
    return "active" if webhook.is_active else "off", webhook


class WebhookMonitor:
    """All methods raise ``StoreUnavailable``."""

    def __init__(self, context: SyncContext, team: str) -> None:
        self._context = context
        self._store = context.store
        self._team = team

    async def check(self, team_id: str) -> bool:
        """Check the webhook; whether it was switched on, so that events were missed before.

        ``team_id`` is the team's id in Penpot. Raises ``PenpotError``.
        """
        config, penpot = self._context.config, self._context.penpot
        state, webhook = await find_webhook(config, penpot, self._team, team_id)
        if state == "off" and webhook is not None:
            return await self._switch_on(webhook)
        before = await self._status()
        if state == "active" and before.notice_pending:
            await self._report_switched_on(before.why)  # Relay stopped before the report
            return True
        await self._save(state, _REASONS[state])
        return False

    async def not_verified(self, *, is_listed: bool) -> None:
        """No team of the token's user has the webhook, or ``is_listed``: several have it."""
        if is_listed:
            await self._save("ambiguous", _REASONS["ambiguous"])
        else:
            await self._save("missing", _NOT_IN_ANY_TEAM)

    async def _switch_on(self, webhook: WebhookRecord) -> bool:
        reason = off_reason(webhook)
        before = await self._status()
        if not reason and before.switched_on_once:
            await self._save("off", _OFF_BY_HAND)
            return False
        not_permitted = f"{reason}; {_NOT_PERMITTED}" if reason else _NOT_PERMITTED
        if before.why != not_permitted:
            await self._save("off", reason, notice_pending=True)
        if await self._context.penpot.enable_webhook(webhook) is None:
            await self._save("off", not_permitted)
            return False
        await self._report_switched_on(reason)
        return True

    async def _report_switched_on(self, reason: str) -> None:
        self._context.metrics.webhook_reactivated(self._team)
        text = "team %s: its webhook in Penpot was off (%s) and is on again"
        log.warning(text, self._team, reason or "no reason recorded")
        before, now = await self._status(), self._context.clock()
        changes: dict[str, Any] = {} if reason else {"switched_on_once": True}
        if now - before.notified_at > NOTICE_INTERVAL:
            changes["notified_at"] = now
            await self._notify(reason)
        await self._save("active", **changes)

    async def _notify(self, reason: str) -> None:
        detail, _, code = reason.removesuffix(")").partition(" (")
        problem = {"detail": detail, "reason": code}
        await self._context.alerts.send(self._team, SWITCHED_ON, problem=problem)

    async def _status(self) -> WebhookStatus:
        """At the last check; a state that no check results in before the first."""
        return await load_status(self._store, self._team) or WebhookStatus("missing")

    async def _save(self, state: WebhookState, why: str = "", **changes: Any) -> None:
        self._context.metrics.webhook(self._team, is_active=state == "active")
        before = await self._status()
        status = replace(before, state=state, why=why, **({"notice_pending": False} | changes))
        if status == before:
            return
        if why not in ("", before.why) and not status.notice_pending:
            log.warning("team %s: its webhook in Penpot is %s: %s", self._team, state, why)
        await self._store.put_value(_key(self._team), json.dumps(asdict(status)))


async def load_status(store: Store, team: str) -> WebhookStatus | None:
    """The status at the last check; None before the first."""
    entry = await store.get_value(_key(team))
    if entry is None:
        return None
    return replace(WebhookStatus(**json.loads(entry.value)), saved_at=entry.at)


async def webhook_problems(store: Store, teams: Iterable[str]) -> dict[str, tuple[float, str]]:
    """By team whose webhook does not work: since when, in seconds since 1970, and the problem."""
    statuses = {team: await load_status(store, team) for team in teams}
    return {
        team: (status.saved_at, f"its webhook in Penpot is {status.state}: {status.why}")
        for team, status in statuses.items()
        if status is not None and status.state != "active"
    }


def _key(team: str) -> str:
    return f"hook/{team}"


@dataclass(frozen=True, slots=True)
class WebhookFix:
    """A change in Penpot that needs a confirmation."""

    team: str
    question: str
    done: str
    call: Callable[[PenpotClient], Awaitable[WebhookRecord | None]]

    async def apply(self, penpot: PenpotClient, *, is_listening: bool = False) -> Finding:
        """``is_listening``: whether Relay is known to listen."""
        try:
            record = await self.call(penpot)
        except PenpotError as error:
            text = f"Penpot did not do it: {error}"
            if WEBHOOK_VALIDATION in text:
                running = "" if is_listening else "is `relay serve` running, "
                text += (
                    f". Penpot sends a HEAD request to the address first: {running}can Penpot "
                    "reach server.public_url (PENPOT_SSRF_ALLOWED_HOSTS), does a proxy pass HEAD?"
                )
            return Finding(False, text)
        if record is None:
            text = "the user of penpot.access_token may not do it: editors of the team may"
            return Finding(False, f"{text}, and whoever created the webhook")
        return Finding(True, self.done)


def check_listing(
    config: Config, team: str, id_: str, listed: Sequence[TeamRecord]
) -> Finding | None:
    """About other Penpot teams than the verified one, if any, which list the webhook. The finding
    names them: it is not for those who may see only this team."""
    if all(record.id == id_ for record in listed) or (len(listed) == 1 and not id_):
        return None
    names = " and ".join(f"“{record.name}” ({record.id})" for record in listed)
    text = f"the webhook of {team} is listed by {names}: their events come to this hook"
    if config.teams[team].team_id:
        return noted(f"{text}; Relay reads only teams.{team}.team_id")
    return Finding(False, f"{text}. Remove it from the others, or set teams.{team}.team_id")


async def check_webhook(
    config: Config, penpot: PenpotClient, team: str, id_: str, *, is_listed: bool
) -> tuple[Finding, WebhookFix | None]:
    """``id_`` is the verified id in Penpot; without one ``is_listed`` says whether Penpot teams
    list the webhook. Raises ``PenpotError``."""
    if not id_ and is_listed:
        return Finding(False, f"its webhook in Penpot is ambiguous: {_REASONS['ambiguous']}"), None
    if not id_:
        return await _team_not_found(config, penpot, team)
    state, webhook = await find_webhook(config, penpot, team, id_)
    if state == "hidden":
        return Finding(False, _NOT_IN_TEAM), None
    text = "Penpot has no webhook for it"
    if state == "active" and webhook is not None:
        if own_webhooks([webhook], "", config.hook_path(team)):
            if reason := off_reason(webhook):
                text = f"its webhook in Penpot is on, but its last call failed: {reason}"
                return Finding(False, f"{text}. Penpot switches it off after three"), None
            return Finding(True, "its webhook in Penpot exists and is on"), None
        text = "its webhook in Penpot has the old secret, and none has the current one"
    if state == "off" and webhook is not None:
        reason = off_reason(webhook) or "somebody switched it off, or left it off"
        question, done = f"Switch the webhook of {team} on?", "its webhook in Penpot is on again"
        fix = WebhookFix(team, question, done, lambda client: client.enable_webhook(webhook))
        return Finding(False, f"its webhook in Penpot is off: {reason}"), fix
    if state == "missing" and webhook is not None:
        parts = urlsplit(webhook.uri)
        text = f"Penpot calls its webhook at {parts.scheme}://{parts.netloc.rpartition('@')[2]}, "
        return Finding(False, f"{text}which is not server.public_url: is that right?"), None
    if not config.server.public_url:
        return Finding(False, f"{text}; set server.public_url, and `--fix` creates it"), None
    return Finding(False, text), creation(config, team, id_)


async def lists_old_secret(config: Config, penpot: PenpotClient, team: str, id_: str) -> bool:
    """Whether the team, with this id in Penpot, has a webhook with it. Raises ``PenpotError``."""
    webhooks = await penpot.webhooks(id_) if id_ else None
    return bool(own_webhooks(webhooks or (), "", *config.hook_paths(team)[1:]))


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
    return Finding(False, text), creation(config, team, only.id, f", in the team “{only.name}”")


def creation(config: Config, team: str, id_: str, where: str = "") -> WebhookFix:
    """Of the webhook of a team, whose id in Penpot is ``id_``."""
    address = config.server.public_url + config.hook_path(team)
    question, done = (
        f"Create the webhook of {team} in Penpot{where}?",
        "its webhook was created and is on",
    )
    return WebhookFix(team, question, done, lambda penpot: penpot.create_webhook(id_, address))
