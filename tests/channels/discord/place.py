"""A Discord channel at the stand-in."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any

from relay.channels.base import Channel
from relay.channels.discord.settings import DiscordSettings
from relay.config.secret import Secret
from relay.messages.message import Content, Mention, Message, Picture
from tests.channels.builders import opened
from tests.penpot.paint import board
from tests.servers.discord import WEBHOOK_PATH, Discord
from tests.servers.loopback import in_thread

ADA = Mention(
    "28fbd360-8a3c-81b0-8004-6c1b90e4c571", "Ada", addresses={"discord": "80351110224678912"}
)
BOB = Mention("28fbd360-8a3c-81b0-8004-6c1bb2577f0e", "Bob")
BODY = rf"Hi [\@Ada](<penpot-profile:{ADA.id}>)[\@Bob](<penpot-profile:{BOB.id}>), not \@Ada"
PICTURE = Picture(board(), "image/png", 400, 300)


def hook(url: str, query: str = "", **more: Any) -> DiscordSettings:
    return DiscordSettings(
        type="discord", name="team", webhook_url=Secret(url + WEBHOOK_PATH + query), **more
    )


def message(body: str = BODY, *mentions: Mention, **more: Any) -> Message:
    return Message("T", Content(body, "Acme"), mentions=mentions, **more)


@dataclass
class Place:
    discord: Discord
    url: str

    @asynccontextmanager
    async def channel(self, query: str = "", **more: Any) -> AsyncIterator[Channel]:
        async with opened(hook(self.url, query, **more)) as channel:
            yield channel

    @property
    def text(self) -> str:
        """Of the last message's embed."""
        return str(next(reversed(self.discord.shown.values()))["embeds"][0]["description"])


@contextmanager
def place() -> Iterator[Place]:
    discord = Discord()
    with in_thread(discord.handle) as server:
        yield Place(discord, server.url)
