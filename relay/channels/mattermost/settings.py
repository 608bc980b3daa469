"""The settings of a Mattermost channel."""

import re
from collections.abc import Container, Iterator, Mapping
from typing import Annotated, Any

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

_BOT = "a bot: threads, edits, pictures and direct messages"
_WEBHOOK = "an incoming webhook: messages in one channel"

# Why a key does not work with a webhook, with a token, or with direct messages.
_ONE_CHANNEL = "needs a token: an incoming webhook only posts to its channel"
_NOT_BY_WEBHOOK = {
    "url": "goes together with token: webhook_url has the address",
    "channel": "needs a token: an incoming webhook has a fixed channel",
    "direct": _ONE_CHANNEL,
    "thumbnails": _ONE_CHANNEL,
}
_NOT_BY_TOKEN = {
    "username": "needs webhook_url: a bot has a name of its own",
    "icon_url": "needs webhook_url: a bot has a picture of its own",
}
_ID_PATTERN = re.compile(r"[a-z0-9]{26}")
_RESERVED_NAMES = frozenset({"all", "channel", "here"})  # which ping everybody


def _webhook_url(address: str) -> None:
    rule = 'must be the URL of an incoming webhook, "https://mattermost.example.com/hooks/…"'
    parts = ascii_address(address)
    if parts is None:
        raise ValueError(f"{rule}, in ASCII without spaces")
    if not re.search(r"/hooks/[A-Za-z0-9]+$", parts.path) or parts.query or parts.fragment:
        raise ValueError(rule)


def username(value: str) -> str:
    """https://docs.mattermost.com/collaborate/channel-header-purpose.html, model.IsValidUsername"""
    name = value.removeprefix("@")
    if not re.fullmatch(r"[a-z][a-z0-9._-]{0,63}", name) or name in _RESERVED_NAMES:
        raise ValueError('must be the username of a person in Mattermost, such as "ada"')
    return name


class MattermostSettings(ChatSettings):
    """A webhook can neither reply nor edit, since Mattermost does not return the post's id."""

    webhook_url: Annotated[
        Annotated[Secret, secret_rule(_webhook_url)] | None,
        Ask("URL of the incoming webhook", "https://mattermost.example.com/hooks/…", _WEBHOOK),
    ] = None
    """Of an incoming webhook; or url, token and channel of a bot."""
    url: Annotated[
        HttpUrl, Ask("Address of the server", "https://mattermost.example.com", _BOT)
    ] = ""
    """Address of the server, for a bot."""
    token: Annotated[Token | None, Ask("Token of the bot", "Integrations, Bot Accounts", _BOT)] = (
        None
    )
    """The bot's."""
    channel: Annotated[
        str,
        matching(
            r"[a-z0-9]{26}|[a-z0-9-]+/[a-z0-9._-]+",
            'must be "team/channel", as in the address of the channel, or the channel\'s id',
        ),
        Ask("Channel", "as in its address, team/channel; add the bot there", _BOT),
    ] = ""
    """As in its address, "team/channel", or its id."""
    username: str = ""
    """Name of the sender, if the server allows it; webhook only."""
    icon_url: HttpUrl = ""
    """Picture of the sender, if the server allows it; webhook only."""
    thumbnails: bool = False
    """Whether messages show the board or file; needs penpot.access_token."""

    @classmethod
    def rules(cls, raw: Mapping[str, Any]) -> Iterator[Rule]:
        yield from super().rules(raw)
        excluded: Mapping[str, str] = {}
        if "token" in raw and "webhook_url" in raw:
            yield ("webhook_url",), None, "only one of token and webhook_url is allowed"
        elif "webhook_url" in raw:
            excluded = _NOT_BY_WEBHOOK
        elif "token" not in raw:
            yield ("webhook_url",), None, "one of webhook_url and token is required"
        else:
            excluded = _NOT_BY_TOKEN
            if "url" not in raw:
                yield ("url",), None, "is required with token: the server's address"
            if raw.get("direct") and "channel" in raw:
                rule = "does not work with direct: each person gets a direct message"
                yield ("channel",), raw["channel"], rule
            if not raw.get("direct") and "channel" not in raw:
                yield ("channel",), None, 'is required with token: "team/channel" or an id'
        yield from excluded_keys(raw, excluded)

    @classmethod
    def edits_in_place(cls, keys: Container[str]) -> bool:
        return "token" in keys

    @property
    def in_threads(self) -> bool:
        return self.token is not None and super().in_threads

    @property
    def has_channel_id(self) -> bool:
        return _ID_PATTERN.fullmatch(self.channel) is not None

    @property
    def server(self) -> str:
        return host_and_port(self.webhook_url.reveal() if self.webhook_url else self.url)

    @property
    def server_keys(self) -> str:
        return "webhook_url in the config" if self.webhook_url else "url in the config"

    @property
    def places(self) -> frozenset[str]:
        target = self.webhook_url.reveal() if self.webhook_url else f"{self.url} {self.channel}"
        return frozenset() if self.is_direct else frozenset({target})
