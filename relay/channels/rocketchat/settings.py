"""The settings of a Rocket.Chat channel."""

import re
from typing import Annotated

from relay.channels.base import ChannelSettings
from relay.config.secret import Secret
from relay.config.types import Ask, HttpUrl, ascii_address, host_and_port, secret_rule

# The id of the integration and its token; those of old servers have a user's name between them:
# apps/meteor/app/integrations/server/api/api.ts (github.com/RocketChat/Rocket.Chat).
_PATH_PATTERN = re.compile(r"(/hooks)(/[\w.%-]+){2,3}$", re.ASCII)
_RESERVED_NAMES = frozenset({"all", "here"})  # which ping everybody


def _webhook_url(address: str) -> None:
    rule = 'must be the URL of an incoming integration, "https://rocketchat.example.com/hooks/…/…"'
    parts = ascii_address(address)
    if parts is None:
        raise ValueError(f"{rule}, in ASCII without spaces")
    if not _PATH_PATTERN.search(parts.path) or parts.query or parts.fragment:
        raise ValueError(rule)


def username(value: str) -> str:
    """By default Rocket.Chat allows ASCII only: UTF8_User_Names_Validation in
    apps/meteor/server/settings/general.ts."""
    name = value.removeprefix("@")
    if not re.fullmatch(r"[\w.-]{1,100}", name) or name.lower() in _RESERVED_NAMES:
        raise ValueError('must be the username of a person in Rocket.Chat, such as "ada"')
    return name


class RocketChatSettings(ChannelSettings):
    """A webhook can neither reply nor edit, since Rocket.Chat does not return the message's id."""

    webhook_url: Annotated[
        Secret,
        secret_rule(_webhook_url),
        Ask("URL of the incoming integration", "https://rocketchat.example.com/hooks/…/…"),
    ]
    """Of an incoming integration."""
    username: str = ""
    """Name of the sender, if the integration's user may change it."""
    icon_url: HttpUrl = ""
    """Picture of the sender, likewise."""

    @property
    def info_url(self) -> str:
        """Which answers whether the integration exists, and posts nothing."""
        return _PATH_PATTERN.sub(
            lambda match: f"{match[1]}/info{match[0].removeprefix(match[1])}",
            self.webhook_url.reveal(),
        )

    @property
    def server(self) -> str:
        return host_and_port(self.webhook_url.reveal())

    @property
    def server_keys(self) -> str:
        return "webhook_url in the config"

    @property
    def places(self) -> frozenset[str]:
        return frozenset({self.webhook_url.reveal()})
