"""A Mattermost channel at the stand-in."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any

from relay.channels.base import Channel
from relay.channels.mattermost.settings import MattermostSettings
from relay.config.secret import Secret
from relay.messages.message import Content, Mention, Message, Picture
from tests.channels.builders import opened
from tests.penpot.paint import board
from tests.servers.loopback import in_thread
from tests.servers.mattermost import TOKEN, WEBHOOK_PATH, Mattermost

ADA = Mention("28fbd360-8a3c-81b0-8004-6c1b90e4c571", "Ada", addresses={"mattermost": "ada"})
BOB = Mention("28fbd360-8a3c-81b0-8004-6c1bb2577f0e", "Bob")
BODY = rf"Hi [\@Ada](<penpot-profile:{ADA.id}>)[\@Bob](<penpot-profile:{BOB.id}>), not \@Ada"
PICTURE = Picture(board(), "image/png", 400, 300)


def bot(url: str, **more: Any) -> MattermostSettings:
    place = {} if "direct" in more else {"channel": "acme/design"}
    keys = {"url": url, "token": Secret(TOKEN), **place, **more}
    return MattermostSettings(type="mattermost", name="design", **keys)


def hook(url: str, **more: Any) -> MattermostSettings:
    address = Secret(url + WEBHOOK_PATH)
    return MattermostSettings(type="mattermost", name="hook", webhook_url=address, **more)


def message(body: str = BODY, *mentions: Mention, **more: Any) -> Message:
    return Message("T", Content(body, "Acme"), mentions=mentions, **more)


@dataclass
class Place:
    server: Mattermost
    url: str

    @asynccontextmanager
    async def bot(self, **more: Any) -> AsyncIterator[Channel]:
        async with opened(bot(self.url, **more)) as channel:
            yield channel

    @asynccontextmanager
    async def hook(self, **more: Any) -> AsyncIterator[Channel]:
        async with opened(hook(self.url, **more)) as channel:
            yield channel


@contextmanager
def place() -> Iterator[Place]:
    mattermost = Mattermost()
    with in_thread(mattermost.handle) as server:
        yield Place(mattermost, server.url)
