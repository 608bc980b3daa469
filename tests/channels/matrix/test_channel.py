"""Messages and edits in Matrix, with a real Synapse."""

import asyncio
import secrets
from dataclasses import replace

import pytest

from relay.channels.base import (
    EditableChannel,
    MessageNotFound,
    Misconfigured,
    NotEditable,
    Permanent,
    ReplyTo,
    RetryLater,
    ThreadNotFound,
)
from relay.channels.matrix.settings import MatrixSettings
from relay.messages.message import Change, Content, Mention, Message
from tests.channels.builders import delivery_error, findings, opened
from tests.channels.builders import matrix as settings_of
from tests.channels.matrix.house import MESSAGE, PICTURE
from tests.channels.matrix.rooms import Room
from tests.servers.loopback import Answer, Request, in_thread
from tests.servers.synapse import Synapse

pytestmark = pytest.mark.anyio


async def test_another_member_reads_the_message_without_a_notification(room: Room) -> None:
    ada = room.ada.id
    message = replace(
        MESSAGE,
        full=replace(MESSAGE.full, body=f"**Bot** says {ada} and @room\n\n{MESSAGE.full.body}"),
    )
    async with opened(room.settings()) as channel:
        receipt = await channel.send(message, "delivery-1")
    [event] = room.ada.messages(room.id)
    assert event["event_id"] == receipt.id
    assert event["sender"] == room.bot.id
    assert event["content"] == {
        "msgtype": "m.text",
        "m.mentions": {},
        "body": "Ada Lovelace on Landing page: The button is too small. <!channel> please\n\n"
        f"Bot says {ada} and @room\n\n"
        "Ada Lovelace commented on Landing page\n\n"
        "> The button is too small.\n> <!channel> please\n\n"
        "Acme › Website › Landing page\nhttps://penpot.example/#/view?a=1&b=2",
        "format": "org.matrix.custom.html",
        "formatted_body": f"<p><strong>Bot</strong> says {ada} and @room</p>"
        "<p><strong>Ada Lovelace</strong> commented on "
        '<a href="https://penpot.example/#/view?a=1&amp;b=2">Landing page</a></p>'
        "<blockquote><p>The button is <em>too</em> small.<br>&lt;!channel&gt; please</p>"
        "</blockquote>"
        "<p><sub>Website · Acme · "
        '<a href="https://penpot.example/#/view?a=1&amp;b=2">Open in Penpot</a></sub></p>',
    }
    assert room.ada.pings() == []


async def test_the_same_delivery_sent_again_is_one_message(room: Room) -> None:
    key = f"team/{secrets.token_hex(4)}/ü?#"
    async with opened(room.settings()) as channel:
        first = await channel.send(MESSAGE, key)
    async with opened(room.settings()) as restarted:
        again = await restarted.send(MESSAGE, key)
        other = await restarted.send(MESSAGE, key + "2")
    assert first == again != other
    assert len(room.ada.messages(room.id)) == 2


async def test_a_reply_is_in_its_thread(room: Room) -> None:
    async with opened(room.settings()) as channel:
        root = (await channel.send(MESSAGE, "delivery-1")).id
        first = (await channel.send(MESSAGE, "delivery-2", ReplyTo(root, root, ""))).id
        second = (await channel.send(MESSAGE, "delivery-3", ReplyTo(root, first, ""))).id
    path = f"/_matrix/client/v1/rooms/{room.id}/relations/{root}/m.thread"
    seen = room.ada.call("GET", path)["chunk"]
    assert [event["event_id"] for event in seen] == [second, first]
    assert seen[0]["content"]["m.relates_to"] == {
        "rel_type": "m.thread",
        "event_id": root,
        "is_falling_back": True,
        "m.in_reply_to": {"event_id": first},
    }


async def test_a_reply_to_a_message_of_another_room_raises_thread_not_found(
    room: Room,
) -> None:
    async with opened(room.settings()) as channel:
        with pytest.raises(ThreadNotFound):
            await channel.send(MESSAGE, "delivery-2", ReplyTo("$gone", "$gone", ""))


