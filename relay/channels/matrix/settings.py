"""The settings of a Matrix room."""

import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import AfterValidator, BeforeValidator

from relay.channels.base import ChatSettings
from relay.config.types import (
    Ask,
    Rule,
    Token,
    host_and_port,
    http_url,
    matching,
    web_address,
)

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


def _is_thumbnails(value: object) -> object:
    if not isinstance(value, bool) and value != "image":
        raise ValueError('must be true, false or "image"')
    return value


Thumbnails: TypeAlias = Annotated[bool | Literal["image"], BeforeValidator(_is_thumbnails)]


class MatrixSettings(ChatSettings):
    homeserver: Annotated[
        str,
        AfterValidator(_homeserver),
        Ask("Homeserver of the bot", "https://matrix.example.org, or its name example.org"),
    ]
    """Address or name of the bot's server."""
    access_token: Annotated[Token, Ask("Access token of the bot", "of its login, such as syt_…")]
    """The bot's."""
    room: Annotated[
        RoomId, Ask("Room", "!abc:example.org or #design:example.org; invite the bot")
    ] = ""
    """Id, or alias such as "#design:example.org"."""
    msgtype: Literal["auto", "text", "notice"] = "auto"
    """What notifies: "auto" (comments, alerts, pings), "text" (all) or "notice" (nothing)."""
    thumbnails: Thumbnails = False
    """Whether messages show the board or file, "image" for phones; needs penpot.access_token."""

    @classmethod
    def rules(cls, raw: Mapping[str, Any]) -> Iterator[Rule]:
        yield from super().rules(raw)
        if raw.get("thumbnails") == "image" and raw.get("msgtype") == "notice":
            rule = 'does not work with msgtype = "notice": an image of its own notifies'
            yield ("thumbnails",), "image", rule
        if raw.get("direct"):
            if "room" in raw:
                rule = "does not work with direct: each person gets a room"
                yield ("room",), raw["room"], rule
        elif "room" not in raw:
            yield ("room",), None, 'is required: "!id:server" or "#alias:server"'

    @property
    def server(self) -> str:
        name = is_server_name(self.homeserver)
        return self.homeserver if name else host_and_port(self.homeserver)

    @property
    def server_keys(self) -> str:
        return "homeserver in the config"

    @property
    def places(self) -> frozenset[str]:
        return frozenset() if self.is_direct else frozenset({f"{self.homeserver} {self.room}"})

    def shows_image(self, msgtype: str) -> bool:
        """Whether the picture is posted below the text. It would notify, as a text does, so that
        an ``m.notice`` has it in its HTML."""
        return self.thumbnails == "image" and msgtype == "m.text"

    @property
    def advice(self) -> str:
        if self.msgtype != "notice":
            return ""
        return 'msgtype = "notice": clients notify nobody, not even the people mentioned'
