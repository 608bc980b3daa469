"""A room as Element's SDK shows it to its members: real Synapse, real matrix-js-sdk."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest

from relay.channels.base import EditableChannel, ReplyTo
from relay.messages.message import Change, Content, Message
from tests.channels.matrix.house import ADA, BODY, PICTURE, House
from tests.servers.element import View, read_room
from tests.servers.synapse import Person, Synapse

pytestmark = pytest.mark.anyio

COMMENT = Message(
    "Ada commented on Landing page",
    Content("**Ada** commented\n\n> Too small", "[Open in Penpot](https://penpot.example/1)"),
    url="https://penpot.example/1",
    notice="Ada on Landing page: Too small",
    project="Website",
    file="Landing page",
    number="#29",
)
REPLY = replace(COMMENT, full=Content("**Bob** replied\n\n> Larger now"), notice="Bob: Larger now")
RENAMED = replace(
    COMMENT, full=Content("**Ada** renamed it"), notice="Ada renamed it", activity=True
)
DELETED = Message("Gone", Content("A comment was deleted"), notice="A comment was deleted")


class Viewed(House):
    def view(self, person: Person | None = None, room: str = "") -> View:
        return read_room(self.url, person or self.bob, room or self.room)

    def notified(self) -> tuple[int, int]:
        """How many messages notify Bob by his push rules, and how many of them ping him."""
        path = "/_matrix/client/v3/notifications?limit=100"
        events = [entry["event"] for entry in self.bob.call("GET", path)["notifications"]]
        kinds = [event["type"] for event in events]
        return kinds.count("m.room.message"), len(self.bob.pings())

    @asynccontextmanager
    async def editor(self, **keys: str) -> AsyncIterator[Any]:
        async with self.channel(room=self.room, **keys) as channel:
            assert isinstance(channel, EditableChannel)
            yield channel


@pytest.fixture
def home(synapse: Synapse) -> Viewed:
    return Viewed(synapse)


async def test_threads_edits_and_redactions(home: Viewed) -> None:
    async with home.editor() as channel:
        root = (await channel.send(COMMENT, "1")).id
        first = (await channel.send(REPLY, "2", ReplyTo(root, root, ""))).id
        second = (await channel.send(REPLY, "3", ReplyTo(root, first, ""))).id
        resolved = replace(COMMENT, full=Content("✅ Resolved"), notice="✅ Resolved")
        await channel.update(root, replace(resolved, change=Change()), "4")
        await channel.update(first, replace(REPLY, notice="Bob: Even larger"), "5")
        await channel.remove(second, replace(DELETED, change=Change(removes=True)), "6")
    view = home.view()
    # a redacted message has no relation left, so that clients show it outside of its thread
    assert [(each.id, each.text, each.edited, each.redacted) for each in view.timeline] == [
        (root, "✅ Resolved", True, False),
        (second, "", False, True),
    ]
    assert [(each.id, each.text, each.edited) for each in view.threads[root]] == [
        (first, "Bob: Even larger", True)
    ]


async def test_a_picture_is_an_image_below_the_text(home: Viewed) -> None:
    async with home.editor(thumbnails="image") as channel:
        for _ in range(2):  # the second time as after a crash
            root = (await channel.send(COMMENT, "1", None, PICTURE)).id
            reply = (await channel.send(REPLY, "2", ReplyTo(root, root, ""), PICTURE)).id
        await channel.send(REPLY, "3", ReplyTo(root, reply, ""))
        await channel.update(root, replace(COMMENT, notice="✅ Resolved"), "4", PICTURE)
    view = home.view()
    text, image = view.timeline
    assert f"{text.id} {image.id}" == root
    assert text.text == "✅ Resolved"
    assert "<img" not in text.content["formatted_body"]
    assert image.content == {
        "msgtype": "m.image",
        "body": "Landing page.png",
        "url": image.content["url"],
        "info": {"mimetype": "image/png", "w": 400, "h": 300, "size": len(PICTURE.content)},
        "m.mentions": {},
    }
    assert image.image == (200, "image/png")
    assert not image.edited
    in_thread = view.threads[text.id]
    assert f"{in_thread[0].id} {in_thread[1].id}" == reply
    assert [each.content["msgtype"] for each in in_thread] == ["m.text", "m.image", "m.text"]
    last = in_thread[2].content["m.relates_to"]
    assert last["m.in_reply_to"]["event_id"] == in_thread[0].id


async def test_an_image_is_redacted_with_its_comment(home: Viewed) -> None:
    async with home.editor(thumbnails="image") as channel:
        alone = (await channel.send(COMMENT, "1", None, PICTURE)).id
        root = (await channel.send(COMMENT, "2", None, PICTURE)).id
        reply = (await channel.send(REPLY, "3", ReplyTo(root, root, ""), PICTURE)).id
        for _ in range(2):
            await channel.remove(alone, replace(DELETED, change=Change(removes=True)), "4")
            await channel.remove(root, replace(DELETED, change=Change(removes=True)), "5")
        view = home.view()
        assert [each.redacted for each in view.timeline] == [True, True, False, True]
        text = view.timeline[2]
        assert text.text == "A comment was deleted"
        assert [each.redacted for each in view.threads[text.id]] == [False, False]
        whole = replace(DELETED, change=Change(removes=True, whole_thread=True))
        await channel.remove(reply, whole, "6")
        await channel.remove(root, whole, "7")
    events = home.bob.messages(home.room)
    assert len(events) == 7
    assert [event["content"] for event in events] == [{}] * 7


async def test_only_what_people_say_notifies(home: Viewed) -> None:
    mentions = (home.mention(home.bob, ADA),)
    async with home.channel(room=home.room, thumbnails="image") as channel:
        await channel.send(RENAMED, "1", None, PICTURE)
        view = home.view()
        assert (view.unread, view.highlights) == home.notified() == (0, 0)
        assert "<img" in view.timeline[0].content["formatted_body"]
        await channel.send(COMMENT, "2")
        assert home.notified() == (1, 0)
        assert home.view().unread > 0
        await channel.send(replace(COMMENT, full=Content(BODY), mentions=mentions), "3")
        assert home.notified() == (2, 1)
        assert home.view().highlights > 0
        await channel.send(replace(RENAMED, full=Content(BODY), mentions=mentions), "4")
        assert home.notified() == (3, 2)
    assert [
        (each.content["msgtype"], each.notifies, each.highlights) for each in home.view().timeline
    ] == [
        ("m.notice", False, False),
        ("m.text", True, False),
        ("m.text", True, True),
        ("m.text", True, True),
    ]


@pytest.mark.parametrize(
    ("msgtype", "notified"), [("text", (2, 1)), ("notice", (0, 0)), ("auto", (1, 1))]
)
async def test_msgtype_decides_what_notifies(
    home: Viewed, msgtype: str, notified: tuple[int, int]
) -> None:
    mentions = (home.mention(home.bob, ADA),)
    async with home.channel(room=home.room, msgtype=msgtype) as channel:
        await channel.send(RENAMED, "1")
        await channel.send(replace(COMMENT, full=Content(BODY), mentions=mentions), "2")
    assert home.notified() == notified


@pytest.mark.parametrize(("before", "after"), [("notice", "auto"), ("text", "notice")])
async def test_an_edit_keeps_the_type_of_its_message(home: Viewed, before: str, after: str) -> None:
    async with home.editor(msgtype=before) as channel:
        receipt = (await channel.send(COMMENT, "1")).id
    notified = home.notified()
    async with home.editor(msgtype=after) as channel:
        await channel.update(receipt, replace(COMMENT, notice="Later", change=Change()), "2")
    view = home.view()
    assert view.timeline[0].text == "Later"
    assert view.timeline[0].content["msgtype"] == f"m.{before}"
    edit = home.bob.messages(home.room)[-1]["content"]
    assert edit["msgtype"] == edit["m.new_content"]["msgtype"] == f"m.{before}"
    assert home.notified() == notified  # an edit notifies nobody again


async def test_a_direct_message_notifies(home: Viewed) -> None:
    message = replace(RENAMED, to=home.mention(home.ada))
    async with home.channel(direct="mentioned") as channel:
        await channel.send(message, "1")
        (room,) = home.ada.call("GET", "/_matrix/client/v3/sync")["rooms"]["invite"]
        home.ada.join(room)
        await channel.send(message, "2")
    assert home.view(home.ada, room).timeline[-1].notifies
