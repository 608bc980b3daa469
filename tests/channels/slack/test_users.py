"""Mentions, direct messages and pictures in Slack."""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from relay.channels import open_channel
from relay.channels.base import DeliveryError, MemoryKeyValueStore, Permanent, Receipt, ReplyTo
from relay.channels.slack import channel as slack
from relay.channels.slack import users as slack_people
from relay.channels.slack.settings import SlackSettings
from relay.config.secret import Secret
from relay.messages.message import Mention, Message, Picture
from tests.channels.builders import findings, slack_hook
from tests.penpot.paint import board
from tests.servers.fixtures import RunningSlack
from tests.servers.loopback import Answer
from tests.servers.slack import SCOPES, TOKEN
from tests.servers.slack_rules import rich_inlines

pytestmark = pytest.mark.anyio

ADA, BOB = "28fbd360-8a3c-81b0-8004-6c1b90e4c571", "28fbd360-8a3c-81b0-8004-6c1bb2577f0e"
BODY = rf"Hi [\@Ada](<penpot-profile:{ADA}>)[\@Bob](<penpot-profile:{BOB}>), not \@Ada"
BY_MAIL = Mention(ADA, "Ada", email="Ada@Example.com".lower())
BY_CONFIG = Mention(BOB, "Bob", email="bob@example.com", addresses={"slack": "U0BOB0000"})
PICTURE = Picture(board(), "image/png", 400, 300)


def bot(server: RunningSlack, **more: Any) -> SlackSettings:
    place = {} if "direct" in more else {"channel": "C0DESIGN0"}
    return SlackSettings(
        type="slack", name="a", token=Secret(TOKEN), api_url=server.api_url, **place, **more
    )


class Workplace:
    """A channel and its key-value store; ``again`` reopens it."""

    def __init__(self, server: RunningSlack, **more: Any) -> None:
        self.server = server.slack
        self.settings = bot(server, **more)
        self.kv = MemoryKeyValueStore()
        self.channel = open_channel(self.settings, self.kv)

    async def again(self) -> None:
        await self.channel.close()
        self.channel = open_channel(self.settings, self.kv)

    async def send(self, *mentions: Mention, **more: Any) -> Receipt:
        fields = {"title": "T", "body": BODY, "mentions": mentions} | more
        picture, thread = fields.pop("picture_", None), fields.pop("thread_", None)
        return await self.channel.send(Message(**fields), "key", thread, picture)

    @property
    def pinged(self) -> list[str]:
        inlines = rich_inlines(self.server.messages[-1]["blocks"])
        return [part["user_id"] for part in inlines if part["type"] == "user"]

    @property
    def words(self) -> str:
        inlines = rich_inlines(self.server.messages[-1]["blocks"])
        return "".join(part.get("text", f"<{part.get('user_id')}>") for part in inlines)


@asynccontextmanager
async def workplace(server: RunningSlack, **more: Any) -> AsyncIterator[Workplace]:
    place = Workplace(server, **more)
    try:
        yield place
    finally:
        await place.channel.close()


async def test_mentions_replace_the_names_in_the_text(
    slack_server: RunningSlack,
) -> None:
    async with workplace(slack_server) as place:
        await place.send(BY_MAIL, BY_CONFIG)

        assert place.words == "Hi <U0ADA0000><U0BOB0000>, not @Ada"
        assert place.server.messages[-1]["text"] == "T"

        await place.send()
        assert place.words == "Hi @Ada@Bob, not @Ada"


async def test_a_user_is_looked_up_once_even_across_a_restart(
    slack_server: RunningSlack,
) -> None:
    nobody = Mention(BOB, "Bob", email="bob@example.com")
    async with workplace(slack_server) as place:
        for _ in range(3):
            await place.send(BY_MAIL, nobody)
            assert place.words == "Hi <U0ADA0000>@Bob, not @Ada"
            await place.again()

        assert place.server.calls.count("users.lookupByEmail") == 2
        assert not any("example" in key for key in place.kv._values)


