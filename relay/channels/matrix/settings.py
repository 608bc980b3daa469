"""The settings of a Matrix room."""

import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any

from relay.channels.base import ChatSettings
from relay.config.types import HttpUrl, Rule, Token, matching

RoomId = Annotated[
    str,
    matching(
        r"[!#][^\s:]+:[^\s]+|![^\s:]+",
        'must be a room\'s id such as "!abc:example.org" or "#alias:example.org"',
    ),
]


def user_id(value: str) -> str:
    if not re.fullmatch(r"@[^\s:]+:[^\s]+", value):
        raise ValueError('must be a Matrix id such as "@ada:example.org"')
    return value


class MatrixSettings(ChatSettings):
    homeserver: HttpUrl
    """Address of the bot's server."""
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
