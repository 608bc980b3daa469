"""A Slack channel with people to mention and pictures to show."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from relay.channels import open_channel
from relay.channels.base import MemoryKeyValueStore, Receipt
from relay.channels.slack.settings import SlackSettings
from relay.config.secret import Secret
from relay.messages.message import Content, Mention, Message, Picture
from tests.penpot.paint import board
from tests.servers.fixtures import RunningSlack
from tests.servers.slack import TOKEN
from tests.servers.slack_rules import rich_inlines

ADA, BOB = "28fbd360-8a3c-81b0-8004-6c1b90e4c571", "28fbd360-8a3c-81b0-8004-6c1bb2577f0e"
BODY = rf"Hi [\@Ada](<penpot-profile:{ADA}>)[\@Bob](<penpot-profile:{BOB}>), not \@Ada"
BY_MAIL = Mention(ADA, "Ada", email="Ada@Example.com".lower())
BY_CONFIG = Mention(BOB, "Bob", email="bob@example.com", addresses={"slack": "U0BOB0000"})
PICTURE = Picture(board(), "image/png", 400, 300)


def bot(server: RunningSlack, **more: Any) -> SlackSettings:
    place = {} if "direct" in more else {"channel": "C0DESIGN0"}
    return SlackSettings(
        type="slack", name="a", token=Secret(TOKEN), api_url=server.api_url, **place, **more
    )


class Workplace:
    """A channel and its key-value store; ``again`` reopens it."""

    def __init__(self, server: RunningSlack, **more: Any) -> None:
        self.server = server.slack
        self.settings = bot(server, **more)
        self.kv = MemoryKeyValueStore()
        self.channel = open_channel(self.settings, self.kv)

    async def again(self) -> None:
        await self.channel.close()
        self.channel = open_channel(self.settings, self.kv)

    async def send(self, *mentions: Mention, **more: Any) -> Receipt:
        picture, thread = more.pop("picture_", None), more.pop("thread_", None)
        content = {key: more.pop(key) for key in ("body", "footer", "override") if key in more}
        message = Message("T", Content(**({"body": BODY} | content)), mentions=mentions, **more)
        return await self.channel.send(message, "key", thread, picture)

    @property
    def pinged(self) -> list[str]:
        inlines = rich_inlines(self.server.messages[-1]["blocks"])
        return [part["user_id"] for part in inlines if part["type"] == "user"]

    @property
    def words(self) -> str:
        inlines = rich_inlines(self.server.messages[-1]["blocks"])
        return "".join(part.get("text", f"<{part.get('user_id')}>") for part in inlines)


@asynccontextmanager
async def workplace(server: RunningSlack, **more: Any) -> AsyncIterator[Workplace]:
    place = Workplace(server, **more)
    try:
        yield place
    finally:
        await place.channel.close()
