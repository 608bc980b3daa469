"""Calls of the client-server API."""

import pytest

from relay.channels.base import Channel, Misconfigured, RetryLater
from tests.channels.builders import MESSAGE, delivery_error, findings, opened
from tests.channels.builders import matrix as settings_of
from tests.channels.matrix.rooms import Room
from tests.servers.loopback import Answer, Request, in_thread

pytestmark = pytest.mark.anyio


async def test_an_invalid_token_is_retried(room: Room) -> None:
    room.bot.logout()
    error = await delivery_error(room.settings())
    assert (type(error), error.reason) == (Misconfigured, "M_UNKNOWN_TOKEN")
    assert "no Matrix: the access token is not valid" in await findings(room.settings())


async def flood(channel: Channel) -> None:
    for number in range(10):
        await channel.send(MESSAGE, f"delivery-{number}")


async def test_a_rate_limit_has_a_delay(room: Room) -> None:
    room.synapse.limit(room.bot, per_second=1, burst=3)
    async with opened(room.settings()) as channel:
        with pytest.raises(RetryLater) as caught:
            await flood(channel)
    assert caught.value.reason == "M_LIMIT_EXCEEDED"
    assert caught.value.retry_after is not None
    assert 0 < caught.value.retry_after <= 10


async def test_a_name_is_quoted_in_the_path() -> None:
    seen: list[str] = []

    def answer(request: Request) -> Answer:
        seen.append(request.path)
        return Answer.of({"event_id": "$1", "room_id": "!r/../x?y:relay.test"})

    with in_thread(answer) as server:
        async with opened(settings_of(server.url, "#a/../b?c%2f:relay.test")) as channel:
            await channel.send(MESSAGE, "a/../b")
    v3 = "/_matrix/client/v3"
    assert seen == [
        f"{v3}/directory/room/%23a%2F..%2Fb%3Fc%252f%3Arelay.test",
        f"{v3}/rooms/%21r%2F..%2Fx%3Fy%3Arelay.test/send/m.room.message/relay.a%2F..%2Fb",
    ]
