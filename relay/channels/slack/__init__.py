"""Slack, by bot token or by incoming webhook."""

import json

from relay.channels.base import ChannelClass, ChannelType, ChannelVariables, PeopleKey, ReplyTo
from relay.channels.preview import MessagePreview
from relay.channels.slack.override import FORMAT, STARTER
from relay.channels.slack.settings import SlackSettings, member_id
from relay.messages.message import Message


def _load() -> ChannelClass:
    from relay.channels.slack.channel import SlackChannel

    return SlackChannel


def _preview(
    message: Message, thread: ReplyTo | None, settings: SlackSettings | None
) -> MessagePreview:
    from relay.channels.slack.preview import preview

    return preview(message)


def _text(message: Message) -> str:
    from relay.channels.slack.blocks import override, render

    arguments = override(message) if message.content.override else render(message)
    return json.dumps(arguments, indent=2, ensure_ascii=False)


TYPE = ChannelType(
    name="slack",
    label="Slack",
    settings=SlackSettings,
    load=_load,
    preview=_preview,
    text=_text,
    variables=ChannelVariables(
        keys={
            "RELAY_SLACK_WEBHOOK_URL": "webhook_url",
            "RELAY_SLACK_TOKEN": "token",
            "RELAY_SLACK_CHANNEL": "channel",
            "RELAY_SLACK_API_URL": "api_url",
        },
        required=("RELAY_SLACK_WEBHOOK_URL", "RELAY_SLACK_TOKEN"),
    ),
    people=PeopleKey("slack", member_id),
    override=FORMAT,
    starter=STARTER,
    editor="Slack with token",
    secrets=r"hooks\.slack|/services/|\b(xox|xapp-)",
    loggers=("slack_sdk", "aiohttp"),
)
