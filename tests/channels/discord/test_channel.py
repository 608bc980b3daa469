"""Discord by webhook: posts, edits and deletions at the stand-in."""

from dataclasses import replace

import pytest

from relay.channels.base import (
    EditableChannel,
    MessageNotFound,
    Misconfigured,
    Permanent,
    RetryLater,
)
from relay.messages.message import Content
from tests.channels.builders import MESSAGE, delivery_error
from tests.channels.discord.place import ADA, BOB, PICTURE, Place, hook, message
from tests.servers.discord import KEYS, THREAD
from tests.servers.loopback import Answer

pytestmark = pytest.mark.anyio


async def test_a_message_is_an_embed_and_its_receipt_is_its_id(at: Place) -> None:
    async with at.channel() as channel:
        receipt = await channel.send(MESSAGE, "1")
    (posted,) = at.discord.posted
    assert receipt.id in at.discord.shown
    assert posted.keys() <= KEYS
    assert posted["content"] == ""
    assert posted["allowed_mentions"] == {"parse": [], "users": []}
    assert at.text.splitlines() == [
        "**Ada Lovelace** commented on [Landing page](https://penpot.example/#/view?a=1&b=2)",
        "",
        "> The button is *too* small.",
        "> \\<!channel> please",
        "-# Website · Acme · [Open in Penpot](https://penpot.example/#/view?a=1&b=2)",
    ]
    assert at.discord.pings == []


async def test_only_mapped_people_are_pinged_before_the_embed(at: Place) -> None:
    async with at.channel() as channel:
        await channel.send(
            message(r"@everyone \<@1234567890123456\> " + message().full.body, ADA, BOB), "1"
        )
    (posted,) = at.discord.posted
    assert posted["content"] == "<@80351110224678912>"
    assert at.discord.pings == ["80351110224678912"]
    assert "Hi <@80351110224678912>@\u200bBob, not @\u200bAda" in at.text
    assert at.text.startswith("@\u200beveryone \\<@\u200b1234567890123456> ")


async def test_an_edit_replaces_the_text_and_pings_nobody_new(at: Place) -> None:
    async with at.channel() as channel:
        assert isinstance(channel, EditableChannel)
        receipt = await channel.send(message("before"), "1")
        await channel.update(receipt.id, message("after", ADA), "2")
    assert at.text.startswith("after")
    assert at.discord.pings == []


async def test_the_report_of_a_deletion_stays_and_further_messages_are_deleted(at: Place) -> None:
    async with at.channel() as channel:
        assert isinstance(channel, EditableChannel)
        first, second = [(await channel.send(message(text), text)).id for text in "ab"]
        await channel.remove(first, message("deleted"), "3")
        await channel.remove(second, message("deleted"), "4", is_further=True)
        assert list(at.discord.shown) == [first]
        for edit in (channel.update, channel.remove):
            with pytest.raises(MessageNotFound):
                await edit(second, message("late"), "5")


async def test_a_picture_is_in_the_embed_and_an_edit_without_one_removes_it(at: Place) -> None:
    async with at.channel(thumbnails=True) as channel:
        assert isinstance(channel, EditableChannel)
        receipt = await channel.send(message(), "1", picture=PICTURE)
        assert at.discord.files[receipt.id] == {"thumbnail.png": PICTURE.content}
        assert at.discord.shown[receipt.id]["embeds"][0]["image"] == {
            "url": "attachment://thumbnail.png"
        }
        await channel.update(receipt.id, message("edited"), "2", PICTURE)
        assert at.discord.files[receipt.id] == {"thumbnail.png": PICTURE.content}
        await channel.update(receipt.id, message("resolved"), "3")
        assert at.discord.files[receipt.id] == {}
        assert "image" not in at.discord.shown[receipt.id]["embeds"][0]


async def test_a_message_is_sent_and_edited_without_a_picture_that_is_refused(
    at: Place, caplog: pytest.LogCaptureFixture
) -> None:
    too_large = Answer.of({"code": 40005, "message": "Request entity too large"}, 413)
    async with at.channel(thumbnails=True) as channel:
        assert isinstance(channel, EditableChannel)
        at.discord.next.append(too_large)
        receipt = await channel.send(message(), "1", picture=PICTURE)
        at.discord.next.append(too_large)
        await channel.update(receipt.id, message("edited"), "2", PICTURE)
        at.discord.next.append(Answer.of({"code": 10015, "message": "Unknown Webhook"}, 404))
        with pytest.raises(Misconfigured):
            await channel.send(message(), "3", picture=PICTURE)
    assert len(at.discord.posted) == 1
    assert "image" not in at.discord.shown[receipt.id]["embeds"][0]
    assert caplog.text.count("messages without pictures") == 1


async def test_a_thread_of_the_address_gets_the_messages_and_edits(at: Place) -> None:
    at.discord.is_forum = True
    async with at.channel(f"?thread_id={THREAD}") as channel:
        assert isinstance(channel, EditableChannel)
        receipt = await channel.send(message(), "1")
        await channel.update(receipt.id, message("after"), "2")
    assert {request.query for request in at.discord.requests} == {
        f"wait=true&thread_id={THREAD}",
        f"thread_id={THREAD}",
    }


async def test_a_forum_without_a_thread_says_what_to_do(at: Place) -> None:
    at.discord.is_forum = True
    error = await delivery_error(hook(at.url))
    assert (type(error), error.reason) == (Misconfigured, "code_220001")
    assert "add ?thread_id=" in error.detail


async def test_the_longest_messages_fit_and_end_in_an_ellipsis(at: Place) -> None:
    for body in (
        "\\*" * 20_000,
        "[x](https://x.example/?y=**) " * 3000,
        "> *a* **b**\\\n" * 3000,
        "👩‍👩‍👧‍👦" * 3000,
    ):
        async with at.channel() as channel:
            await channel.send(replace(MESSAGE, full=Content(body, "f" * 5000)), "1")
        assert "…" in at.text
        assert "\n-# fff" in at.text
    assert len(at.discord.posted) == 4


async def test_more_people_than_a_message_may_mention_are_pinged_as_far_as_possible(
    at: Place,
) -> None:
    people = [
        replace(ADA, id=str(number), addresses={"discord": f"{10**17 + number}"})
        for number in range(120)
    ]
    async with at.channel() as channel:
        await channel.send(message("many", *people), "1")
    assert len(at.discord.pings) == 80


async def test_a_message_that_discord_refuses_is_permanent(at: Place) -> None:
    at.discord.next.append(Answer.of({"code": 200000, "message": "Message was blocked"}, 400))
    error = await delivery_error(hook(at.url))
    assert (type(error), error.reason) == (Permanent, "code_200000")


async def test_an_answer_without_an_id_is_not_discords(at: Place) -> None:
    at.discord.next.append(Answer(b"<html>", content_type="text/html"))
    error = await delivery_error(hook(at.url))
    assert (type(error), error.reason) == (RetryLater, "answer")
