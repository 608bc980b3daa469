"""What ``relay doctor`` finds about the hooks in Penpot, and what ``--fix`` does about it."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from urllib.parse import urlsplit

from relay.channels.base import Finding
from relay.config import Config
from relay.penpot.answers import WebhookRecord
from relay.penpot.api import PenpotClient
from relay.penpot.rpc import PenpotError
from relay.store.base import Store
from relay.sync.hooks import own, reason
from relay.sync.teams import TeamDirectory, team_id


@dataclass(frozen=True, slots=True)
class WebhookFix:
    """Something that can be done about a hook, after asking."""

    team: str
    question: str
    work: Callable[[PenpotClient], Awaitable[Finding]]


async def look(
    config: Config, penpot: PenpotClient, directory: TeamDirectory, store: Store | None, team: str
) -> tuple[Finding, WebhookFix | None]:
    """What there is to say of a team's hook, and what can be done about it.

    ``store`` is None where there is none yet. Raises ``PenpotError``.
    """
    url, path = config.server.public_url, config.hook_path(team)
    while (id_ := await team_id(config, directory, store, team)) is None:
        pass
    if not id_:
        return await _unknown(config, penpot, team)
    listed = await penpot.webhooks(id_)
    if listed is None:
        text = f"team {id_} is not one of the user of penpot.access_token: let that user in"
        return Finding(
            False, f"{text} (a viewer can read; an editor can switch hooks on too)"
        ), None
    found = own(listed, url, path)
    if any(webhook.is_active for webhook in found):
        return Finding(True, "its webhook in Penpot is there and on"), None
    if found:
        webhook = max(found, key=lambda one: bool(reason(one)))
        why = reason(webhook) or "somebody switched it off, or left it off"
        finding = Finding(False, f"its webhook in Penpot is off: {why}")
        return finding, WebhookFix(team, f"Switch the webhook of {team} on?", partial(_on, webhook))
    if elsewhere := own(listed, "", path):
        parts = urlsplit(elsewhere[0].uri)
        text = f"Penpot calls its hook at {parts.scheme}://{parts.netloc.rpartition('@')[2]}, "
        return Finding(False, f"{text}which is not server.public_url: is that right?"), None
    finding = Finding(False, "Penpot has no webhook for it")
    if not url:
        text = f"{finding.text}; `--fix` makes it once server.public_url tells how Penpot gets here"
        return Finding(False, text), None
    make = partial(_make, config, team, id_)
    return finding, WebhookFix(team, f"Make the webhook of {team} in Penpot?", make)


async def _unknown(
    config: Config, penpot: PenpotClient, team: str
) -> tuple[Finding, WebhookFix | None]:
    """No team is known to be this one. Where the user is in a single one it may be that."""
    text = "none of the Penpot teams of the user of penpot.access_token has its webhook"
    teams = [one for one in await penpot.teams() or () if not one.is_default]
    if len(teams) != 1 or not config.server.public_url:
        needs = "let that user into the team, and set team_id and server.public_url"
        return Finding(False, f"{text}: {needs}"), None
    (only,) = teams
    question = f"Make the webhook of {team} in Penpot, in the team “{only.name}”?"
    return Finding(False, text), WebhookFix(team, question, partial(_make, config, team, only.id))


async def _on(webhook: WebhookRecord, penpot: PenpotClient) -> Finding:
    try:
        switched = await penpot.switch_on(webhook)
    except PenpotError as error:
        return Finding(False, f"Penpot did not switch it on: {error}")
    if switched is None:
        text = "the user of penpot.access_token may not switch it on: editors of the team may"
        return Finding(False, f"{text}, and whoever made the hook")
    return Finding(True, "its webhook in Penpot is on again")


async def _make(config: Config, team: str, id_: str, penpot: PenpotClient) -> Finding:
    address = config.server.public_url + config.hook_path(team)
    try:
        made = await penpot.create_webhook(id_, address)
    except PenpotError as error:
        text = f"Penpot did not make it: {error}"
        if "webhook-validation" in text:
            text += (
                ". Penpot asked the address first: is `relay serve` running, does Penpot reach "
                "server.public_url (PENPOT_SSRF_ALLOWED_HOSTS), does a proxy pass HEAD?"
            )
        return Finding(False, text)
    if made is None:
        return Finding(False, "the user of penpot.access_token may not make it in that team")
    return Finding(True, "its webhook is made, and on")
