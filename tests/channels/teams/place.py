"""A channel of Microsoft Teams at the stand-in."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any

from relay.channels.base import Channel
from relay.channels.teams.settings import TeamsSettings
from relay.config.secret import Secret
from relay.messages.message import Content, Mention, Message
from tests.channels.builders import opened
from tests.servers.loopback import in_thread
from tests.servers.teams import WEBHOOK_PATH, Teams

ADA = Mention("28fbd360-8a3c-81b0-8004-6c1b90e4c571", "Ada", addresses={"teams": "ada@example.com"})
BOB = Mention("28fbd360-8a3c-81b0-8004-6c1bb2577f0e", "Bob")
BODY = rf"Hi [\@Ada](<penpot-profile:{ADA.id}>)[\@Bob](<penpot-profile:{BOB.id}>), not \@Ada"


def hook(url: str, **more: Any) -> TeamsSettings:
    return TeamsSettings(type="teams", name="team", webhook_url=Secret(url + WEBHOOK_PATH), **more)


def message(body: str = BODY, *mentions: Mention, **more: Any) -> Message:
    return Message("T", Content(body, "Acme"), mentions=mentions, **more)


@dataclass
class Place:
    teams: Teams
    url: str

    @asynccontextmanager
    async def channel(self, **more: Any) -> AsyncIterator[Channel]:
        async with opened(hook(self.url, **more)) as channel:
            yield channel


@contextmanager
def place() -> Iterator[Place]:
    teams = Teams()
    with in_thread(teams.handle) as server:
        yield Place(teams, server.url)