async def test_messages_in_the_previous_room_can_not_be_edited_or_replied_to(
    room: Room,
) -> None:
    other = room.ada.create_room(invite=(room.bot.id,))
    async with opened(room.settings(other)) as before:
        root = (await before.send(MESSAGE, "delivery-1")).id
    async with opened(room.settings()) as channel:
        with pytest.raises(ThreadNotFound):
            await channel.send(MESSAGE, "delivery-2", ReplyTo(root, root, ""))
        with pytest.raises(NotEditable):
            await channel.update(root, MESSAGE, "delivery-3")


async def test_an_invitation_is_accepted(synapse: Synapse) -> None:
    room = Room(synapse)
    assert "invite it there" in await findings(room.settings())
    room.ada.invite(room.id, room.bot.id)
    assert "is invited to" in await findings(room.settings())  # also right after the first look
    async with opened(room.settings()) as channel:
        await channel.send(MESSAGE, "delivery-1")
    assert len(room.ada.messages(room.id)) == 1


async def test_a_public_room_is_joined_by_its_alias(synapse: Synapse) -> None:
    name = f"design-{secrets.token_hex(4)}"
    room = Room(synapse, public=True, alias=name)
    async with opened(room.settings(f"#{name}:relay.test")) as channel:
        await channel.send(MESSAGE, "delivery-1")
    assert len(room.ada.messages(room.id)) == 1


async def test_an_alias_is_resolved_again_when_the_old_room_refuses(room: Room) -> None:
    alias = f"#moving-{secrets.token_hex(4)}:relay.test"
    room.ada.call("PUT", f"/_matrix/client/v3/directory/room/{alias.replace('#', '%23')}",
                  {"room_id": room.id})  # fmt: skip
    async with opened(room.settings(alias)) as channel:
        await channel.send(MESSAGE, "delivery-1")
        new = room.ada.create_room(invite=(room.bot.id,))
        room.ada.point_alias(alias, new)
        room.ada.kick(room.id, room.bot.id)
        await channel.send(MESSAGE, "delivery-2")
    assert len(room.ada.messages(room.id)) == 1
    assert len(room.ada.messages(new)) == 1


async def test_a_room_that_refuses_the_bot_is_retried(synapse: Synapse) -> None:
    room = Room(synapse)
    error = await delivery_error(room.settings())
    assert (type(error), error.reason) == (Misconfigured, "M_FORBIDDEN")
    assert "invite it" in error.detail
    text = await findings(room.settings())
    assert f"ok The access token is that of {room.bot.id}." in text
    assert f"no {room.bot.id} is not in {room.id}: invite it there" in text


async def test_a_ban_is_what_a_person_can_fix(synapse: Synapse) -> None:
    room = Room(synapse)
    body = {"user_id": room.bot.id}
    room.ada.call("POST", f"/_matrix/client/v3/rooms/{room.id}/ban", body)
    error = await delivery_error(room.settings())
    assert isinstance(error, Misconfigured)
    assert "ban" in error.detail
    assert "unknown reason" not in error.detail


@pytest.mark.parametrize(
    ("named", "reason", "hint"),
    [
        ("#nowhere:relay.test", "M_NOT_FOUND", "check the alias"),
        ("!nowhere:relay.test", "M_UNKNOWN", "invite the bot, or check room"),
        ("!" + "x" * 43, "M_UNKNOWN", "invite the bot, or check room"),
    ],
)
async def test_a_wrong_room_is_named_by_the_queue_and_the_doctor(
    room: Room, named: str, reason: str, hint: str
) -> None:
    error = await delivery_error(room.settings(named))
    assert (type(error), error.reason) == (Misconfigured, reason)
    assert hint in error.detail
    assert "has a problem" not in error.detail
    found = await findings(room.settings(named))
    assert "no " in found
    assert hint.rpartition(" or ")[2] in found


