"""Calls of the client-server API."""

import logging

import pytest

from relay.channels import open_channel, pictures
from relay.channels.base import Channel, Misconfigured, RetryLater
from relay.messages.message import Content, Message
from tests.channels.builders import MESSAGE, delivery_error, findings, opened
from tests.channels.builders import matrix as settings_of
from tests.channels.matrix.house import PICTURE, House, get
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
        f"{v3}/rooms/%21r%2F..%2Fx%3Fy%3Arelay.test/state/m.room.tombstone/",
        f"{v3}/rooms/%21r%2F..%2Fx%3Fy%3Arelay.test/send/m.room.message/relay.a%2F..%2Fb",
    ]


# Pictures


async def test_a_picture_is_uploaded_once_and_shown(house: House) -> None:
    message = Message("T", Content("Text", footer="Acme"), file='"Landing" <page>')
    for key in ("1", "2"):
        async with house.channel() as channel:
            await channel.send(message, key, None, PICTURE)

    first, second = [event["content"]["formatted_body"] for event in house.ada.messages(house.room)]
    assert first == second
    assert ' alt="&quot;Landing&quot; &lt;page&gt;" width="400" height="300">' in first
    assert first.endswith("<p><sub>Acme</sub></p>")
    uri = first.partition('src="mxc://')[2].partition('"')[0]
    assert get(house, house.ada, f"v1/media/download/{uri}").content == PICTURE.content


async def test_a_message_is_sent_without_a_picture_that_fails(
    house: House, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = house.settings()
    answers = [Answer.of({"errcode": "M_TOO_LARGE"}, 413), Answer.of({}), Answer(cut=True)]

    def answer(request: object) -> Answer:
        if "/media/" in getattr(request, "path", ""):
            return answers.pop(0)
        return Answer.of({"event_id": "$1"})

    with in_thread(answer) as server:
        there = settings.model_copy(update={"homeserver": server.url})
        channel = open_channel(there, house.kv)
        for _ in range(3):
            assert (await channel.send(Message("T", Content("x")), "1", None, PICTURE)).id == "$1"
        monkeypatch.setattr(pictures, "UPLOAD_TIMEOUT", 0)
        assert (await channel.send(Message("T", Content("x")), "1", None, PICTURE)).id == "$1"
        await channel.close()
    assert answers == []
    warnings = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert len(warnings) == 4
    assert house.bot.token not in caplog.text
