"""Pictures in Matrix."""

import logging

import pytest

from relay.channels import open_channel
from relay.channels.matrix import media as matrix_media
from relay.messages.message import Content, Message
from tests.channels.matrix.house import PICTURE, House, get
from tests.servers.loopback import Answer, in_thread

pytestmark = pytest.mark.anyio


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
        monkeypatch.setattr(matrix_media, "UPLOAD_TIMEOUT", 0)
        assert (await channel.send(Message("T", Content("x")), "1", None, PICTURE)).id == "$1"
        await channel.close()
    assert answers == []
    warnings = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert len(warnings) == 4
    assert house.bot.token not in caplog.text
