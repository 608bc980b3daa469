"""Edited and removed messages in Matrix, read by another user of a real Synapse."""

import asyncio
from dataclasses import replace

import pytest

from relay.channels.base import (
    EditableChannel,
    MessageNotFound,
    Misconfigured,
    ReplyTo,
    RetryLater,
)
from relay.channels.matrix.settings import MatrixSettings
from relay.messages.message import Change, Mention, Message
from tests.channels.builders import MESSAGE, findings, opened
from tests.channels.builders import matrix as settings_of
from tests.servers.loopback import Answer, Request, in_thread
from tests.servers.synapse import Synapse

pytestmark = pytest.mark.anyio

LATER = replace(MESSAGE, body="**Ada** says something else", footer="")
DELETED = replace(MESSAGE, body="A comment was deleted", footer="", change=Change(removes=True))


class Room:
    """Ada's room, and the bot that Relay posts as."""

    def __init__(self, synapse: Synapse) -> None:
        self.ada, self.bot = synapse.register("ada"), synapse.register("relay")
        self.id = self.ada.create_room(invite=(self.bot.id,))
        self.settings: MatrixSettings = settings_of(synapse.url, self.id, self.bot.token)

    async def send(self, message: Message = MESSAGE, thread: ReplyTo | None = None) -> str:
        async with opened(self.settings) as channel:
            return (await channel.send(message, f"send {message.body} {thread}", thread)).id

    async def update(self, receipt: str, message: Message = LATER, key: str = "update") -> None:
        async with opened(self.settings) as channel:
            assert isinstance(channel, EditableChannel)
            await channel.update(receipt, message, key)

    async def remove(self, receipt: str, message: Message = DELETED) -> None:
        async with opened(self.settings) as channel:
            assert isinstance(channel, EditableChannel)
            await channel.remove(receipt, message, "remove")

    def sees(self) -> list[str]:
        return list(self.ada.sees(self.id).values())

    def everything(self) -> str:
        return str(self.ada.messages(self.id))


@pytest.fixture
def room(synapse: Synapse) -> Room:
    return Room(synapse)


async def test_another_member_sees_the_edited_message(room: Room) -> None:
    receipt = await room.send()

    await room.update(receipt)
    await room.update(receipt)  # the same once more, as after a crash

    assert room.sees() == ["Ada says something else"]
    first, edit = room.ada.messages(room.id)
    assert edit["content"]["body"] == "* Ada says something else"
    new = edit["content"]["m.new_content"]
    assert new["formatted_body"] == "<p><strong>Ada</strong> says something else</p>"
    assert first["event_id"] == receipt


async def test_the_last_of_several_quick_edits_is_shown(room: Room) -> None:
    receipt = await room.send()

    for number in range(5):
        text = replace(LATER, body=f"Version {number}")
        await room.update(receipt, text, f"key {number}")

    assert room.sees() == ["Version 4"]


async def test_an_edited_reply_stays_in_its_thread(room: Room) -> None:
    root = await room.send()
    reply = await room.send(replace(MESSAGE, body="Reply"), ReplyTo(root, root, "T"))

    await room.update(reply)

    contents = {event["event_id"]: event["content"] for event in room.ada.messages(room.id)}
    assert contents[reply]["m.relates_to"]["event_id"] == root
    assert room.sees()[1] == "Ada says something else"


async def test_an_edit_notifies_only_new_mentions(room: Room, synapse: Synapse) -> None:
    bob = synapse.register("bob")
    room.ada.invite(room.id, bob.id)
    bob.join(room.id)
    people = (
        Mention("a", "Ada", addresses={"matrix": room.ada.id}),
        Mention("b", "Bob", addresses={"matrix": bob.id}),
    )
    receipt = await room.send(replace(MESSAGE, mentions=people[:1]))
    assert len(room.ada.pings()) == 1

    await room.update(receipt, replace(LATER, mentions=people, change=Change(new_mentions=("b",))))

    assert (len(room.ada.pings()), len(bob.pings())) == (1, 1)
    content = room.ada.messages(room.id)[-1]["content"]
    assert content["m.mentions"] == {"user_ids": [bob.id]}
    assert content["m.new_content"]["m.mentions"] == {"user_ids": [room.ada.id, bob.id]}


