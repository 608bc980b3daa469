"""Messages and edits in Slack."""

import json
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
    ReplyTo,
    RetryLater,
    ThreadNotFound,
)
from relay.channels.slack.settings import SlackSettings
from relay.messages.filters import quote
from relay.messages.message import Content, Mention, Message, Picture
from tests.channels.builders import (
    MESSAGE,
    assert_leaks_no_secret,
    delivery_error,
    opened,
    slack_bot,
    slack_hook,
)
from tests.penpot.paint import board
from tests.servers.fixtures import RunningSlack
from tests.servers.loopback import Answer
from tests.servers.slack_rules import rich_inlines

pytestmark = pytest.mark.anyio

BLOCKS = [
    {
        "type": "rich_text",
        "elements": [
            {
                "type": "rich_text_section",
                "elements": [
                    {"type": "text", "text": "Ada Lovelace", "style": {"bold": True}},
                    {"type": "text", "text": " commented on "},
                    {
                        "type": "link",
                        "url": "https://penpot.example/#/view?a=1&b=2",
                        "text": "Landing page",
                    },
                ],
            },
            {
                "type": "rich_text_quote",
                "elements": [
                    {"type": "text", "text": "The button is "},
                    {"type": "text", "text": "too", "style": {"italic": True}},
                    {"type": "text", "text": " small.\n<!channel> please"},
                ],
            },
        ],
    },
    {
        "type": "context",
        "elements": [
            {"type": "plain_text", "text": "Website · Acme ·", "emoji": False},
            {
                "type": "mrkdwn",
                "text": "<https://penpot.example/#/view?a=1&amp;b=2|Open in Penpot>",
                "verbatim": True,
            },
        ],
    },
]


async def test_a_bot_posts_text_and_blocks_without_markup(
    slack_server: RunningSlack,
) -> None:
    async with opened(slack_bot(slack_server.api_url)) as channel:
        receipt = await channel.send(MESSAGE, "delivery-1")
    assert slack_server.slack.messages == [
        {
            "channel": "C0DESIGN0",
            "text": "Ada commented on Landing page",
            "blocks": BLOCKS,
            "mrkdwn": False,
            "parse": "none",
            "link_names": False,
            "unfurl_links": False,
            "unfurl_media": False,
        }
    ]
    assert receipt.id == "1700000000.000001"


async def test_a_channel_may_be_configured_by_name(slack_server: RunningSlack) -> None:
    async with opened(slack_bot(slack_server.api_url, "#design")) as channel:
        await channel.send(MESSAGE, "delivery-1")
    assert slack_server.slack.messages[0]["channel"] == "#design"


async def test_a_webhook_gets_the_same_message_and_returns_no_id(
    slack_server: RunningSlack,
) -> None:
    async with opened(slack_hook(slack_server.webhook_url)) as channel:
        receipt = await channel.send(MESSAGE, "delivery-1")
    assert slack_server.slack.messages[0]["blocks"] == BLOCKS
    assert receipt.id == ""


async def test_a_reply_is_in_its_thread(slack_server: RunningSlack) -> None:
    async with opened(slack_bot(slack_server.api_url)) as channel:
        root = await channel.send(MESSAGE, "delivery-1")
        await channel.send(MESSAGE, "delivery-2", ReplyTo(root.id, root.id, MESSAGE.title))
    _, reply = slack_server.slack.messages
    assert (reply["thread_ts"], reply["reply_broadcast"]) == (root.id, False)


async def test_a_reply_may_be_shown_in_the_channel_too(slack_server: RunningSlack) -> None:
    settings = slack_bot(slack_server.api_url).model_copy(update={"broadcast": True})
    async with opened(settings) as channel:
        root = await channel.send(MESSAGE, "delivery-1")
        await channel.send(MESSAGE, "delivery-2", ReplyTo(root.id, root.id, MESSAGE.title))
    assert slack_server.slack.messages[1]["reply_broadcast"] is True


