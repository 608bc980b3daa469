"""Mattermost by webhook and by bot: posts, threads, edits, pictures and direct messages."""

from dataclasses import replace

import pytest

from relay.channels.base import (
    EditableChannel,
    MessageNotFound,
    NoAddress,
    NotEditable,
    Permanent,
    ReplyTo,
    RetryLater,
    ThreadNotFound,
)
from relay.messages.message import Content, Mention
from tests.channels.builders import MESSAGE, delivery_error
from tests.channels.mattermost.place import ADA, BOB, PICTURE, Place, bot, hook, message
from tests.servers.loopback import Answer
from tests.servers.mattermost import DESIGN, OLD_MAX_LENGTH, WEBHOOK_KEYS

pytestmark = pytest.mark.anyio

SHOWN = (
    "**Ada Lovelace** commented on [Landing page](https://penpot.example/#/view?a=1&b=2)\n\n"
    "> The button is *too* small.\n> <\u200b!channel> please\n\n"
    "Website · Acme · [Open in Penpot](https://penpot.example/#/view?a=1&b=2)"
)


async def test_a_webhook_gets_all_that_the_reader_needs(at: Place) -> None:
    async with at.hook() as channel:
        receipt = await channel.send(MESSAGE, "1")
    (post,) = at.server.posts.values()
    assert receipt.id == ""
    assert post["hook"].keys() <= WEBHOOK_KEYS
    assert at.server.texts == [SHOWN]
    assert at.server.pings == []


async def test_a_webhooks_sender_may_be_configured(at: Place) -> None:
    async with at.hook(username="Penpot", icon_url="https://penpot.example/icon.png") as channel:
        await channel.send(MESSAGE, "1")
    (post,) = at.server.posts.values()
    assert post["hook"]["username"] == "Penpot"
    assert post["hook"]["icon_url"] == "https://penpot.example/icon.png"


async def test_a_bot_posts_replies_and_edits(at: Place) -> None:
    async with at.bot() as channel:
        assert isinstance(channel, EditableChannel)
        first = await channel.send(MESSAGE, "1")
        thread = ReplyTo(first.id, first.id, "T")
        second = await channel.send(message("reply"), "2", thread)
        await channel.update(second.id, message("edited"), "3")
    assert list(at.server.posts) == [first.id, second.id]
    assert at.server.posts[first.id]["channel_id"] == DESIGN
    assert at.server.posts[second.id]["root_id"] == first.id
    assert at.server.texts == [SHOWN, "edited\n\nAcme"]


async def test_only_mapped_people_are_pinged(at: Place) -> None:
    hostile = r"\@channel \@all \@here \<!channel\> \<\@adaadaadaadaadaadaadaadaa1\> \@ada "
    for opened in (at.bot(), at.hook()):
        at.server.pings.clear()
        async with opened as channel:
            await channel.send(message(hostile + message().full.body, ADA, BOB), "1")
            await channel.send(message("without a name", ADA), "2")
        assert at.server.pings == ["@ada", "@ada"]
    assert "Hi @ada\u200b@\u200bBob, not @\u200bAda" in at.server.texts[0]


async def test_a_thread_that_is_gone_is_started_anew(at: Place) -> None:
    async with at.bot() as channel:
        with pytest.raises(ThreadNotFound):
            await channel.send(message(), "1", ReplyTo("gone", "gone", "T"))


async def test_the_report_of_a_deletion_stays_and_further_messages_are_deleted(at: Place) -> None:
    async with at.bot() as channel:
        assert isinstance(channel, EditableChannel)
        first = (await channel.send(message("a"), "1")).id
        second = (await channel.send(message("b"), "2", ReplyTo(first, first, "T"))).id
        await channel.remove(second, message("deleted"), "3", is_further=True)
        await channel.remove(first, message("deleted"), "4")
        assert at.server.texts == ["deleted\n\nAcme"]
        for edit in (channel.update, channel.remove):
            with pytest.raises(MessageNotFound):
                await edit(second, message("late"), "5")


async def test_an_edit_after_the_servers_time_is_a_new_message(at: Place) -> None:
    async with at.bot() as channel:
        assert isinstance(channel, EditableChannel)
        receipt = await channel.send(message(), "1")
        at.server.is_editable = False
        with pytest.raises(NotEditable):
            await channel.update(receipt.id, message("late"), "2")


