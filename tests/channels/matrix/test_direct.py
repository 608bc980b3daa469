"""Direct rooms in Matrix, on a real Synapse."""

from typing import Any
from urllib.parse import quote

import pytest

from relay.channels.base import MemoryKeyValueStore, NoAddress, Permanent, RetryLater
from relay.channels.matrix.channel import MatrixChannel
from relay.messages.message import Content, Mention, Message
from tests.channels.builders import findings
from tests.channels.matrix.house import ADA, BOB, BODY, House, get

pytestmark = pytest.mark.anyio


async def test_a_direct_room_is_created_once_and_marked(house: House) -> None:
    message = Message("T", Content(BODY), to=house.mention(house.ada))
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
    message = Message("T", Content(BODY), to=house.mention(house.ada))
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
        "T", Content(BODY), to=Mention(ADA, "Gone", addresses={"matrix": "@gone:nowhere.invalid"})
    )
    before = len(get(house, house.bot, "v3/joined_rooms").json()["joined_rooms"])
    async with house.channel(direct="mentioned") as channel:
        for number in range(3):
            with pytest.raises(RetryLater):
                await channel.send(message, str(number))

        assert isinstance(channel, MatrixChannel)
        call = channel._api.call

        async def refuses(verb: str, *path: str, **more: Any) -> Any:
            if verb == "PUT" and "m.room.member" in path:
                raise RetryLater("M_INVITE_BLOCKED", "she takes no invitations")
            return await call(verb, *path, **more)

        monkeypatch.setattr(channel._api, "call", refuses)
        with pytest.raises(Permanent, match="can't be invited: she takes no invitations") as caught:
            await channel.send(message, "4")
        assert caught.value.reason == "M_INVITE_BLOCKED"
    assert len(get(house, house.bot, "v3/joined_rooms").json()["joined_rooms"]) == before + 1


async def test_a_direct_message_needs_a_matrix_id(house: House) -> None:
    async with house.channel(direct="mentioned") as channel:
        with pytest.raises(NoAddress, match="the Matrix id of Bob is not known") as caught:
            await channel.send(
                Message("T", Content(BODY), to=Mention(BOB, "Bob", "bob@example.com")), "1"
            )
    assert caught.value.reason == "no_address"
    assert "ok The access token is that of @relay" in await findings(
        house.settings(direct="mentioned")
    )


async def test_a_replaced_direct_room_is_followed_or_replaced(house: House) -> None:
    message = Message("T", Content(BODY), to=house.mention(house.ada))
    async with house.channel(direct="mentioned") as channel:
        await channel.send(message, "1")
        (room,) = get(house, house.ada, "v3/sync").json()["rooms"]["invite"]
        house.ada.join(room)
        create = {"creation_content": {"predecessor": {"room_id": room, "event_id": "$last"}}}
        new = house.ada.create_room(invite=(house.bot.id,), **create)
        house.bot.set_state(room, "m.room.tombstone", {"body": "", "replacement_room": new})
        await channel.send(message, "2")
        assert [len(house.ada.messages(each)) for each in (room, new)] == [1, 1]

        closed = house.ada.create_room(**create)  # without an invitation
        house.bot.set_state(room, "m.room.tombstone", {"body": "", "replacement_room": closed})
        house.kv = MemoryKeyValueStore()
    async with house.channel(direct="mentioned") as restarted:
        await restarted.send(message, "3")
        await restarted.send(message, "4")
    marked = get(house, house.bot, f"v3/user/{quote(house.bot.id)}/account_data/m.direct").json()
    first, third = marked[house.ada.id]
    house.ada.join(third)
    assert first == room
    assert [len(house.ada.messages(each)) for each in (room, new, third)] == [1, 1, 2]
