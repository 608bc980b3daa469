"""Mentions and direct messages in Slack."""

import logging

import pytest

from relay.channels import open_channel
from relay.channels.base import DeliveryError, NoAddress, Permanent
from relay.channels.slack import users as slack_people
from relay.messages.message import Content, Mention, Message
from tests.channels.builders import slack_hook
from tests.channels.slack.workplace import BOB, BODY, BY_CONFIG, BY_MAIL, workplace
from tests.servers.fixtures import RunningSlack
from tests.servers.loopback import Answer
from tests.servers.slack import SCOPES
from tests.servers.slack_rules import rich_inlines

pytestmark = pytest.mark.anyio


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
    await channel.send(Message("T", Content(BODY), mentions=(BY_MAIL, BY_CONFIG)), "key")
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
            with pytest.raises(NoAddress) as caught:
                await place.send(to=person)
            assert caught.value.reason == "no_address"
            assert "Bob is not known in Slack" in str(caught.value)
            assert "bob@" not in str(caught.value)

        with pytest.raises(
            DeliveryError, match="opens no conversation with Bob: user_not_found"
        ) as caught:
            await place.send(to=Mention(BOB, "Bob", addresses={"slack": "U0GONE000"}))
        assert (type(caught.value), caught.value.reason) == (Permanent, "user_not_found")
        assert "check [people]" in str(caught.value)

        # as after they have left: their id is known from earlier
        left = Mention(BOB, "Bob", email="bob@left.example")
        users = place.channel._users
        await users._kv.put(users._key(left.email), "U0GONE000")
        with pytest.raises(NoAddress, match="opens no conversation with Bob: user_not_found"):
            await place.send(to=left)

        place.server.scopes = SCOPES - {"users:read.email"}
        with pytest.raises(DeliveryError, match="missing_scope"):
            await place.send(to=BY_MAIL)
        place.server.scopes = SCOPES - {"im:write"}
        with pytest.raises(DeliveryError, match="missing_scope"):
            await place.send(to=BY_CONFIG)
