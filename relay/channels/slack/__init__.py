"""Slack, by bot token or by incoming webhook."""

from relay.channels.base import ChannelClass, ChannelType, ChannelVariables, PeopleKey
from relay.channels.slack.blocks import FORMAT, fits
from relay.channels.slack.preview import preview
from relay.channels.slack.settings import SlackSettings, member_id
from relay.messages.message import Message

_STARTER = """\
{"text": "{{ actor or "Someone" }}: {{ event.name }}",
 "blocks": [
   {"type": "section",
    "text": {"type": "mrkdwn", "text": "*{{ actor or "Someone" }}*: {{ event.name }}"}},
   {"type": "context",
    "elements": [{"type": "mrkdwn", "text": "{{ file or project or team }}"}]}
 ]}
"""


def _load() -> ChannelClass:
    from relay.channels.slack.channel import SlackChannel

    return SlackChannel


def _fits(message: Message, settings: SlackSettings | None) -> bool:
    return fits(message, has_blocks=settings is None or not settings.other_host)


TYPE = ChannelType(
    name="slack",
    label="Slack",
    settings=SlackSettings,
    load=_load,
    preview=preview,
    fits=_fits,
    variables=ChannelVariables(
        keys={
            "RELAY_SLACK_WEBHOOK_URL": "webhook_url",
            "RELAY_SLACK_TOKEN": "token",
            "RELAY_SLACK_CHANNEL": "channel",
            "RELAY_SLACK_API_URL": "api_url",
        },
        required=("RELAY_SLACK_WEBHOOK_URL", "RELAY_SLACK_TOKEN"),
    ),
    example={"token": "xoxb-example", "channel": "#design"},
    people=PeopleKey("slack", member_id),
    override=FORMAT,
    starter=_STARTER,
    editor="Slack with token",
    secrets=r"hooks\.slack|/services/|\b(xox|xapp-)",
    loggers=("slack_sdk", "aiohttp"),
)
