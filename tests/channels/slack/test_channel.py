"""Messages in Slack, and check()."""

import json
import logging
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relay.channels.base import ReplyTo, ThreadNotFound
from relay.channels.slack import blocks as slack_blocks
from relay.channels.slack.channel import SlackChannel
from relay.messages.filters import quote
from relay.messages.message import Message
from tests.channels.builders import MESSAGE, delivery_error, findings, opened, slack_bot, slack_hook
from tests.channels.texts import messages
from tests.servers.fixtures import RunningSlack
from tests.servers.loopback import in_thread
from tests.servers.slack import Room, Slack
from tests.servers.slack_rules import block_faults, pings, rich_inlines, too_long

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


async def test_one_connection_serves_many_messages(slack_server: RunningSlack) -> None:
    async with opened(slack_bot(slack_server.api_url)) as channel:
        assert isinstance(channel, SlackChannel)
        for number in range(3):
            await channel.send(MESSAGE, f"delivery-{number}")
        assert channel._api._client.session is not None
        connector = channel._api._client.session.connector
        assert connector is not None
        assert sum(len(idle) for idle in connector._conns.values()) == 1


async def test_the_sdk_logs_neither_webhook_nor_message(
    slack_server: RunningSlack, caplog: pytest.LogCaptureFixture
) -> None:
    settings = slack_hook(slack_server.webhook_url)
    with caplog.at_level(logging.DEBUG):
        async with opened(settings) as channel:
            await channel.send(MESSAGE, "delivery-1")
    assert "Secret" not in caplog.text
    assert "Lovelace" not in caplog.text


