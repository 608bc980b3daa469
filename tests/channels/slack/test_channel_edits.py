"""Edited and removed messages in Slack."""

from dataclasses import replace

import pytest

from relay.channels import open_channel
from relay.channels.base import (
    DeliveryError,
    EditableChannel,
    MemoryKeyValueStore,
    MessageNotFound,
    Misconfigured,
    NotEditable,
    Permanent,
    RetryLater,
)
from relay.channels.slack.settings import SlackSettings
from relay.messages.message import Mention, Message, Picture
from tests.channels.builders import MESSAGE, assert_leaks_no_secret, opened, slack_bot, slack_hook
from tests.penpot.paint import board
from tests.servers.fixtures import RunningSlack
from tests.servers.loopback import Answer
from tests.servers.slack_rules import rich_inlines

pytestmark = pytest.mark.anyio

LATER = replace(MESSAGE, title="Later", body="**Ada** says something else\n\n> Better")
PICTURE = Picture(board(), "image/png", 8, 8)


def words(message: dict[str, object]) -> str:
    inlines = rich_inlines(message["blocks"])
    return "".join(str(part.get("text", f"<{part.get('user_id')}>")) for part in inlines)


async def change(settings: SlackSettings, receipt: str, message: Message = LATER) -> None:
    async with opened(settings) as channel:
        assert isinstance(channel, EditableChannel)
        await channel.update(receipt, message, "k")


async def posted(settings: SlackSettings) -> str:
    async with opened(settings) as channel:
        return (await channel.send(MESSAGE, "k")).id


async def test_a_message_is_edited_in_place(slack_server: RunningSlack) -> None:
    settings = slack_bot(slack_server.api_url)
    ts = await posted(settings)

    await change(settings, ts)
    await change(settings, ts)

    (shown,) = slack_server.slack.shown.values()
    assert (words(shown), shown["text"]) == ("Ada says something elseBetter", "Later")
    assert len(slack_server.slack.messages) == 1


async def test_remove_edits_the_message(slack_server: RunningSlack) -> None:
    settings = slack_bot(slack_server.api_url)
    ts = await posted(settings)

    async with opened(settings) as channel:
        assert isinstance(channel, EditableChannel)
        await channel.remove(ts, replace(MESSAGE, body="*Deleted*", footer=""), "k")

    (shown,) = slack_server.slack.shown.values()
    assert words(shown) == "Deleted"
    assert "too" not in str(shown["blocks"])


async def test_an_edit_in_a_named_channel_uses_the_id_from_slack(
    slack_server: RunningSlack,
) -> None:
    settings = slack_bot(slack_server.api_url, "#design")
    kv = MemoryKeyValueStore()
    before, after = open_channel(settings, kv), open_channel(settings, kv)  # a restart
    ts = (await before.send(MESSAGE, "k")).id

    assert isinstance(after, EditableChannel)
    await after.update(ts, LATER, "k")
    with pytest.raises(DeliveryError) as unknown:
        await change(settings, ts)

    (shown,) = slack_server.slack.shown.values()
    assert shown["text"] == "Later"
    assert (type(unknown.value), unknown.value.reason) == (NotEditable, "channel_id")
    await before.close()
    await after.close()


@pytest.mark.parametrize(
    ("answer", "kind", "reason"),
    [
        ("message_not_found", MessageNotFound, "message_not_found"),
        ("cant_update_message", NotEditable, "cant_update_message"),
        ("edit_window_closed", NotEditable, "edit_window_closed"),
        ("block_mismatch", NotEditable, "block_mismatch"),
        ("update_failed", RetryLater, "update_failed"),
        ("is_inactive", Misconfigured, "is_inactive"),
        ("channel_not_found", Misconfigured, "channel_not_found"),
        ("msg_too_long", Permanent, "msg_too_long"),
        ("invalid_auth", Misconfigured, "invalid_auth"),
        (Answer(b"", 429, headers={"Retry-After": "7"}), RetryLater, "ratelimited"),
        (Answer(cut=True), RetryLater, "connect"),
    ],
)
async def test_each_answer_to_an_edit_raises_its_kind_of_error(
    slack_server: RunningSlack, answer: Answer | str, kind: type[DeliveryError], reason: str
) -> None:
    settings = slack_bot(slack_server.api_url)
    ts = await posted(settings)
    slack_server.slack.next.append(answer)

    with pytest.raises(kind) as refused:
        await change(settings, ts)

    assert refused.value.reason == reason
    assert_leaks_no_secret(refused.value, settings)


async def test_an_edit_of_a_deleted_message_raises_message_not_found(
    slack_server: RunningSlack,
) -> None:
    settings = slack_bot(slack_server.api_url)
    ts = await posted(settings)
    slack_server.slack.posted.discard(ts)

    with pytest.raises(MessageNotFound):
        await change(settings, ts)


async def test_an_edited_message_keeps_its_picture_and_mentions(
    slack_server: RunningSlack,
) -> None:
    settings = slack_bot(slack_server.api_url).model_copy(update={"thumbnails": True})
    ada = Mention("28fbd360-8a3c-81b0-8004-6c1b90e4c571", "Ada", addresses={"slack": "U0ADA0000"})
    message = replace(LATER, body=f"Look, [@Ada](<penpot-profile:{ada.id}>)", mentions=(ada,))
    ts = await posted(settings)

    async with opened(settings) as channel:
        assert isinstance(channel, EditableChannel)
        await channel.update(ts, message, "k", PICTURE)

    (shown,) = slack_server.slack.shown.values()
    assert [block["type"] for block in shown["blocks"]] == ["rich_text", "image", "context"]
    assert words(shown) == "Look, <U0ADA0000>"


async def test_an_edit_with_a_refused_override_falls_back(
    slack_server: RunningSlack,
) -> None:
    settings = slack_bot(slack_server.api_url)
    ts = await posted(settings)

    await change(settings, ts, replace(LATER, override='[{"type": "nonsense"}]'))

    (shown,) = slack_server.slack.shown.values()
    assert words(shown) == "Ada says something elseBetter"


def test_a_webhook_channel_is_not_editable(slack_server: RunningSlack) -> None:
    assert slack_hook(slack_server.webhook_url).edit_mode == "none"
    assert slack_bot(slack_server.api_url).edit_mode == "in-place"
