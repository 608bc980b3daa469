"""Ada, Bob and a bot on the homeserver."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import httpx

from relay.channels import open_channel
from relay.channels.base import Channel, MemoryKeyValueStore
from relay.channels.matrix.settings import MatrixSettings
from relay.config.secret import Secret
from relay.messages.message import Mention, Picture
from tests.channels import builders
from tests.penpot.paint import board
from tests.servers.synapse import Person, Synapse

ADA, BOB = "28fbd360-8a3c-81b0-8004-6c1b90e4c571", "28fbd360-8a3c-81b0-8004-6c1bb2577f0e"
BODY = rf"[\@Ada](<penpot-profile:{ADA}>) and [\@Bob](<penpot-profile:{BOB}>), not \@Ada"
MESSAGE = replace(
    builders.MESSAGE,
    notice="Ada Lovelace on Landing page: The button is too small. <!channel> please",
    team_name="Acme",
    project="Website",
    file="Landing page",
)
PICTURE = Picture(board(), "image/png", 400, 300)


class House:
    """Ada, Bob and a bot in a room on the homeserver."""

    def __init__(self, synapse: Synapse) -> None:
        self.ada, self.bob = synapse.register("ada"), synapse.register("bob")
        self.bot = synapse.register("relay")
        self.room = self.ada.create_room()
        for person in (self.bob, self.bot):
            self.ada.invite(self.room, person.id)
            person.join(self.room)
        self.url = synapse.url
        self.kv = MemoryKeyValueStore()

    def settings(self, **more: str) -> MatrixSettings:
        place = more or {"room": self.room}
        return MatrixSettings(
            type="matrix",
            name="a",
            homeserver=self.url,
            access_token=Secret(self.bot.token),
            **place,  # type: ignore[arg-type]
        )

    @asynccontextmanager
    async def channel(self, **more: str) -> AsyncIterator[Channel]:
        channel = open_channel(self.settings(**more), self.kv)
        try:
            yield channel
        finally:
            await channel.close()

    def mention(self, person: Person, profile: str = ADA) -> Mention:
        return Mention(profile, "Ada", addresses={"matrix": person.id})


def get(house: House, person: Person, path: str) -> httpx.Response:
    headers = {"authorization": f"Bearer {person.token}"}
    return httpx.get(f"{house.url}/_matrix/client/{path}", headers=headers)
