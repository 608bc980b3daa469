"""Discord's checks of ``relay doctor``."""

from collections.abc import AsyncIterator

from relay.channels.base import Finding, failed, passed
from relay.channels.discord.client import DiscordApi
from relay.channels.errors import one_line

_INCOMING_CODE = (
    1  # https://docs.discord.com/developers/resources/webhook#webhook-object-webhook-types
)


async def check(api: DiscordApi) -> AsyncIterator[Finding]:
    """Ask for the webhook, which also checks its token."""
    webhook = await api.webhook()
    name = one_line(str(webhook.get("name") or "?"))
    if webhook.get("type") != _INCOMING_CODE:
        yield failed(f'The webhook "{name}" accepts no messages: create one under Integrations.')
        return
    yield passed(f'The webhook "{name}" can post to channel {webhook.get("channel_id", "?")}.')
    if api.http.through_proxy:
        yield passed(f"Discord responds{api.http.through_proxy}.")