async def test_the_proxy_of_the_environment_respects_no_proxy(
    slack_server: RunningSlack, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with in_thread(slack_server.slack.handle) as proxy:
        monkeypatch.setenv("http_proxy", proxy.url)
        async with opened(slack_bot("http://slack.invalid/api")) as channel:
            await channel.send(MESSAGE, "delivery-1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    async with opened(slack_bot(slack_server.api_url)) as channel:
        await channel.send(MESSAGE, "delivery-2")
    assert len(slack_server.slack.messages) == 2


# A template's own blocks


async def test_paragraphs_of_a_comment_are_separated(slack_server: RunningSlack) -> None:
    async with opened(slack_bot(slack_server.api_url)) as channel:
        await channel.send(Message("t", quote("a\nb\n\nc")), "delivery-1")
    (block,) = slack_server.slack.messages[0]["blocks"]
    assert block["elements"] == [
        {"type": "rich_text_quote", "elements": [{"type": "text", "text": "a\nb\n\nc"}]}
    ]


async def test_an_override_is_posted_unchanged(slack_server: RunningSlack) -> None:
    blocks = [{"type": "header", "text": {"type": "plain_text", "text": "Ours"}}]
    async with opened(slack_bot(slack_server.api_url)) as channel:
        await channel.send(Message("A <title>", "", override=json.dumps(blocks)), "delivery-1")
        both = json.dumps({"blocks": blocks, "text": "our text"})
        await channel.send(Message("A title", "", override=both), "delivery-2")
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
    message = Message(MESSAGE.title, MESSAGE.body, override=override, event="create-comment")
    async with opened(slack_bot(slack_server.api_url)) as channel:
        await channel.send(message, "delivery-1")
    assert slack_server.slack.messages[0]["blocks"] == BLOCKS[:1]
    assert "the Slack template of create-comment is not used" in caplog.text


async def test_another_error_of_an_override_is_raised(
    slack_server: RunningSlack,
) -> None:
    slack_server.slack.next.append("is_archived")
    message = Message("t", "b", override='[{"type": "divider"}]')
    error = await delivery_error(slack_bot(slack_server.api_url), message)
    assert error.reason == "is_archived"
    assert slack_server.slack.messages == []


# Any text, any length


def every_text(blocks: list[dict[str, object]]) -> str:
    return "".join(element.get("text", "") for element in rich_inlines(blocks))


@given(messages)
def test_no_text_pings_links_or_breaks_a_limit(message: Message) -> None:
    body = slack_blocks.render(message)
    assert not re.search(r"[<>]", body["text"])
    assert not re.search(r"&(?!amp;|lt;|gt;)", body["text"])
    assert 1 <= len(body["text"]) <= 2000
    assert block_faults(body["blocks"]) == []
    assert not too_long(body["blocks"])
    assert not pings(body["blocks"])
    for element in rich_inlines(body["blocks"]):
        assert element["type"] in ("text", "link")
        assert element.get("url", message.url) == message.url
    for block in body["blocks"]:
        for element in block["elements"] if block["type"] == "context" else ():
            if element["type"] == "mrkdwn":
                assert element["text"] == f"<{message.url}|Open in Penpot>"
            else:
                assert not re.search(r"[<>]|&(?!amp;|lt;|gt;)", element["text"])
                assert element["emoji"] is False


structures = st.recursive(
    st.sampled_from(["text", "# head", "---", "```\ncode\n```", "a **b** [c](https://d.example)"]),
    lambda inner: st.builds(
        lambda sign, parts: "\n".join(
            (sign if number == 0 else " " * len(sign)) + line if sign != "> " else sign + line
            for part in parts
            for number, line in enumerate(part.split("\n"))
        ),
        st.sampled_from(["> ", "- ", "7. "]),
        st.lists(inner, min_size=1, max_size=6),
    ),
    max_leaves=12,
)


@settings(max_examples=50)
@given(st.lists(structures, max_size=5).map("\n\n".join), st.integers(1, 60))
def test_any_structure_becomes_valid_blocks(markdown: str, times: int) -> None:
    body = slack_blocks.render(Message("t", "\n\n".join([markdown] * times), footer=markdown))
    assert not too_long(body.get("blocks", []))
    assert "blocks" not in body or block_faults(body["blocks"]) == []


def test_a_long_text_ends_in_an_ellipsis_between_two_visible_characters() -> None:
    family = "👩‍👩‍👧‍👦"
    blocks = slack_blocks.render(Message("t", family * 2000))["blocks"]
    text = every_text(blocks)
    assert text.endswith("…")
    assert set(text[:-1].split(family)) == {""}
    assert len(text) > 2900


def test_a_nested_list_is_indented_and_numbering_continues() -> None:
    [block] = slack_blocks.render(Message("t", "3. one\n   - inner\n4. two"))["blocks"]
    shown = [
        (part["style"], part.get("indent", 0), part.get("offset", 0)) for part in block["elements"]
    ]
    assert shown == [("ordered", 0, 2), ("bullet", 1, 0), ("ordered", 0, 3)]


def test_a_footer_link_with_formatting_characters_is_literal() -> None:
    footer = r"Acme · [\*Website\*](https://penpot.example/#/x)"
    [block] = slack_blocks.render(Message("t", "", footer=footer))["blocks"]
    assert block["type"] == "rich_text"
    assert every_text([block]) == "Acme · *Website*"


def test_an_empty_message_has_a_text() -> None:
    assert slack_blocks.render(Message(" ", "")) == {"text": "Penpot"}


# What check says


def workspace(server: RunningSlack, **changes: object) -> Slack:
    for name, value in changes.items():
        setattr(server.slack, name, value)
    return server.slack


async def test_check_finds_a_good_channel_by_id_and_by_name(slack_server: RunningSlack) -> None:
    for channel in ("C0DESIGN0", "#design", "#private"):
        text = await findings(slack_bot(slack_server.api_url, channel))
        assert 'ok The token is that of @relay in "Acme".' in text
        assert re.search(r"ok @relay can post to #(design|private)\.", text)
    assert slack_server.slack.messages == []


@pytest.mark.parametrize(
    ("channel", "words"),
    [
        ("#general", "no The bot is not in #general: invite it with /invite @relay."),
        ("C0GENERAL", "no The bot is not in #general: invite it with /invite @relay."),
        ("#old-ones", "no The channel #old-ones is archived: unarchive it or configure"),
        ("#nowhere", "no Slack has no channel #nowhere that @relay can see: check the name"),
        ("C0NOWHERE", "no Slack has no channel C0NOWHERE that @relay can see: check the name"),
    ],
)
async def test_check_reports_a_wrong_channel_and_how_to_fix_it(
    channel: str, words: str, slack_server: RunningSlack
) -> None:
    assert words in await findings(slack_bot(slack_server.api_url, channel))


async def test_check_accepts_a_user_or_a_direct_conversation(slack_server: RunningSlack) -> None:
    workspace(slack_server).rooms.append(Room("D0DIRECT0", ""))
    for channel in ("U0ADA0000", "D0DIRECT0"):
        text = await findings(slack_bot(slack_server.api_url, channel))
        assert f"ok @relay can post to {channel}." in text


async def test_check_finds_a_channel_on_a_later_page(slack_server: RunningSlack) -> None:
    workspace(slack_server, rooms=[Room(f"C0ROOM{n:03}", f"room-{n}") for n in range(9)])
    text = await findings(slack_bot(slack_server.api_url, "#room-8"))
    assert "ok @relay can post to #room-8." in text


async def test_check_accepts_a_bot_that_may_post_anywhere(slack_server: RunningSlack) -> None:
    workspace(slack_server, scopes=frozenset({"chat:write", "chat:write.public", "channels:read"}))
    text = await findings(slack_bot(slack_server.api_url, "C0GENERAL"))
    assert "ok @relay can post to #general." in text


async def test_check_names_missing_scopes(slack_server: RunningSlack) -> None:
    workspace(slack_server, scopes=frozenset({"users:read.email"}))
    text = await findings(slack_bot(slack_server.api_url))
    assert "no The Slack app lacks the scope chat:write" in text
    assert "channels:read and groups:read" in text


async def test_check_reports_a_bad_token(slack_server: RunningSlack) -> None:
    wrong = slack_bot(slack_server.api_url, token="xoxb-wrong-token-of-the-tests")
    assert "no Slack: Slack does not accept the token" in await findings(wrong)
    workspace(slack_server).next.append("token_revoked")
    assert "was revoked" in await findings(slack_bot(slack_server.api_url))


async def test_check_validates_only_the_url_of_a_webhook(slack_server: RunningSlack) -> None:
    good = await findings(slack_hook(slack_server.webhook_url))
    assert good.startswith("ok The webhook at 127.0.0.1 looks right.")
    assert "without a message" in good
    assert slack_server.slack.messages == []
    wrong = await findings(slack_hook(f"{slack_server.url}/SecretElsewhere"))
    assert wrong.startswith("no webhook_url is no Slack webhook")
