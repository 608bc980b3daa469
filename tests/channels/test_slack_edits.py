"""Slack: messages that are changed once they stand in the channel."""

from dataclasses import replace

import pytest

from relay.channels import open_channel
from relay.channels.base import EditableChannel, Failure, MemoryKeyValueStore
from relay.config import SlackSettings
from relay.messages.message import Mention, Message
from relay.picture import Picture
from tests.channels.builders import MESSAGE, assert_leaks_no_secret, opened, slack_bot, slack_hook
from tests.penpot.paint import board
from tests.servers.fixtures import RunningSlack
from tests.servers.loopback import Answer
from tests.servers.slack_rules import rich_inlines

pytestmark = pytest.mark.anyio

LATER = replace(MESSAGE, title="Later", body="**Ada** says something else\n\n> Better")
PICTURE = Picture(board(), "image/png", 8, 8)


def words(message: dict[str, object]) -> str:
    found = rich_inlines(message["blocks"])
    return "".join(str(part.get("text", f"<{part.get('user_id')}>")) for part in found)


async def change(settings: SlackSettings, receipt: str, message: Message = LATER) -> None:
    async with opened(settings) as channel:
        assert isinstance(channel, EditableChannel)
        await channel.update(receipt, message, "k")


async def posted(settings: SlackSettings) -> str:
    async with opened(settings) as channel:
        return (await channel.send(MESSAGE, "k")).id


async def test_a_message_is_changed_where_it_stands(slack_server: RunningSlack) -> None:
    settings = slack_bot(slack_server.api_url)
    ts = await posted(settings)

    await change(settings, ts)
    await change(settings, ts)

    (shown,) = slack_server.slack.shown.values()
    assert (words(shown), shown["text"]) == ("Ada says something elseBetter", "Later")
    assert len(slack_server.slack.messages) == 1


async def test_what_is_taken_away_leaves_a_word_in_its_place(slack_server: RunningSlack) -> None:
    settings = slack_bot(slack_server.api_url)
    ts = await posted(settings)

    async with opened(settings) as channel:
        assert isinstance(channel, EditableChannel)
        await channel.remove(ts, replace(MESSAGE, body="*Deleted*", footer=""), "k")

    (shown,) = slack_server.slack.shown.values()
    assert words(shown) == "Deleted"
    assert "too" not in str(shown["blocks"])


async def test_a_channel_that_is_named_is_changed_by_the_id_that_slack_told(
    slack_server: RunningSlack,
) -> None:
    settings = slack_bot(slack_server.api_url, "#design")
    notes = MemoryKeyValueStore()
    before, after = open_channel(settings, notes), open_channel(settings, notes)  # a restart
    ts = (await before.send(MESSAGE, "k")).id

    assert isinstance(after, EditableChannel)
    await after.update(ts, LATER, "k")
    with pytest.raises(Failure) as unknown:
        await change(settings, ts)

    (shown,) = slack_server.slack.shown.values()
    assert shown["text"] == "Later"
    assert (unknown.value.verdict, unknown.value.reason) == ("fixed", "channel_id")
    await before.close()
    await after.close()


@pytest.mark.parametrize(
    ("answer", "verdict", "reason"),
    [
        ("message_not_found", "gone", "message_not_found"),
        ("cant_update_message", "fixed", "cant_update_message"),
        ("edit_window_closed", "fixed", "edit_window_closed"),
        ("block_mismatch", "fixed", "block_mismatch"),
        ("update_failed", "retry", "update_failed"),
        ("is_inactive", "broken", "is_inactive"),
        ("channel_not_found", "broken", "channel_not_found"),
        ("msg_too_long", "dead", "msg_too_long"),
        ("invalid_auth", "broken", "invalid_auth"),
        (Answer(b"", 429, headers={"Retry-After": "7"}), "retry", "ratelimited"),
        (Answer(cut=True), "retry", "connect"),
    ],
)
async def test_every_answer_to_a_change_gets_its_verdict(
    slack_server: RunningSlack, answer: Answer | str, verdict: str, reason: str
) -> None:
    settings = slack_bot(slack_server.api_url)
    ts = await posted(settings)
    slack_server.slack.next.append(answer)

    with pytest.raises(Failure) as refused:
        await change(settings, ts)

    assert (refused.value.verdict, refused.value.reason) == (verdict, reason)
    assert_leaks_no_secret(refused.value, settings)


async def test_a_message_that_somebody_deleted_is_gone(slack_server: RunningSlack) -> None:
    settings = slack_bot(slack_server.api_url)
    ts = await posted(settings)
    slack_server.slack.posted.discard(ts)

    with pytest.raises(Failure) as refused:
        await change(settings, ts)

    assert refused.value.verdict == "gone"


async def test_a_changed_message_keeps_its_picture_and_shows_whom_it_mentions(
    slack_server: RunningSlack,
) -> None:
    settings = slack_bot(slack_server.api_url).model_copy(update={"thumbnails": True})
    ada = Mention("28fbd360-8a3c-81b0-8004-6c1b90e4c571", "Ada", slack="U0ADA0000")
    message = replace(LATER, body=f"Look, [@Ada](<penpot-profile:{ada.id}>)", mentions=(ada,))
    ts = await posted(settings)

    async with opened(settings) as channel:
        assert isinstance(channel, EditableChannel)
        await channel.update(ts, message, "k", PICTURE)

    (shown,) = slack_server.slack.shown.values()
    assert [block["type"] for block in shown["blocks"]] == ["rich_text", "image", "context"]
    assert words(shown) == "Look, <U0ADA0000>"


async def test_blocks_of_an_override_that_slack_refuses_give_way(
    slack_server: RunningSlack,
) -> None:
    settings = slack_bot(slack_server.api_url)
    ts = await posted(settings)

    await change(settings, ts, replace(LATER, override='[{"type": "nonsense"}]'))

    (shown,) = slack_server.slack.shown.values()
    assert words(shown) == "Ada says something elseBetter"


def test_a_webhook_promises_no_changes(slack_server: RunningSlack) -> None:
    assert slack_hook(slack_server.webhook_url).edits_told == "none"
    assert slack_bot(slack_server.api_url).edits_told == "in-place"
