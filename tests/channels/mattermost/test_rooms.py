"""The ids of Mattermost's channels."""

import pytest

from relay.channels import open_channel
from relay.channels.base import DeliveryError, MemoryKeyValueStore, Misconfigured, ReplyTo
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


async def test_a_channel_that_took_the_name_of_an_archived_one_gets_the_messages(at: Place) -> None:
    new = "newdesignnewdesignnewdesig"
    async with at.bot() as channel:
        receipt = await channel.send(message("before"), "1")
        at.server.is_archived = True
        thread = ReplyTo(receipt.id, receipt.id, "T")
        with pytest.raises(Misconfigured, match="the channel is archived"):
            await channel.send(message(), "2", thread)
        at.server.design = new
        at.server.members.add(new)
        await channel.send(message("after"), "3", thread)
        await channel.send(message("after"), "4")
    assert [post["channel_id"] for post in at.server.posts.values()] == [DESIGN, new, new]
    async with at.bot(channel=DESIGN) as channel:
        with pytest.raises(Misconfigured, match="the channel is archived"):
            await channel.send(message(), "4")


async def test_an_error_of_the_server_is_no_unknown_person(at: Place) -> None:
    async with at.bot(direct="mentioned") as channel:
        at.server.next += [Answer.of({"id": "me"}), Answer.of({"id": "some.app_error"}, 403)]
        with pytest.raises(DeliveryError) as refused:
            await channel.send(message(to=ADA), "1")
    assert refused.value.reason == "some.app_error"
