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
from relay.messages.document import parse, to_text
from relay.messages.filters import quote, when
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
from tests.servers.slack import Room
from tests.servers.slack_rules import rich_words

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
        "type": "rich_text",
        "elements": [
            {
                "type": "rich_text_section",
                "elements": [
                    {"type": "text", "text": "Website · Acme · "},
                    {
                        "type": "link",
                        "url": "https://penpot.example/#/view?a=1&b=2",
                        "text": "Open in Penpot",
                    },
                ],
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


async def test_a_time_is_sent_as_a_date(slack_server: RunningSlack) -> None:
    markdown = when("2026-07-25T17:20:00Z")
    message = replace(MESSAGE, full=Content(f"*from {markdown}*", markdown))
    async with opened(slack_bot(slack_server.api_url)) as channel:
        await channel.send(message, "delivery-1")
    body, footer = slack_server.slack.messages[0]["blocks"]
    _, date = body["elements"][0]["elements"]
    assert date == {
        "type": "date",
        "timestamp": 1785000000,
        "format": "{date_short_pretty} {time}",
        "fallback": to_text(parse(markdown), links=True),
        "style": {"italic": True},
    }
    text = f"<!date^1785000000^{date['format']}|{date['fallback']}>"
    assert footer["elements"] == [{"type": "mrkdwn", "text": text}]


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


# A renamed channel


async def test_a_renamed_channel_is_followed_with_a_note(
    slack_server: RunningSlack, caplog: pytest.LogCaptureFixture
) -> None:
    settings, kv = slack_bot(slack_server.api_url, "#design"), MemoryKeyValueStore()
    before, after = open_channel(settings, kv), open_channel(settings, kv)  # a restart
    root = await before.send(MESSAGE, "delivery-1")
    slack_server.slack.rooms[0].name = "product-design"

    reply = await after.send(MESSAGE, "delivery-2", ReplyTo(root.id, root.id, MESSAGE.title))
    await after.send(MESSAGE, "delivery-3")
    assert isinstance(after, EditableChannel)
    await after.update(reply.id, LATER, "delivery-4")

    channels = [message["channel"] for message in slack_server.slack.messages]
    assert channels == ["#design", "C0DESIGN0", "C0DESIGN0"]
    assert slack_server.slack.calls.count("chat.postMessage") == 4  # the name is tried once
    assert caplog.text.count("Slack has no channel #design: messages go to C0DESIGN0") == 1
    await before.close()
    await after.close()


async def test_a_new_channel_with_the_configured_name_is_used(slack_server: RunningSlack) -> None:
    rooms = slack_server.slack.rooms
    async with opened(slack_bot(slack_server.api_url, "#design")) as channel:
        await channel.send(MESSAGE, "delivery-1")
        rooms[0].name = "old-design"
        rooms.append(Room("C0DESIGN1", "design"))
        await channel.send(MESSAGE, "delivery-2")
        rooms[0].name, rooms[-1].name = "design", "new-design"
        await channel.send(MESSAGE, "delivery-3")
    channels = [message["channel"] for message in slack_server.slack.messages]
    assert channels == ["#design"] * 3


async def test_a_deleted_channel_is_looked_up_by_its_name_again(slack_server: RunningSlack) -> None:
    rooms = slack_server.slack.rooms
    async with opened(slack_bot(slack_server.api_url, "#design")) as channel:
        await channel.send(MESSAGE, "delivery-1")
        deleted = rooms.pop(0)
        for _ in range(2):
            with pytest.raises(Misconfigured) as caught:
                await channel.send(MESSAGE, "delivery-2")
            assert caught.value.reason == "channel_not_found"
        rooms.append(replace(deleted, id="C0DESIGN1"))
        await channel.send(MESSAGE, "delivery-2")
    assert len(slack_server.slack.messages) == 2


@pytest.mark.parametrize("channel", ["#nowhere", "C0NOWHERE"])
async def test_a_channel_that_never_was_there_is_not_found(
    channel: str, slack_server: RunningSlack
) -> None:
    error = await delivery_error(slack_bot(slack_server.api_url, channel))
    assert (type(error), error.reason) == (Misconfigured, "channel_not_found")
    assert slack_server.slack.calls == ["chat.postMessage"]


# Refused blocks


REFUSED = ["invalid_blocks", "invalid_blocks_format", "msg_blocks_too_long", "msg_too_long"]
PLAIN = (
    "Ada Lovelace commented on Landing page\n\nThe button is too small.\n&lt;!channel&gt; please\n"
    "https://penpot.example/#/view?a=1&amp;b=2"
)


@pytest.mark.parametrize("code", REFUSED)
async def test_a_message_whose_blocks_are_refused_is_sent_as_plain_text(
    code: str, slack_server: RunningSlack, caplog: pytest.LogCaptureFixture
) -> None:
    slack_server.slack.next.append(code)
    async with opened(slack_bot(slack_server.api_url)) as channel:
        root = await channel.send(MESSAGE, "delivery-1")
        slack_server.slack.next.append(code)
        await channel.send(MESSAGE, "delivery-2", ReplyTo(root.id, root.id, MESSAGE.title))
    first, reply = slack_server.slack.messages
    assert first == {
        "channel": "C0DESIGN0",
        "text": PLAIN,
        "mrkdwn": False,
        "parse": "none",
        "link_names": False,
        "unfurl_links": False,
        "unfurl_media": False,
    }
    assert (reply["text"], reply["thread_ts"]) == (PLAIN, root.id)
    assert f"create-comment-thread is sent to Slack as plain text: {code}" in caplog.text


@pytest.mark.usefixtures("loopback_is_slack")
async def test_a_webhooks_message_whose_blocks_are_refused_is_sent_as_plain_text(
    slack_server: RunningSlack,
) -> None:
    slack_server.slack.next.append("invalid_payload")
    async with opened(slack_hook(slack_server.webhook_url)) as channel:
        await channel.send(MESSAGE, "delivery-1")
    (message,) = slack_server.slack.messages
    assert (message["text"], "blocks" in message) == (PLAIN, False)


async def test_a_message_that_is_refused_as_plain_text_too_is_dead(
    slack_server: RunningSlack,
) -> None:
    slack_server.slack.next += ["invalid_blocks", "msg_too_long"]
    error = await delivery_error(slack_bot(slack_server.api_url))
    assert (type(error), error.reason) == (Permanent, "msg_too_long")


async def test_a_refused_override_and_refused_blocks_end_as_plain_text(
    slack_server: RunningSlack,
) -> None:
    slack_server.slack.next += ["msg_too_long", "invalid_blocks"]
    full = replace(MESSAGE.full, override='[{"type": "divider"}]')
    async with opened(slack_bot(slack_server.api_url)) as channel:
        await channel.send(replace(MESSAGE, full=full), "delivery-1")
    (message,) = slack_server.slack.messages
    assert (message["text"], "blocks" in message) == (PLAIN, False)


async def test_an_edit_whose_blocks_are_refused_removes_the_old_blocks(
    slack_server: RunningSlack,
) -> None:
    settings = slack_bot(slack_server.api_url)
    ts = await posted(settings)
    slack_server.slack.next.append("invalid_blocks")

    await change(settings, ts)

    (shown,) = slack_server.slack.shown.values()
    assert shown["blocks"] == []
    assert shown["text"].startswith("Ada says something else\n\nBetter\nhttps://")


async def test_an_edit_to_an_empty_message_removes_the_old_blocks(
    slack_server: RunningSlack,
) -> None:
    settings = slack_bot(slack_server.api_url)
    ts = await posted(settings)

    await change(settings, ts, Message("Gone", Content("")))

    (shown,) = slack_server.slack.shown.values()
    assert (shown["text"], shown["blocks"]) == ("Gone", [])


# Another host's webhook


async def test_the_text_for_another_host_says_all(slack_server: RunningSlack) -> None:
    hostile = Content(quote("@channel @all @here <!channel> @@channel, mail ada@example.com"))
    override = json.dumps({"blocks": BLOCKS, "text": "@channel"})
    async with opened(slack_hook(slack_server.webhook_url)) as channel:
        await channel.send(replace(MESSAGE, title="@all commented", full=hostile), "delivery-1")
        await channel.send(
            replace(MESSAGE, full=replace(MESSAGE.full, override=override)), "delivery-2"
        )
    first, second = slack_server.slack.messages
    assert first["text"] == (
        "@\u200ball commented\n\n@\u200bchannel @\u200ball @\u200bhere &lt;!channel&gt; "
        "@\u200b@\u200bchannel, mail ada@\u200bexample.com\n"
        "https://penpot.example/#/view?a=1&b=2"
    )
    assert first["blocks"]
    assert second["blocks"] == BLOCKS
    assert second["text"] == PLAIN.replace("&amp;", "&")
    assert (first["unfurl_links"], first["unfurl_media"]) == (False, False)


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
    notice="Later",
)
PICTURE = Picture(board(), "image/png", 8, 8)


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
    assert (rich_words(shown["blocks"]), shown["text"]) == (
        "Ada says something elseBetter",
        "Later",
    )
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
    assert rich_words(shown["blocks"]) == "Deleted"
    assert "too" not in str(shown["blocks"])


async def test_a_further_message_is_deleted_unless_the_workspace_forbids_it(
    slack_server: RunningSlack,
) -> None:
    settings, slack = slack_bot(slack_server.api_url), slack_server.slack
    one, other = [await posted(settings) for _ in range(2)]
    async with opened(settings) as channel:
        assert isinstance(channel, EditableChannel)
        await channel.remove(one, MESSAGE, "k", is_further=True)
        with pytest.raises(MessageNotFound):
            await channel.remove(one, MESSAGE, "k", is_further=True)
        slack.undeletable.add(other)
        gone = replace(MESSAGE, full=Content("*Deleted*"))
        await channel.remove(other, gone, "k", is_further=True)

    (shown,) = slack.shown.values()
    assert rich_words(shown["blocks"]) == "Deleted"


async def test_a_message_in_a_channel_whose_id_is_not_known_stops_no_queue(
    slack_server: RunningSlack,
) -> None:
    settings = slack_bot(slack_server.api_url, "#design")
    ts = await posted(settings)
    async with opened(settings) as channel:  # with another token, and so with other stored ids
        assert isinstance(channel, EditableChannel)
        for is_further in (True, False):
            with pytest.raises(NotEditable, match="is not known"):
                await channel.remove(ts, MESSAGE, "k", is_further=is_further)


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
        ("no_text", Permanent, "no_text"),
        ("message_not_found", MessageNotFound, "message_not_found"),
        ("cant_update_message", NotEditable, "cant_update_message"),
        ("edit_window_closed", NotEditable, "edit_window_closed"),
        ("block_mismatch", NotEditable, "block_mismatch"),
        ("update_failed", RetryLater, "update_failed"),
        ("is_inactive", Misconfigured, "is_inactive"),
        ("channel_not_found", Misconfigured, "channel_not_found"),
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
    del slack_server.slack.shown[ts]

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
    assert [block["type"] for block in shown["blocks"]] == ["rich_text", "image", "rich_text"]
    assert rich_words(shown["blocks"]) == "Look, <U0ADA0000>"


async def test_an_edit_with_a_refused_override_falls_back(
    slack_server: RunningSlack,
) -> None:
    settings = slack_bot(slack_server.api_url)
    ts = await posted(settings)

    await change(
        settings, ts, replace(LATER, full=replace(LATER.full, override='[{"type": "nonsense"}]'))
    )

    (shown,) = slack_server.slack.shown.values()
    assert rich_words(shown["blocks"]) == "Ada says something elseBetter"


def test_a_webhook_channel_is_not_editable(slack_server: RunningSlack) -> None:
    assert slack_hook(slack_server.webhook_url).edit_mode == "none"
    assert slack_bot(slack_server.api_url).edit_mode == "in-place"