async def test_deleted_users_and_bots_are_not_mentioned(slack_server: RunningSlack) -> None:
    for attributes in ({"deleted": True}, {"is_bot": True}):
        slack_server.slack.user = attributes
        async with workplace(slack_server) as place:
            await place.send(BY_MAIL)
            assert place.pinged == []


@pytest.mark.parametrize("answer", [
    "missing_scope",
    "ratelimited",
    "internal_error",
    Answer(b"<html>", 502, "text/html"),
    Answer(cut=True),
    Answer.of({"ok": True, "user": []}),
])  # fmt: skip
async def test_a_message_is_sent_when_a_lookup_fails(
    slack_server: RunningSlack, answer: Answer | str, caplog: pytest.LogCaptureFixture
) -> None:
    async with workplace(slack_server) as place:
        slack_server.slack.next.append(answer)
        await place.send(BY_MAIL, BY_CONFIG)
        assert place.words == "Hi @Ada<U0BOB0000>, not @Ada"
        await place.send(BY_MAIL)

    assert slack_server.slack.calls.count("users.lookupByEmail") == 0
    warned = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert len(warned) == (0 if isinstance(answer, Answer) and answer.status == 200 and
                           not answer.cut else 1)  # fmt: skip
    if answer == "missing_scope":
        assert "users:read.email and users:read" in caplog.text


async def test_a_message_is_sent_when_a_lookup_is_slow(
    slack_server: RunningSlack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slack_people, "LOOKUP_TIMEOUT", 0.0)
    async with workplace(slack_server) as place:
        await place.send(BY_MAIL, BY_CONFIG)

        assert place.words == "Hi @Ada<U0BOB0000>, not @Ada"


async def test_a_mention_missing_in_the_text_gets_a_line(slack_server: RunningSlack) -> None:
    async with workplace(slack_server) as place:
        await place.send(BY_MAIL, BY_CONFIG, body="No names")
        assert place.words == "No names\n\n<U0ADA0000> <U0BOB0000>"

        await place.send(BY_CONFIG, body="x", override='[{"type": "divider"}]')
        assert place.pinged == ["U0BOB0000"]

        own = '{"blocks": [{"type": "rich_text", "elements": [{"type": "rich_text_section", '
        own += '"elements": [{"type": "user", "user_id": "U0BOB0000"}]}]}]}'
        await place.send(BY_CONFIG, body="x", override=own)
        assert place.pinged == ["U0BOB0000"]


async def test_a_webhook_mentions_people_in_the_config(slack_server: RunningSlack) -> None:
    channel = open_channel(slack_hook(slack_server.webhook_url))
    await channel.send(Message("T", BODY, mentions=(BY_MAIL, BY_CONFIG)), "key")
    await channel.close()

    users = [part for part in rich_inlines(slack_server.slack.messages[-1]["blocks"])
             if part["type"] == "user"]  # fmt: skip
    assert users == [{"type": "user", "user_id": "U0BOB0000"}]


async def test_a_direct_message_goes_to_one_person(slack_server: RunningSlack) -> None:
    async with workplace(slack_server, direct="mentioned") as place:
        for _ in range(2):
            await place.send(to=BY_MAIL)
            await place.again()

        posted = place.server.messages
        assert [message["channel"] for message in posted] == ["D0ADA0000", "D0ADA0000"]
        assert place.pinged == []
        assert place.server.calls.count("conversations.open") == 1

        place.server.rooms = [room for room in place.server.rooms if room.id != "D0ADA0000"]
        await place.send(to=BY_MAIL)
        assert place.server.calls.count("conversations.open") == 2


async def test_a_direct_message_needs_a_slack_user(slack_server: RunningSlack) -> None:
    async with workplace(slack_server, direct="mentioned") as place:
        for person in (Mention(BOB, "Bob", email="bob@example.com"), Mention(BOB, "Bob")):
            with pytest.raises(Permanent) as caught:
                await place.send(to=person)
            assert caught.value.reason == "no_address"
            assert "Bob is not known in Slack" in str(caught.value)
            assert "bob@" not in str(caught.value)

        with pytest.raises(
            DeliveryError, match="opens no conversation with Bob: user_not_found"
        ) as caught:
            await place.send(to=Mention(BOB, "Bob", addresses={"slack": "U0GONE000"}))
        assert (type(caught.value), caught.value.reason) == (Permanent, "no_address")

        place.server.scopes = SCOPES - {"users:read.email"}
        with pytest.raises(DeliveryError, match="missing_scope"):
            await place.send(to=BY_MAIL)
        place.server.scopes = SCOPES - {"im:write"}
        with pytest.raises(DeliveryError, match="missing_scope"):
            await place.send(to=BY_CONFIG)


