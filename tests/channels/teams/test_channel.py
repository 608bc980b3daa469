"""Microsoft Teams by a workflow's webhook: posts at the stand-in."""

import json
from dataclasses import replace

import pytest

from relay.channels.base import EditableChannel, Permanent, RetryLater
from relay.messages.message import Content
from tests.channels.builders import MESSAGE, delivery_error, findings
from tests.channels.teams.place import ADA, BOB, Place, hook, message
from tests.servers.loopback import Answer
from tests.servers.teams import MAX_SIZE

pytestmark = pytest.mark.anyio


async def test_a_message_is_a_card_and_its_receipt_is_empty(at: Place) -> None:
    async with at.channel() as channel:
        receipt = await channel.send(MESSAGE, "1")
    assert (receipt.id, at.teams.failed, at.teams.pings) == ("", [], [])
    (text,) = at.teams.texts
    assert text.splitlines() == [
        "Ada Lovelace commented on Landing page",
        "The button is too small.",
        "<!channel> please",
        "Website · Acme · Open in Penpot",
    ]
    (request,) = at.teams.requests
    assert request.headers["content-type"] == "application/json; charset=utf-8"
    assert json.loads(request.body)["attachments"][0]["contentUrl"] is None


async def test_only_mapped_people_are_pinged(at: Place) -> None:
    async with at.channel() as channel:
        await channel.send(message(message().full.body, ADA, BOB), "1")
    assert at.teams.pings == ["ada@example.com"]
    assert at.teams.texts == ["<at>Ada</at>\nHi @Ada@Bob, not @Ada\nAcme"]


async def test_the_longest_messages_are_accepted_by_teams_and_keep_the_link(at: Place) -> None:
    bodies = (
        "\\*" * 15_000,
        "[x](https://x.example/?y=**) " * 300,
        "> *a* **b**\\\n" * 300,
        "1. *a*\n\n   - b\n" * 200,
        "界" * 15_000,
        "👩‍👩‍👧‍👦" * 3000,
        '\\"' * 9000,
        "```\n" + "x\n" * 3000 + "```",
    )
    async with at.channel() as channel:
        for body in bodies:
            await channel.send(replace(MESSAGE, full=Content(body, MESSAGE.full.footer)), "1")
    assert at.teams.failed == []
    assert len(at.teams.posted) == len(bodies)
    for request in at.teams.requests:
        text = request.body.decode()
        assert "…" in text
        assert "Open in Penpot" in text
        assert len(text.encode("utf-16-le")) < MAX_SIZE


async def test_a_text_that_needs_all_of_the_room_is_sent_as_it_is(at: Place) -> None:
    body = "The headline and the button do not share a baseline, and more. " * 150
    async with at.channel() as channel:
        await channel.send(message(body), "1")
    assert "…" not in at.teams.texts[0]


async def test_teams_does_not_say_that_it_refuses_a_card(
    at: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As documented in the guide: 202 is a delivery."""
    monkeypatch.setattr("tests.servers.teams.MAX_SIZE", 100)
    async with at.channel() as channel:
        await channel.send(MESSAGE, "1")
    assert (at.teams.posted, at.teams.failed) == ([], ["Request Entity too large"])


async def test_an_answer_of_the_workflow_itself_is_a_delivery(at: Place) -> None:
    """Its maker may have added an action that answers."""
    at.teams.next.append(Answer(b"ok", 200, headers={"x-ms-workflow-run-id": "08585"}))
    async with at.channel() as channel:
        await channel.send(MESSAGE, "1")
    at.teams.next.append(Answer(b"1", 200))  # as the retired connectors did
    error = await delivery_error(hook(at.url))
    assert (type(error), error.reason) == (RetryLater, "answer")


async def test_a_message_that_is_too_large_is_permanent(at: Place) -> None:
    at.teams.next.append(Answer(b"", 413))
    error = await delivery_error(hook(at.url))
    assert (type(error), error.reason) == (Permanent, "http-413")


async def test_a_workflow_edits_nothing(at: Place) -> None:
    async with at.channel() as channel:
        assert not isinstance(channel, EditableChannel)


async def test_doctor_starts_no_workflow(at: Place) -> None:
    text = await findings(hook(at.url))
    assert text.startswith(f"ok The workflow at {at.url.removeprefix('http://')} can't be tested")
    assert at.teams.requests == []
