"""The settings of a Discord channel."""

import re
from collections.abc import Container
from typing import Annotated
from urllib.parse import parse_qsl, urlsplit

from relay.channels.base import ChannelSettings
from relay.config.secret import Secret
from relay.config.types import Ask, ascii_address, host_and_port, secret_rule

# Discord's clients copy addresses without a version; other ones are those of its API.
_PATH_PATTERN = re.compile(r"/api(?:/v\d+)?/webhooks/(\d{1,20})/([\w-]{1,200})")
_FORM = '"https://discord.com/api/webhooks/…/…"'
_COMPATIBLE = ("/slack", "/github")  # other formats, at the same address


def _webhook_url(address: str) -> None:
    parts = ascii_address(address)
    if parts is None:
        raise ValueError(f"must be the URL of a webhook, {_FORM}, in ASCII without spaces")
    if parts.path.endswith(_COMPATIBLE):
        raise ValueError(f'must end before "{parts.path[parts.path.rindex("/") :]}"')
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    if not _PATH_PATTERN.fullmatch(parts.path) or parts.fragment:
        raise ValueError(f"must be the URL of a webhook, {_FORM}")
    if query.keys() - {"thread_id"} or not re.fullmatch(r"\d*", query.get("thread_id", "")):
        raise ValueError('may have "?thread_id=" with the id of a thread, and no other query')


def user_id(value: str) -> str:
    if not re.fullmatch(r"\d{15,20}", value):
        raise ValueError(
            'must be the id of a Discord user such as "80351110224678912" (developer mode, Copy '
            "User ID)"
        )
    return value


class DiscordSettings(ChannelSettings):
    """A webhook starts no threads and writes no direct messages, but edits what it has posted."""

    webhook_url: Annotated[
        Secret,
        secret_rule(_webhook_url),
        Ask("URL of the webhook", "the channel's settings, Integrations"),
    ]
    """From the channel's settings, Integrations; with ?thread_id=… for a thread."""
    thumbnails: bool = False
    """Whether messages show the board or file; needs penpot.access_token."""

    @classmethod
    def edits_in_place(cls, keys: Container[str]) -> bool:
        return True

    @property
    def api_url(self) -> str:
        """The webhook's address in version 10 of the API, without its query."""
        parts = urlsplit(self.webhook_url.reveal())
        match = _PATH_PATTERN.fullmatch(parts.path)
        path = "/".join(match.groups()) if match else ""
        return f"{parts.scheme}://{parts.netloc}/api/v10/webhooks/{path}"

    @property
    def thread_id(self) -> str:
        """The thread that gets the messages; empty for the channel itself."""
        return dict(parse_qsl(urlsplit(self.webhook_url.reveal()).query)).get("thread_id", "")

    @property
    def server(self) -> str:
        return host_and_port(self.webhook_url.reveal())

    @property
    def server_keys(self) -> str:
        return "webhook_url in the config"

    @property
    def places(self) -> frozenset[str]:
        return frozenset({f"{self.api_url} {self.thread_id}"})