async def test_remove_redacts_the_message_and_its_edits(room: Room) -> None:
    receipt = await room.send()
    await room.update(receipt)

    await room.remove(receipt)
    await room.remove(receipt)

    assert set(room.sees()) == {""}
    assert "something else" not in room.everything()
    assert "too" not in room.everything()


async def test_remove_edits_the_first_message_of_a_thread_with_replies(room: Room) -> None:
    root = await room.send()
    await room.send(replace(MESSAGE, body="Reply"), ReplyTo(root, root, "T"))

    await room.remove(root)

    assert room.sees()[0] == "A comment was deleted"
    assert room.sees()[1].startswith("Reply")


async def test_remove_redacts_a_whole_thread(room: Room) -> None:
    root = await room.send()
    reply = await room.send(replace(MESSAGE, body="Reply"), ReplyTo(root, root, "T"))
    whole = replace(DELETED, change=Change(removes=True, whole_thread=True))

    await room.remove(reply, whole)
    await room.remove(root, whole)

    assert room.sees() == ["", ""]


async def test_a_bot_that_may_not_redact_edits_the_message(room: Room) -> None:
    receipt = await room.send()
    levels = {"events_default": 0, "events": {"m.room.redaction": 50}, "users": {}}
    room.ada.set_state(room.id, "m.room.power_levels", levels)

    await room.remove(receipt)

    assert room.sees() == ["A comment was deleted"]
    text = await findings(room.settings)
    assert f"ok {room.bot.id} can post" in text
    assert "may not remove its messages" in text
    assert "power level 50" in text
    silent = room.settings.model_copy(update={"edits": "none"})
    assert "remove" not in await findings(silent)


async def test_an_unknown_message_raises_message_not_found(room: Room) -> None:
    await room.send()
    nowhere = "$" + "x" * 43

    for act in (room.update, room.remove):
        with pytest.raises(MessageNotFound):
            await act(nowhere)


async def test_an_edit_in_a_room_without_the_bot_waits_for_an_invitation(room: Room) -> None:
    receipt = await room.send()
    room.ada.kick(room.id, room.bot.id)

    for act in (room.update, room.remove):
        with pytest.raises(Misconfigured) as error:
            await act(receipt)
        assert error.value.reason == "M_FORBIDDEN"
    room.ada.invite(room.id, room.bot.id)
    await asyncio.sleep(0)
    await room.update(receipt)
    assert room.sees()[0] == "Ada says something else"


async def test_an_edit_reports_the_delay_of_a_rate_limit() -> None:
    slow = Answer.of({"errcode": "M_LIMIT_EXCEEDED", "retry_after_ms": 2500}, 429)
    with in_thread(lambda _: slow) as server:
        async with opened(settings_of(server.url)) as channel:
            assert isinstance(channel, EditableChannel)
            for act in (channel.update, channel.remove):
                with pytest.raises(RetryLater) as error:
                    await act("$event", LATER, "k")
                assert error.value.retry_after == 2.5


async def test_a_homeserver_without_relations_gets_an_edit() -> None:
    unknown = Answer.of({"errcode": "M_UNRECOGNIZED", "error": "Unrecognized request"}, 404)
    written: list[str] = []

    def answer(request: Request) -> Answer:
        if "/relations/" in request.path:
            return unknown
        written.append(request.path)
        return Answer.of({"event_id": "$changed"})

    with in_thread(answer) as server:
        async with opened(settings_of(server.url)) as channel:
            assert isinstance(channel, EditableChannel)
            await channel.remove("$event", DELETED, "k")
    assert ["/send/m.room.message/" in path for path in written] == [True]
