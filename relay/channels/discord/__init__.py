"""Discord, by webhook."""

from relay.channels.base import ChannelClass, ChannelType, ChannelVariables, PeopleKey
from relay.channels.discord.content import fits
from relay.channels.discord.preview import preview
from relay.channels.discord.settings import DiscordSettings, user_id


def _load() -> ChannelClass:
    from relay.channels.discord.channel import DiscordChannel

    return DiscordChannel


TYPE = ChannelType(
    name="discord",
    label="Discord",
    settings=DiscordSettings,
    load=_load,
    preview=preview,
    fits=lambda message, settings: fits(message),
    variables=ChannelVariables(
        keys={"RELAY_DISCORD_WEBHOOK_URL": "webhook_url"}, required=("RELAY_DISCORD_WEBHOOK_URL",)
    ),
    example={"webhook_url": "https://discord.com/api/webhooks/1/example"},
    people=PeopleKey("discord", user_id),
    editor="Discord",
    marks_edits=True,
    secrets=r"/api/(v\d+/)?webhooks/",
    loggers=("httpx", "httpcore"),
)