async def test_an_override_is_the_formatted_body(room: Room) -> None:
    async with opened(room.settings()) as channel:
        await channel.send(
            replace(MESSAGE, full=replace(MESSAGE.full, override="<h3>Ours</h3>")), "delivery-1"
        )
    [event] = room.ada.messages(room.id)
    assert event["content"]["formatted_body"] == "<h3>Ours</h3>"
    assert event["content"]["body"].startswith("Ada Lovelace on Landing page: The button")


# Pictures below the text


@pytest.mark.parametrize(
    "refusal",
    [
        Answer.of({"errcode": "M_LIMIT_EXCEEDED", "retry_after_ms": 10_500}, 429),
        Answer.of({"errcode": "M_FORBIDDEN", "error": "no images"}, 403),
        Answer.of({"errcode": "M_TOO_LARGE"}, 413),
        Answer.of({}),
        Answer(cut=True),
    ],
    ids=["rate", "forbidden", "too large", "no id", "cut"],
)
async def test_a_text_whose_image_fails_is_sent_once(
    refusal: Answer, caplog: pytest.LogCaptureFixture
) -> None:
    sent: list[str] = []

    def answer(request: Request) -> Answer:
        if "/media/" in request.path:
            return Answer.of({"content_uri": "mxc://relay.test/picture"})
        if "/send/" in request.path:
            sent.append(request.path.rpartition("/")[2])
        return refusal if request.path.endswith(".image") else Answer.of({"event_id": "$text"})

    with in_thread(answer) as server:
        settings = settings_of(server.url).model_copy(update={"thumbnails": "image"})
        async with opened(settings) as channel:
            receipt = await channel.send(MESSAGE, "key", None, PICTURE)
    assert receipt.id == "$text"
    assert sent == ["relay.key", "relay.key.image"]
    assert ("without pictures" in caplog.text) == (refusal != Answer.of({}))


async def test_an_image_waits_for_a_short_delay_of_the_server() -> None:
    sent: list[str] = []

    def answer(request: Request) -> Answer:
        if "/media/" in request.path:
            return Answer.of({"content_uri": "mxc://relay.test/picture"})
        if "/send/" in request.path:
            sent.append(request.path.rpartition("/")[2])
        if sent[1:] == ["relay.key.image"]:
            return Answer.of({"errcode": "M_LIMIT_EXCEEDED", "retry_after_ms": 50}, 429)
        return Answer.of({"event_id": f"${len(sent)}"})

    with in_thread(answer) as server:
        settings = settings_of(server.url).model_copy(update={"thumbnails": "image"})
        async with opened(settings) as channel:
            receipt = await channel.send(MESSAGE, "key", None, PICTURE)
    assert sent == ["relay.key", "relay.key.image", "relay.key.image"]
    assert receipt.id == "$1 $3"