async def test_a_reply_to_a_deleted_message_raises_thread_not_found(
    slack_server: RunningSlack,
) -> None:
    async with opened(slack_bot(slack_server.api_url)) as channel:
        with pytest.raises(ThreadNotFound) as caught:
            await channel.send(MESSAGE, "delivery-2", ReplyTo("1600000000.000001", "", ""))
    assert caught.value.reason == "thread_not_found"


# A template's own blocks


async def test_paragraphs_of_a_comment_are_separated(slack_server: RunningSlack) -> None:
    async with opened(slack_bot(slack_server.api_url)) as channel:
        await channel.send(Message("t", Content(quote("a\nb\n\nc"))), "delivery-1")
    (block,) = slack_server.slack.messages[0]["blocks"]
    assert block["elements"] == [
        {"type": "rich_text_quote", "elements": [{"type": "text", "text": "a\nb\n\nc"}]}
    ]


async def test_an_override_is_posted_unchanged(slack_server: RunningSlack) -> None:
    blocks = [{"type": "header", "text": {"type": "plain_text", "text": "Ours"}}]
    async with opened(slack_bot(slack_server.api_url)) as channel:
        await channel.send(
            Message("A <title>", Content("", override=json.dumps(blocks))), "delivery-1"
        )
        both = json.dumps({"blocks": blocks, "text": "our text"})
        await channel.send(Message("A title", Content("", override=both)), "delivery-2")
    first, second = slack_server.slack.messages
    assert (first["blocks"], first["text"]) == (blocks, "A &lt;title&gt;")
    assert (second["blocks"], second["text"]) == (blocks, "our text")


@pytest.mark.parametrize(
    "override",
    [
        "[",
        "{}",
        "17",
        '{"blocks": [], "channel": "C0GENERAL"}',
        '{"blocks": [], "text": 3}',
        '[{"type": "section"}]',
        '[{"type": "header", "text": {"type": "mrkdwn", "text": "x"}}]',
    ],
)
async def test_an_invalid_override_falls_back_to_the_built_in_blocks(
    override: str, slack_server: RunningSlack, caplog: pytest.LogCaptureFixture
) -> None:
    message = Message(
        MESSAGE.title, Content(MESSAGE.full.body, override=override), event="create-comment"
    )
    async with opened(slack_bot(slack_server.api_url)) as channel:
        await channel.send(message, "delivery-1")
    assert slack_server.slack.messages[0]["blocks"] == BLOCKS[:1]
    assert "the Slack template of create-comment is not used" in caplog.text


async def test_another_error_of_an_override_is_raised(
    slack_server: RunningSlack,
) -> None:
    slack_server.slack.next.append("is_archived")
    message = Message("t", Content("b", override='[{"type": "divider"}]'))
    error = await delivery_error(slack_bot(slack_server.api_url), message)
    assert error.reason == "is_archived"
    assert slack_server.slack.messages == []


# Edits


LATER = replace(
    MESSAGE,
    full=replace(MESSAGE.full, body="**Ada** says something else\n\n> Better"),
    title="Later",
)
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
        await channel.remove(
            ts, replace(MESSAGE, full=replace(MESSAGE.full, body="*Deleted*", footer="")), "k"
        )

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
    message = replace(
        LATER,
        full=replace(LATER.full, body=f"Look, [@Ada](<penpot-profile:{ada.id}>)"),
        mentions=(ada,),
    )
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

    await change(
        settings, ts, replace(LATER, full=replace(LATER.full, override='[{"type": "nonsense"}]'))
    )

    (shown,) = slack_server.slack.shown.values()
    assert words(shown) == "Ada says something elseBetter"


def test_a_webhook_channel_is_not_editable(slack_server: RunningSlack) -> None:
    assert slack_hook(slack_server.webhook_url).edit_mode == "none"
    assert slack_bot(slack_server.api_url).edit_mode == "in-place"
