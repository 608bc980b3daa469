"""The ids of Mattermost's channels."""

import pytest

from relay.channels import open_channel
from relay.channels.base import DeliveryError, MemoryKeyValueStore
from tests.channels.mattermost.place import ADA, Place, bot, message
from tests.servers.loopback import Answer
from tests.servers.mattermost import DESIGN

pytestmark = pytest.mark.anyio


async def test_a_channels_id_is_looked_up_once_and_kept(at: Place) -> None:
    kv = MemoryKeyValueStore()
    for _ in range(2):
        channel = open_channel(bot(at.url), kv)
        await channel.send(message(), "1")
        await channel.send(message(), "2")
        await channel.close()
    lookups = [request.path for request in at.server.requests if "/name/" in request.path]
    assert lookups == ["/api/v4/teams/name/acme/channels/name/design"]
    assert len(at.server.posts) == 4


async def test_an_id_is_not_looked_up(at: Place) -> None:
    async with at.bot(channel=DESIGN) as channel:
        await channel.send(message(), "1")
    assert [request.path for request in at.server.requests] == ["/api/v4/posts"]


async def test_an_error_of_the_server_is_no_unknown_person(at: Place) -> None:
    async with at.bot(direct="mentioned") as channel:
        at.server.next += [Answer.of({"id": "me"}), Answer.of({"id": "some.app_error"}, 403)]
        with pytest.raises(DeliveryError) as refused:
            await channel.send(message(to=ADA), "1")
    assert refused.value.reason == "some.app_error"