async def test_each_post_has_its_own_picture(at: Place) -> None:
    async with at.bot(thumbnails=True) as channel:
        for _ in range(2):
            await channel.send(message(), "1", picture=PICTURE)
    files = [post["file_ids"] for post in at.server.posts.values()]
    assert [len(each) for each in files] == [1, 1]
    assert list(at.server.files.values()) == [PICTURE.content] * 2


@pytest.mark.parametrize(
    "answer", [Answer.of({"id": "api.file.upload_file.too_large"}, 413), Answer.of({"a": 1}, 201)]
)
async def test_a_message_is_sent_without_a_picture_that_fails(
    at: Place, answer: Answer, caplog: pytest.LogCaptureFixture
) -> None:
    async with at.bot(thumbnails=True) as channel:
        await channel.send(message(), "1")
        for _ in range(2):
            at.server.next.append(answer)
            await channel.send(message(), "2", picture=PICTURE)
    assert ["file_ids" in post and post["file_ids"] for post in at.server.posts.values()] == [
        []
    ] * 3
    assert caplog.text.count("messages without pictures") == 1


async def test_a_message_waits_for_a_server_that_limits_uploads(
    at: Place, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """For a minute at most, also if the server asks for more: then it is sent without."""
    now = 1000.0
    monkeypatch.setattr("relay.channels.pictures.time.monotonic", lambda: now)
    limited = Answer(b"limit exceeded", 429, "text/plain", {"Retry-After": "20"})
    async with at.bot(thumbnails=True) as channel:
        await channel.send(message(), "1")
        for _ in range(3):
            at.server.next.append(limited)
            with pytest.raises(RetryLater) as caught:
                await channel.send(message(), "2", picture=PICTURE)
            assert (caught.value.reason, caught.value.retry_after) == ("ratelimited", 20)
            now += 20
        assert len(at.server.posts) == 1
        at.server.next.append(limited)
        await channel.send(message(), "2", picture=PICTURE)
        await channel.send(message(), "3", picture=PICTURE)
    assert [len(post["file_ids"]) for post in at.server.posts.values()] == [0, 0, 1]
    assert caplog.text.count("without pictures") == 1


async def test_people_get_direct_messages_in_one_channel_each(at: Place) -> None:
    async with at.bot(direct="mentioned") as channel:
        for number in range(2):
            await channel.send(message(to=ADA), str(number))
        paths = [request.path for request in at.server.requests]
        assert paths.count("/api/v4/channels/direct") == 1
        with pytest.raises(NoAddress, match=r"\[people\]"):
            await channel.send(message(to=BOB), "3")
        stranger = Mention("x", "Eve", addresses={"mattermost": "eve"})
        with pytest.raises(Permanent, match=r"no user eve: check \[people\]"):
            await channel.send(message(to=stranger), "4")
    assert {post["channel_id"] for post in at.server.posts.values()} == {
        "adaadaadaadaadaadaadaadaad"
    }


async def test_the_longest_message_fits_also_where_the_database_is_old(at: Place) -> None:
    for body in ("\\*" * 20_000, "[x](https://x.example/?y=**) " * 3000, "> *a* **b**\\\n" * 3000):
        async with at.bot() as channel:
            await channel.send(replace(MESSAGE, full=Content(body, "f" * 5000)), "1")
    assert all("…" in text and text.endswith("…") for text in at.server.texts)
    assert all(len(text) > 4000 for text in at.server.texts)
    at.server.max_length = OLD_MAX_LENGTH
    async with at.bot() as channel:
        for _ in range(2):
            await channel.send(replace(MESSAGE, full=Content("word " * 9000)), "1")
    refused = [request for request in at.server.requests if len(request.body) > 10_000]
    assert len(at.server.texts[-1]) <= OLD_MAX_LENGTH
    assert len(refused) == 4  # the three before, and the first of these


async def test_a_message_that_is_too_long_for_any_server_is_permanent(at: Place) -> None:
    at.server.max_length = 10
    error = await delivery_error(bot(at.url))
    assert (type(error), error.reason) == (
        Permanent,
        "model.post.is_valid.message_length.app_error",
    )


@pytest.mark.parametrize("body", [b"<html>", b"", b"ok, but by another program"])
async def test_only_ok_is_mattermosts_answer(at: Place, body: bytes) -> None:
    at.server.next.append(Answer(body, content_type="text/html"))
    error = await delivery_error(hook(at.url))
    assert (type(error), error.reason) == (RetryLater, "answer")
