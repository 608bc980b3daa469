"""Rocket.Chat, by the webhook of an incoming integration."""

from relay.channels.base import ChannelClass, ChannelType, ChannelVariables, PeopleKey
from relay.channels.rocketchat.content import TEXT
from relay.channels.rocketchat.preview import preview
from relay.channels.rocketchat.settings import RocketChatSettings, username


def _load() -> ChannelClass:
    from relay.channels.rocketchat.channel import RocketChatChannel

    return RocketChatChannel


TYPE = ChannelType(
    name="rocketchat",
    label="Rocket.Chat",
    settings=RocketChatSettings,
    load=_load,
    preview=preview,
    fits=lambda message, settings: TEXT.fits(message),
    variables=ChannelVariables(
        keys={"RELAY_ROCKETCHAT_WEBHOOK_URL": "webhook_url"},
        required=("RELAY_ROCKETCHAT_WEBHOOK_URL",),
    ),
    example={"webhook_url": "https://rocketchat.example.com/hooks/example/example"},
    people=PeopleKey("rocketchat", username),
    secrets=r"/hooks/",
    loggers=("httpx", "httpcore"),
)
