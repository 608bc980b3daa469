"""A program's webhook: JSON documents, signed as Standard Webhooks says."""

from relay.channels.base import ChannelClass, ChannelType, ChannelVariables
from relay.channels.webhook.document import preview
from relay.channels.webhook.settings import WebhookSettings
from relay.messages.environments import OverrideFormat


def _load() -> ChannelClass:
    from relay.channels.webhook.channel import WebhookChannel

    return WebhookChannel


TYPE = ChannelType(
    name="webhook",
    label="Webhook",
    settings=WebhookSettings,
    load=_load,
    preview=preview,
    variables=ChannelVariables(
        keys={"RELAY_WEBHOOK_URL": "url", "RELAY_WEBHOOK_SECRET": "secret"},
        required=("RELAY_WEBHOOK_URL",),
    ),
    example={
        "url": "https://ci.example.com/penpot",
        "secret": "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
    },
    override=OverrideFormat(".json.j2", by_event=False),
    sends_payloads=True,
    secrets="whsec_",
)
