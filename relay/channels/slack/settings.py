"""The settings of a Slack channel."""

import re
from collections.abc import Container, Iterator, Mapping
from typing import Annotated, Any
from urllib.parse import urlsplit

from relay.channels.base import ChatSettings
from relay.config.secret import Secret
from relay.config.types import (
    Ask,
    HttpUrl,
    Rule,
    Token,
    ascii_address,
    excluded_keys,
    host_and_port,
    matching,
    secret_rule,
)

WEBHOOK_HOSTS = frozenset({"hooks.slack.com", "hooks.slack-gov.com"})
"""Slack's own. Other hosts imitate its webhooks: Mattermost, Rocket.Chat, Discord, a proxy …"""
# Slack Workflow Builder's webhooks, the older and the newer kind, take the variables of a workflow:
# github.com/caronc/apprise/issues/891, github.com/slackapi/node-slack-sdk/pull/2615
_WORKFLOW_PATHS = ("/workflows/", "/triggers/")
# https://docs.discord.com/developers/resources/webhook#execute-slackcompatible-webhook
_DISCORD_HOSTS = frozenset({"discord.com", "discordapp.com"})

_BOT = "a bot: threads, edits, pictures and direct messages"
_WEBHOOK = "an incoming webhook: messages in one channel"

# Why a key does not work with a webhook, or with direct messages.
_ONE_CHANNEL = "needs a token: an incoming webhook can only post to its channel"
_NOT_BY_WEBHOOK = {
    "direct": _ONE_CHANNEL,
    "thumbnails": _ONE_CHANNEL,
    "broadcast": "needs a token: an incoming webhook has no threads",
    "channel": "needs a token: an incoming webhook has a fixed channel",
    "author_as_sender": "needs a token: an incoming webhook has a fixed name and picture",
}
_NOT_DIRECT = {
    "channel": "does not work with direct: each person gets a direct message",
    "broadcast": "does not work with direct",
    "author_as_sender": "does not work with direct: these messages say who mentions the person",
}


def _webhook_url(address: str) -> None:
    rule = 'must be the URL of an incoming webhook, "https://hooks.slack.com/services/…"'
    parts = ascii_address(address)
    if parts is None:
        raise ValueError(f"{rule}, in ASCII without spaces")
    if parts.hostname in WEBHOOK_HOSTS and parts.path.startswith(_WORKFLOW_PATHS):
        raise ValueError(
            "is the URL of a workflow (Slack's Workflow Builder), which posts no messages of "
            f"Relay: it {rule}"
        )
    if parts.hostname in _DISCORD_HOSTS and not parts.path.endswith("/slack"):
        raise ValueError(
            'is Discord\'s own webhook: set type = "discord", or add "/slack" to its path, for '
            "Slack's format"
        )


WebhookUrl = Annotated[Secret, secret_rule(_webhook_url)]
ChannelId = Annotated[
    str,
    matching(
        r"#[^\s#]+|[CDGU][A-Z0-9]{2,}",
        'must be a channel\'s id such as "C0123456789" or its name such as "#design"',
    ),
]


def member_id(value: str) -> str:
    if not re.fullmatch(r"[UW][A-Z0-9]{2,}", value):
        raise ValueError(
            'must be a Slack member\'s id such as "U0123456789" (profile, ⋮, Copy member ID)'
        )
    return value


class SlackSettings(ChatSettings):
    """A webhook can neither reply nor edit, since Slack does not return the message's ``ts``."""

    token: Annotated[
        Token | None,
        Ask("Bot User OAuth Token", "of an app with the scope chat:write, xoxb-…", _BOT),
    ] = None
    """The bot's; or webhook_url, see below."""
    channel: Annotated[ChannelId, Ask("Channel", "#design, or its id; invite the bot", _BOT)] = ""
    """Name or id."""
    webhook_url: Annotated[
        WebhookUrl | None,
        Ask("URL of the incoming webhook", "https://hooks.slack.com/services/…", _WEBHOOK),
    ] = None
    """Instead of a bot's token."""
    api_url: HttpUrl = "https://slack.com/api"
    """For GovSlack or a proxy."""
    broadcast: bool = False
    """Whether replies show in the channel too."""
    thumbnails: bool = False
    """Whether messages show the board or file; needs penpot.access_token."""
    author_as_sender: bool = False
    """Whether comments have their author's name and picture; needs chat:write.customize."""

    @classmethod
    def rules(cls, raw: Mapping[str, Any]) -> Iterator[Rule]:
        yield from super().rules(raw)
        excluded: Mapping[str, str] = {}
        if "token" in raw and "webhook_url" in raw:
            yield ("webhook_url",), None, "only one of token and webhook_url is allowed"
        elif "webhook_url" in raw:
            excluded = _NOT_BY_WEBHOOK
        elif "token" not in raw:
            yield ("token",), None, "one of token and webhook_url is required"
        elif raw.get("direct"):
            excluded = _NOT_DIRECT
        elif "channel" not in raw:
            yield ("channel",), None, 'is required with token: an id or "#name"'
        yield from excluded_keys(raw, excluded)

    @classmethod
    def edits_in_place(cls, keys: Container[str]) -> bool:
        return "token" in keys

    @property
    def other_host(self) -> str:
        """The host of a webhook that is not Slack's; empty for Slack."""
        url = self.webhook_url.reveal() if self.webhook_url else ""
        host = urlsplit(url).hostname or ""
        return "" if host in WEBHOOK_HOSTS else host

    @property
    def server(self) -> str:
        return host_and_port(self.webhook_url.reveal() if self.webhook_url else self.api_url)

    @property
    def server_keys(self) -> str:
        return "webhook_url in the config" if self.webhook_url else "api_url in the config"

    @property
    def advice(self) -> str:
        if not self.other_host:
            return ""
        return (
            f"the host of webhook_url, {self.other_host}, is not Slack's: each response with a "
            "status of 200 to 299 counts as a delivery, and the message's text is complete for "
            "receivers that show no blocks"
        )

    @property
    def places(self) -> frozenset[str]:
        target = self.webhook_url.reveal() if self.webhook_url else f"{self.api_url} {self.channel}"
        return frozenset() if self.is_direct else frozenset({target})

    @property
    def in_threads(self) -> bool:
        return self.token is not None and super().in_threads