async def test_a_picture_is_uploaded_once_and_shown(slack_server: RunningSlack) -> None:
    async with workplace(slack_server, thumbnails=True) as place:
        for _ in range(2):
            await place.send(picture_=PICTURE, file="Landing page", footer="Acme")
            await place.again()

        (file,) = place.server.complete
        assert place.server.files[file] == PICTURE.content
        image = {"type": "image", "slack_file": {"id": file}, "alt_text": "Landing page"}
        for message in place.server.messages:
            assert [block["type"] for block in message["blocks"]] == [
                "rich_text",
                "image",
                "context",
            ]
            assert image in message["blocks"]
        first = place.server.messages[0]
        place.server.posted.add("1.000001")
        await place.send(picture_=PICTURE, thread_=ReplyTo("1.000001", "1.000001", "T"))
        assert place.server.messages[-1]["thread_ts"] == "1.000001"
        assert "thread_ts" not in first


async def test_a_picture_that_slack_still_processes_is_retried(
    slack_server: RunningSlack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slack, "_IMAGE_RETRY_DELAYS", (0.0, 0.01, 0.01))
    async with workplace(slack_server, thumbnails=True) as place:
        place.server.slow_files = 2
        await place.send(picture_=PICTURE)
        assert place.server.messages[-1]["blocks"][-1]["type"] == "image"

        place.server.slow_files = 3
        await place.send(picture_=PICTURE)
        assert place.server.messages[-1]["blocks"][-1]["type"] == "rich_text"
        await place.send(picture_=PICTURE)
        assert len(place.server.files) == 2
        assert len(place.server.messages) == 3


@pytest.mark.parametrize("answer", [
    "missing_scope",
    Answer.of({"ok": True}),
    Answer.of({"ok": True, "upload_url": "http://127.0.0.1:1/", "file_id": "F0FILE0000"}),
    Answer(cut=True),
])  # fmt: skip
async def test_a_message_is_sent_without_a_picture_that_fails(
    slack_server: RunningSlack, answer: Answer | str, caplog: pytest.LogCaptureFixture
) -> None:
    async with workplace(slack_server, thumbnails=True) as place:
        for _ in range(2):
            slack_server.slack.next.append(answer)
            await place.send(picture_=PICTURE)

        assert [len(message["blocks"]) for message in place.server.messages] == [1, 1]
    assert caplog.text.count("messages without pictures") == 1
    assert TOKEN not in caplog.text


async def test_an_unsupported_picture_type_is_left_out(slack_server: RunningSlack) -> None:
    async with workplace(slack_server, thumbnails=True) as place:
        await place.send(picture_=Picture(b"RIFF", "image/webp", 1, 1))
        await place.send(picture_=PICTURE, override='[{"type": "divider"}]')

        assert place.server.files == {}
        assert len(place.server.messages) == 2


async def test_check_names_the_scopes_of_the_settings(slack_server: RunningSlack) -> None:
    slack_server.slack.scopes = frozenset({"chat:write", "channels:read", "users:read"})
    text = await findings(bot(slack_server, thumbnails=True))
    assert "no The Slack app lacks the scope files:write to show pictures" in text
    assert "ok Only people in [people] are found in Slack." in text
    assert "add the scope users:read.email and" in text

    text = await findings(bot(slack_server, direct="mentioned"))
    assert "no The Slack app lacks the scope im:write to write to people" in text
    assert "can post to" not in text

    slack_server.slack.scopes = SCOPES
    assert "no " not in await findings(bot(slack_server, direct="mentioned", thumbnails=True))
