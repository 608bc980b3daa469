"""Mattermost, by bot token or by incoming webhook."""

from relay.channels.base import ChannelClass, ChannelType, ChannelVariables, PeopleKey
from relay.channels.mattermost.content import TEXT
from relay.channels.mattermost.preview import preview
from relay.channels.mattermost.settings import MattermostSettings, username


def _load() -> ChannelClass:
    from relay.channels.mattermost.channel import MattermostChannel

    return MattermostChannel


TYPE = ChannelType(
    name="mattermost",
    label="Mattermost",
    settings=MattermostSettings,
    load=_load,
    preview=preview,
    fits=lambda message, settings: TEXT.fits(message),
    variables=ChannelVariables(
        keys={
            "RELAY_MATTERMOST_WEBHOOK_URL": "webhook_url",
            "RELAY_MATTERMOST_URL": "url",
            "RELAY_MATTERMOST_TOKEN": "token",
            "RELAY_MATTERMOST_CHANNEL": "channel",
        },
        required=("RELAY_MATTERMOST_WEBHOOK_URL", "RELAY_MATTERMOST_TOKEN"),
    ),
    example={"url": "https://mattermost.example.com", "token": "example", "channel": "acme/design"},
    people=PeopleKey("mattermost", username),
    editor="Mattermost with token",
    marks_edits=True,
    secrets=r"/hooks/",
    loggers=("httpx", "httpcore"),
)
