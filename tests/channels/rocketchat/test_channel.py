"""Rocket.Chat by webhook: messages and pings at the stand-in."""

from dataclasses import replace

import pytest

from relay.channels.base import EditableChannel, Permanent, RetryLater
from relay.messages.message import Content
from tests.channels.builders import MESSAGE, delivery_error
from tests.channels.rocketchat.place import ADA, BOB, Place, hook, message
from tests.servers.loopback import Answer
from tests.servers.rocketchat import WEBHOOK_KEYS
from tests.servers.rocketchat_parser import ShownInRocketChat

pytestmark = pytest.mark.anyio


async def test_a_message_has_all_that_the_reader_needs(at: Place) -> None:
    async with at.channel() as channel:
        assert not isinstance(channel, EditableChannel)
        receipt = await channel.send(MESSAGE, "1")
    assert receipt.id == ""
    (posted,) = at.server.messages
    assert posted["hook"].keys() <= WEBHOOK_KEYS
    assert posted["hook"]["parseUrls"] is False
    assert (posted["alias"], posted["avatar"]) == (None, None)
    assert at.server.texts == [
        "*Ada Lovelace* commented on <https://penpot.example/#/view?a=1&b=2|Landing page>\n\n"
        "> The button is _too_ small.\n> <\u200b!channel> please\n\n"
        "Website · Acme · <https://penpot.example/#/view?a=1&b=2|Open in Penpot>"
    ]
    assert at.server.pings == []


async def test_the_sender_may_be_configured(at: Place) -> None:
    async with at.channel(username="Penpot", icon_url="https://penpot.example/i.png") as channel:
        await channel.send(MESSAGE, "1")
    (posted,) = at.server.messages
    assert (posted["alias"], posted["avatar"]) == ("Penpot", "https://penpot.example/i.png")


async def test_only_mapped_people_are_pinged(at: Place) -> None:
    hostile = r"\@channel \@all \@here \@everyone \<!channel\> \<\@ada\> \@ada\n\@all "
    async with at.channel() as channel:
        await channel.send(message(hostile + message().full.body, ADA, BOB), "1")
        await channel.send(message("without a name", ADA), "2")
        await channel.send(message(rf"\([\@Ada](<penpot-profile:{ADA.id}>)\)", ADA), "3")
    assert at.server.pings == ["@ada"] * 3
    first, second, third = at.server.texts
    assert "Hi @ada\u200b@\u200bBob, not @\u200bAda" in first
    assert second == "without a name\n\n@ada\u200b\n\nAcme"
    assert third == "( @ada\u200b)\n\nAcme"  # which Rocket.Chat finds only after a space
    assert [ShownInRocketChat(text).mentions for text in at.server.texts] == [["ada"]] * 3


async def test_the_longest_messages_fit_and_end_in_an_ellipsis(at: Place) -> None:
    for body in (
        "\\*" * 20_000,
        "[x](https://x.example/?y=**) " * 3000,
        "> *a* **b**\\\n" * 3000,
        "👩‍👩‍👧‍👦" * 3000,
    ):
        async with at.channel() as channel:
            await channel.send(replace(MESSAGE, full=Content(body, "f" * 5000)), "1")
    assert len(at.server.texts) == 4
    assert all("…" in text and text.endswith("…") for text in at.server.texts)


async def test_a_message_that_is_too_long_for_the_server_is_halved_until_it_fits(at: Place) -> None:
    at.server.max_length = 1300
    long = replace(MESSAGE, full=Content("word " * 2000))
    async with at.channel() as channel:
        await channel.send(long, "1")
        await channel.send(long, "2")
    assert len(at.server.requests) == 4  # of 5000, 2500 and 1250, and the second one
    assert all(1000 < len(text) <= 1250 for text in at.server.texts)
    assert len(at.server.texts) == 2
    at.server.max_length = 10
    error = await delivery_error(hook(at.url))
    assert (type(error), error.reason) == (Permanent, "error_message_size_exceeded")


@pytest.mark.parametrize("body", [b'{"success":true}', b'"from a script"', b"", b"{}"])
async def test_any_json_of_a_script_is_a_delivery(at: Place, body: bytes) -> None:
    at.server.next.append(Answer(body))
    async with at.channel() as channel:
        assert (await channel.send(message(), "1")).id == ""


async def test_a_page_is_no_delivery_and_neither_is_a_failure(at: Place) -> None:
    at.server.next.append(Answer(b"<!doctype html>", content_type="text/html"))
    error = await delivery_error(hook(at.url))
    assert (type(error), error.reason) == (RetryLater, "answer")
    at.server.next.append(Answer(b'{"success":false,"error":"invalid-channel"}'))
    assert (await delivery_error(hook(at.url))).reason == "invalid_channel"


async def test_the_servers_limit_on_the_rate_is_waited_for(at: Place) -> None:
    at.server.limit = 1
    async with at.channel() as channel:
        await channel.send(message(), "1")
    error = await delivery_error(hook(at.url))
    assert (type(error), error.reason) == (RetryLater, "ratelimited")
    assert 50 <= (error.retry_after or 0) <= 60