@pytest.mark.parametrize("thumbnails", [True, "image"])
async def test_a_message_waits_for_a_server_that_limits_uploads(
    thumbnails: object, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """For a minute at most, also if the server asks for more: then it is sent without."""
    paths: list[str] = []

    def answer(request: Request) -> Answer:
        paths.append(request.path)
        if "/media/" in request.path:
            return Answer.of({"errcode": "M_LIMIT_EXCEEDED", "retry_after_ms": 20_000}, 429)
        return Answer.of({"event_id": "$text"})

    now = 1000.0
    monkeypatch.setattr("relay.channels.pictures.time.monotonic", lambda: now)
    with in_thread(answer) as server:
        settings = settings_of(server.url).model_copy(update={"thumbnails": thumbnails})
        async with opened(settings) as channel:
            for _ in range(3):
                with pytest.raises(RetryLater) as caught:
                    await channel.send(MESSAGE, "key", None, PICTURE)
                assert (caught.value.reason, caught.value.retry_after) == ("M_LIMIT_EXCEEDED", 20)
                now += 20
            assert not any("/send/" in path for path in paths)
            receipt = await channel.send(MESSAGE, "key", None, PICTURE)
    assert receipt.id == "$text"
    assert caplog.text.count("without pictures") == 1


async def test_no_image_follows_a_text_that_fails() -> None:
    paths: list[str] = []

    def answer(request: Request) -> Answer:
        paths.append(request.path)
        if "/send/" in request.path:
            return Answer.of({"errcode": "M_TOO_LARGE"}, 413)
        return Answer.of({"content_uri": "mxc://relay.test/picture"})

    with in_thread(answer) as server:
        settings = settings_of(server.url).model_copy(update={"thumbnails": "image"})
        async with opened(settings) as channel:
            with pytest.raises(Permanent):
                await channel.send(MESSAGE, "key", None, PICTURE)
    assert not any(path.endswith(".image") for path in paths)


# Edits, read by another user


LATER = replace(
    MESSAGE,
    full=Content("**Ada** says something else"),
    notice="Ada says something else",
)
DELETED = replace(
    MESSAGE,
    notice="A comment was deleted",
    full=Content("A comment was deleted"),
    change=Change(removes=True),
)


class EditedRoom:
    """Ada's room, and the bot that Relay posts as."""

    def __init__(self, synapse: Synapse) -> None:
        self.ada, self.bot = synapse.register("ada"), synapse.register("relay")
        self.id = self.ada.create_room(invite=(self.bot.id,))
        self.settings: MatrixSettings = settings_of(synapse.url, self.id, self.bot.token)

    async def send(self, message: Message = MESSAGE, thread: ReplyTo | None = None) -> str:
        async with opened(self.settings) as channel:
            return (await channel.send(message, f"send {message.content.body} {thread}", thread)).id

    async def update(self, receipt: str, message: Message = LATER, key: str = "update") -> None:
        async with opened(self.settings) as channel:
            assert isinstance(channel, EditableChannel)
            await channel.update(receipt, message, key)

    async def remove(self, receipt: str, message: Message = DELETED) -> None:
        async with opened(self.settings) as channel:
            assert isinstance(channel, EditableChannel)
            await channel.remove(receipt, message, "remove")

    def sees(self) -> list[str]:
        """The first line of each message."""
        return [text.partition("\n")[0] for text in self.ada.sees(self.id).values()]

    def everything(self) -> str:
        return str(self.ada.messages(self.id))


@pytest.fixture
def edited_room(synapse: Synapse) -> EditedRoom:
    return EditedRoom(synapse)


async def test_another_member_sees_the_edited_message(edited_room: EditedRoom) -> None:
    receipt = await edited_room.send()

    await edited_room.update(receipt)
    await edited_room.update(receipt)  # the same once more, as after a crash

    assert edited_room.sees() == ["Ada says something else"]
    first, edit = edited_room.ada.messages(edited_room.id)
    assert edit["content"]["body"].startswith("* Ada says something else\n")
    new = edit["content"]["m.new_content"]
    assert new["formatted_body"] == "<p><strong>Ada</strong> says something else</p>"
    assert first["event_id"] == receipt


async def test_the_last_of_several_quick_edits_is_shown(edited_room: EditedRoom) -> None:
    receipt = await edited_room.send()

    for number in range(5):
        text = replace(LATER, notice=f"Version {number}")
        await edited_room.update(receipt, text, f"key {number}")

    assert edited_room.sees() == ["Version 4"]


async def test_an_edited_reply_stays_in_its_thread(edited_room: EditedRoom) -> None:
    root = await edited_room.send()
    reply = await edited_room.send(
        replace(MESSAGE, full=Content("Reply"), notice="Reply"), ReplyTo(root, root, "T")
    )

    await edited_room.update(reply)

    contents = {
        event["event_id"]: event["content"] for event in edited_room.ada.messages(edited_room.id)
    }
    assert contents[reply]["m.relates_to"]["event_id"] == root
    assert edited_room.sees()[1] == "Ada says something else"


async def test_an_edit_notifies_only_new_mentions(
    edited_room: EditedRoom, synapse: Synapse
) -> None:
    bob = synapse.register("bob")
    edited_room.ada.invite(edited_room.id, bob.id)
    bob.join(edited_room.id)
    people = (
        Mention("a", "Ada", addresses={"matrix": edited_room.ada.id}),
        Mention("b", "Bob", addresses={"matrix": bob.id}),
    )
    receipt = await edited_room.send(replace(MESSAGE, mentions=people[:1]))
    assert len(edited_room.ada.pings()) == 1

    await edited_room.update(
        receipt, replace(LATER, mentions=people, change=Change(new_mentions=("b",)))
    )

    assert (len(edited_room.ada.pings()), len(bob.pings())) == (1, 1)
    content = edited_room.ada.messages(edited_room.id)[-1]["content"]
    assert content["m.mentions"] == {"user_ids": [bob.id]}
    assert content["m.new_content"]["m.mentions"] == {"user_ids": [edited_room.ada.id, bob.id]}


async def test_remove_redacts_the_message_and_its_edits(edited_room: EditedRoom) -> None:
    receipt = await edited_room.send()
    await edited_room.update(receipt)

    await edited_room.remove(receipt)
    await edited_room.remove(receipt)

    assert set(edited_room.sees()) == {""}
    assert "something else" not in edited_room.everything()
    assert "too" not in edited_room.everything()


async def test_remove_edits_the_first_message_of_a_thread_with_replies(
    edited_room: EditedRoom,
) -> None:
    root = await edited_room.send()
    await edited_room.send(
        replace(MESSAGE, full=Content("Reply"), notice="Reply"), ReplyTo(root, root, "T")
    )

    await edited_room.remove(root)

    assert edited_room.sees()[0] == "A comment was deleted"
    assert edited_room.sees()[1].startswith("Reply")


async def test_remove_redacts_a_whole_thread(edited_room: EditedRoom) -> None:
    root = await edited_room.send()
    reply = await edited_room.send(
        replace(MESSAGE, full=Content("Reply"), notice="Reply"), ReplyTo(root, root, "T")
    )
    whole = replace(DELETED, change=Change(removes=True, whole_thread=True))

    await edited_room.remove(reply, whole)
    await edited_room.remove(root, whole)

    assert edited_room.sees() == ["", ""]


async def test_a_bot_that_may_not_redact_edits_the_message(edited_room: EditedRoom) -> None:
    receipt = await edited_room.send()
    levels = {"events_default": 0, "events": {"m.room.redaction": 50}, "users": {}}
    edited_room.ada.set_state(edited_room.id, "m.room.power_levels", levels)

    await edited_room.remove(receipt)

    assert edited_room.sees() == ["A comment was deleted"]
    text = await findings(edited_room.settings)
    assert f"ok {edited_room.bot.id} can post" in text
    assert "may not remove its messages" in text
    assert "power level 50" in text
    silent = edited_room.settings.model_copy(update={"edits": "none"})
    assert "remove" not in await findings(silent)


async def test_an_unknown_message_raises_message_not_found(edited_room: EditedRoom) -> None:
    await edited_room.send()
    nowhere = "$" + "x" * 43

    for act in (edited_room.update, edited_room.remove):
        with pytest.raises(MessageNotFound):
            await act(nowhere)


async def test_an_edit_in_a_room_without_the_bot_waits_for_an_invitation(
    edited_room: EditedRoom,
) -> None:
    receipt = await edited_room.send()
    edited_room.ada.kick(edited_room.id, edited_room.bot.id)

    for act in (edited_room.update, edited_room.remove):
        with pytest.raises(Misconfigured) as error:
            await act(receipt)
        assert error.value.reason == "M_FORBIDDEN"
    edited_room.ada.invite(edited_room.id, edited_room.bot.id)
    await asyncio.sleep(0)
    await edited_room.update(receipt)
    assert edited_room.sees()[0] == "Ada says something else"


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
        if request.method != "GET":
            written.append(request.path)
        return Answer.of({"event_id": "$changed"})

    with in_thread(answer) as server:
        async with opened(settings_of(server.url)) as channel:
            assert isinstance(channel, EditableChannel)
            await channel.remove("$event", DELETED, "k")
    assert ["/send/m.room.message/" in path for path in written] == [True]
