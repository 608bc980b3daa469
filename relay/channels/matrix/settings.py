"""The settings of a Matrix room."""

import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any

from pydantic import AfterValidator

from relay.channels.base import ChatSettings
from relay.config.types import Rule, Token, http_url, matching, web_address

RoomId = Annotated[
    str,
    matching(
        r"[!#][^\s:]+:[^\s]+|![^\s:]+",
        'must be a room\'s id such as "!abc:example.org" or "#alias:example.org"',
    ),
]


_SERVER_NAME_PATTERN = re.compile(r"(?:[A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(?::\d{1,5})?")


def is_server_name(homeserver: str) -> bool:
    """Whether it is a host with an optional port, instead of a web address:
    https://spec.matrix.org/latest/appendices/#server-name"""
    return "://" not in homeserver


def _homeserver(value: str) -> str:
    if "/_matrix" in value:
        raise ValueError('must end before "/_matrix", such as "https://matrix.example.org"')
    if _SERVER_NAME_PATTERN.fullmatch(value) and web_address(f"https://{value}"):
        return value
    if web_address(value) is None:
        raise ValueError(
            'must be a web address such as "https://matrix.example.org", or a server name such as '
            '"example.org"'
        )
    return http_url(value)


def user_id(value: str) -> str:
    if not re.fullmatch(r"@[^\s:]+:[^\s]+", value):
        raise ValueError('must be a Matrix id such as "@ada:example.org"')
    return value


class MatrixSettings(ChatSettings):
    homeserver: Annotated[str, AfterValidator(_homeserver)]
    """Address or name of the bot's server."""
    access_token: Token
    """The bot's."""
    room: RoomId = ""
    """Id, or alias such as "#design:example.org"."""

    @classmethod
    def rules(cls, raw: Mapping[str, Any]) -> Iterator[Rule]:
        yield from super().rules(raw)
        if raw.get("direct"):
            if "room" in raw:
                rule = "does not work with direct: each person gets a room"
                yield ("room",), raw["room"], rule
        elif "room" not in raw:
            yield ("room",), None, 'is required: "!id:server" or "#alias:server"'

    @property
    def places(self) -> frozenset[str]:
        return frozenset() if self.is_direct else frozenset({f"{self.homeserver} {self.room}"})
