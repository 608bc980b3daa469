"""What ``relay doctor`` reports about webhooks in Penpot, and how ``--fix`` fixes them."""

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
from relay.sync.webhooks import TeamDirectory, off_reason, own_webhooks, pick_webhook, team_id


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
