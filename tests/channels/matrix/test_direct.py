"""Mentions, direct rooms and pictures in Matrix, on a real Synapse."""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from relay.channels import open_channel
from relay.channels.base import Channel, MemoryKeyValueStore, Permanent, RetryLater
from relay.channels.matrix import media as matrix_media
from relay.channels.matrix.channel import MatrixChannel
from relay.channels.matrix.content import Image, render
from relay.channels.matrix.settings import MatrixSettings
from relay.config.secret import Secret
from relay.messages.message import Mention, Message, Picture
from tests.channels.builders import findings
from tests.penpot.paint import board
from tests.servers.loopback import Answer, in_thread
from tests.servers.synapse import Person, Synapse

pytestmark = pytest.mark.anyio

ADA, BOB = "28fbd360-8a3c-81b0-8004-6c1b90e4c571", "28fbd360-8a3c-81b0-8004-6c1bb2577f0e"
BODY = rf"[\@Ada](<penpot-profile:{ADA}>) and [\@Bob](<penpot-profile:{BOB}>), not \@Ada"
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


@pytest.fixture
def house(synapse: Synapse) -> House:
    return House(synapse)


def get(house: House, person: Person, path: str) -> httpx.Response:
    headers = {"authorization": f"Bearer {person.token}"}
    return httpx.get(f"{house.url}/_matrix/client/{path}", headers=headers)


async def test_only_mentioned_people_are_notified_and_shown_as_pills(house: House) -> None:
    message = Message("T", BODY, mentions=(house.mention(house.ada), Mention(BOB, "Bob")))
    async with house.channel() as channel:
        await channel.send(message, "1")

    [event] = house.bob.messages(house.room)
    content = event["content"]
    pill = f'<a href="https://matrix.to/#/{quote(house.ada.id, "@:")}">Ada</a>'
    assert content["m.mentions"] == {"user_ids": [house.ada.id]}
    assert content["formatted_body"] == f"<p>{pill} and @Bob, not @Ada</p>"
    assert content["body"] == "@Ada and @Bob, not @Ada"
    assert len(house.ada.pings()) == 1
    assert house.bob.pings() == []


async def test_a_mention_missing_in_the_text_gets_a_line(house: House) -> None:
    mention = house.mention(house.ada)
    plain = render(Message("T", "Text", mentions=(mention, Mention(BOB, "Bob"))))
    own = render(Message("T", "Text", override="<b>Own</b>", mentions=(mention,)))
    user = mention.address("matrix")
    named = render(Message("T", "Text", override=f"<b>{user}</b>", mentions=(mention,)))

    for content in (plain, own, named):
        assert content["m.mentions"] == {"user_ids": [user]}
    assert plain["formatted_body"].count("matrix.to") == 1
    assert plain["body"] == "Text\n\n@Ada"
    assert own["formatted_body"].startswith("<b>Own</b><p><a href=")
    assert named["formatted_body"] == f"<b>{user}</b>"


async def test_a_direct_room_is_created_once_and_marked(house: House) -> None:
    message = Message("T", BODY, to=house.mention(house.ada))
    async with house.channel(direct="mentioned") as channel:
        await channel.send(message, "1")
        await channel.send(message, "2")
    async with house.channel(direct="mentioned") as restarted:
        await restarted.send(message, "2")
    house.kv = MemoryKeyValueStore()
    async with house.channel(direct="mentioned") as without_notes:
        await without_notes.send(message, "3")

    invited = get(house, house.ada, "v3/sync").json()["rooms"]["invite"]
    ((room, invitation),) = invited.items()
    events = invitation["invite_state"]["events"]
    assert [event["content"].get("is_direct") for event in events
            if event.get("state_key") == house.ada.id] == [True]  # fmt: skip
    marked = get(house, house.bot, f"v3/user/{quote(house.bot.id)}/account_data/m.direct").json()
    assert marked == {house.ada.id: [room]}
    house.ada.join(room)
    assert len(house.ada.messages(room)) == 3
    assert house.bob.messages(house.room) == []


async def test_a_user_who_left_is_invited_again_and_a_lost_room_is_replaced(
    house: House,
) -> None:
    message = Message("T", BODY, to=house.mention(house.ada))
    async with house.channel(direct="mentioned") as channel:
        await channel.send(message, "1")
        (room,) = get(house, house.ada, "v3/sync").json()["rooms"]["invite"]
        house.ada.join(room)
        house.ada.call("POST", f"/_matrix/client/v3/rooms/{quote(room)}/leave", {})

        await channel.send(message, "2")
        assert list(get(house, house.ada, "v3/sync").json()["rooms"]["invite"]) == [room]

        house.bot.call("POST", f"/_matrix/client/v3/rooms/{quote(room)}/leave", {})
        await channel.send(message, "3")

    marked = get(house, house.bot, f"v3/user/{quote(house.bot.id)}/account_data/m.direct").json()
    first, second = marked[house.ada.id]
    assert first == room
    house.ada.join(second)
    assert len(house.ada.messages(second)) == 1


async def test_a_failed_invitation_creates_at_most_one_room(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    message = Message(
        "T", BODY, to=Mention(ADA, "Gone", addresses={"matrix": "@gone:nowhere.invalid"})
    )
    before = len(get(house, house.bot, "v3/joined_rooms").json()["joined_rooms"])
    async with house.channel(direct="mentioned") as channel:
        for number in range(3):
            with pytest.raises(RetryLater):
                await channel.send(message, str(number))

        assert isinstance(channel, MatrixChannel)
        call = channel._api.call

        async def refuses(verb: str, path: str, *more: Any) -> Any:
            if verb == "PUT" and "m.room.member" in path:
                raise RetryLater("M_INVITE_BLOCKED", "she takes no invitations")
            return await call(verb, path, *more)

        monkeypatch.setattr(channel._api, "call", refuses)
        with pytest.raises(Permanent, match="can't be invited: she takes no invitations") as caught:
            await channel.send(message, "4")
        assert caught.value.reason == "no_address"
    assert len(get(house, house.bot, "v3/joined_rooms").json()["joined_rooms"]) == before + 1


async def test_a_direct_message_needs_a_matrix_id(house: House) -> None:
    async with house.channel(direct="mentioned") as channel:
        with pytest.raises(Permanent, match="the Matrix id of Bob is not known") as caught:
            await channel.send(Message("T", BODY, to=Mention(BOB, "Bob", "bob@example.com")), "1")
    assert caught.value.reason == "no_address"
    assert "ok The access token is that of @relay" in await findings(
        house.settings(direct="mentioned")
    )


async def test_a_picture_is_uploaded_once_and_shown(house: House) -> None:
    message = Message("T", "Text", footer="Acme", file='"Landing" <page>')
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
            assert (await channel.send(Message("T", "x"), "1", None, PICTURE)).id == "$1"
        monkeypatch.setattr(matrix_media, "UPLOAD_TIMEOUT", 0)
        assert (await channel.send(Message("T", "x"), "1", None, PICTURE)).id == "$1"
        await channel.close()
    assert answers == []
    warnings = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert len(warnings) == 4
    assert house.bot.token not in caplog.text


def test_a_wide_picture_is_shown_smaller() -> None:
    content = render(Message("T", "x"), Image("mxc://a/b", "words", 2000, 1000))

    assert 'width="400" height="200"' in content["formatted_body"]
    assert content["body"] == "x"
