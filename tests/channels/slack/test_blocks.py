"""Messages as Block Kit: any text, any length."""

import re

import pytest
from hypothesis import given

from relay.channels.slack import blocks as slack_blocks
from relay.channels.slack.blocks import escape, parse_block_kit
from relay.messages.message import Content, Mention, Message
from tests.channels.texts import messages
from tests.servers.slack_rules import block_faults, pings, rich_inlines, too_long


def every_text(blocks: list[dict[str, object]]) -> str:
    return "".join(element.get("text", "") for element in rich_inlines(blocks))


@given(messages)
def test_the_full_text_for_another_host_has_no_ping_and_no_markup(message: Message) -> None:
    text = slack_blocks.full_text(message, slack_blocks.defused)
    assert "@" not in text.replace("@\u200b", "")
    assert not re.search(r"[<>]", text)
    assert not re.search(r"\][(\[:]", text)
    assert text.endswith(message.url)
    assert len(text) < 8000
    assert len(slack_blocks.full_text(message)) <= 3000 + 1500 + 100


def test_the_full_text_is_title_words_and_link() -> None:
    def full_text(title: str, body: str, url: str = "https://p.example/") -> str:
        return slack_blocks.full_text(Message(title, Content(body, "footer"), url=url))

    assert full_text("Ada created X", "**Ada** created [X](https://p.example/x)") == (
        "Ada created X\n\nhttps://p.example/"
    )
    assert full_text("2 files moved", "2 files moved\n\n- One\n- Two") == (
        "2 files moved\n\n- One\n- Two\nhttps://p.example/"
    )
    stopped = "Messages to a have stopped"
    assert full_text(stopped, "Messages to **a** have stopped: the bot left. Invite it.", "") == (
        f"{stopped}\n\nThe bot left. Invite it."
    )
    assert full_text(stopped, "Messages to **a** have stopped.", "") == stopped
    assert full_text("A", "And so on", "") == "A\n\nAnd so on"
    body = "Ada replied to “a” on [X](https://p.example/x) · Home · #12"
    replied = full_text("Ada replied on X", f"{body}\n\n> One\\\n> two\n>\n> Three")
    assert replied == (
        "Ada replied to “a” on X · Home · #12\n\nOne\ntwo\n\nThree\nhttps://p.example/"
    )
    assert full_text("Resolved", "✓ Resolved · on [X](https://p.example/x)", "") == (
        "Resolved\n\n✓ Resolved · on X (https://p.example/x)"
    )
    assert full_text(" ", "", "") == "Penpot"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("*a* **b** `c` ~~d~~ _e_ __f__", r"\*a\* \*\*b\*\* \`c\` \~\~d\~\~ \_e\_ \_\_f\_\_"),
        ("hero_banner_2, 2 < 3, a & b, ~5", "hero_banner_2, 2 &lt; 3, a & b, ~5"),
        ("# a\n#15\nb\n---\nc\n|-|-|\n\n---\n- d", "\\# a\n#15\nb\n\\---\nc\n\\|-|-|\n\n---\n- d"),
        (r"\*a\* C:\temp", r"\\\*a\\\* C:\temp"),
        ("&lt;!channel&gt; &#60;!here> &x", "&amp;lt;!channel&amp;gt; &amp;#60;!here&gt; &x"),
        ("[a](https://e) ![b](c) [d]: e [f][g]",
         "[a]\u200b(https://e) ![b]\u200b(c) [d]\u200b: e [f]\u200b[g]"),
        ("https://m.example/@a/a_b_*c&d=1 @ada", "https://m.example/%40a/a_b_*c&d=1 @\u200bada"),
        ("https://bank.example@evil.example", "https://bank.example%40evil.example"),
        ("https://e.example/&lt;x", "https://e.example/&amp;lt;x"),
    ],
)  # fmt: skip
def test_text_for_another_host_stays_text_in_markdown(text: str, shown: str) -> None:
    assert slack_blocks.defused(text) == shown


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
        assert element.get("url", message.url) in (message.url, element["text"])
    for block in body["blocks"]:
        for element in block["elements"] if block["type"] == "context" else ():
            if element["type"] == "mrkdwn":
                assert element["text"] == f"<{message.url}|Open in Penpot>"
            else:
                assert not re.search(r"[<>]|&(?!amp;|lt;|gt;)", element["text"])
                assert element["emoji"] is False


def test_a_long_text_ends_in_an_ellipsis_between_two_visible_characters() -> None:
    family = "👩‍👩‍👧‍👦"
    blocks = slack_blocks.render(Message("t", Content(family * 2000)))["blocks"]
    text = every_text(blocks)
    assert text.endswith("…")
    assert set(text[:-1].split(family)) == {""}
    assert len(text) > 2900


def test_a_footer_link_with_formatting_characters_is_literal() -> None:
    footer = r"Acme · [\*Website\*](https://penpot.example/#/x)"
    [block] = slack_blocks.render(Message("t", Content("", footer=footer)))["blocks"]
    assert block["type"] == "rich_text"
    assert every_text([block]) == "Acme · *Website*"


def test_a_footer_link_with_an_ampersand_opens_on_ios() -> None:
    for address, kind in (
        ("https://p.example/?a=1&b=2", "rich_text"),
        ("https://p.example/?a", "context"),
    ):
        footer = f"Acme · [Open](<{address}>)"
        [block] = slack_blocks.render(Message("t", Content("", footer=footer)))["blocks"]
        assert block["type"] == kind
        assert address in str(block)


def test_a_mention_in_the_footer_is_text() -> None:
    ada = Mention("6eaf5050-5d0e-81a4-8006-9a5f00000001", "Ada")
    mention = f"[@Ada](<penpot-profile:{ada.id}>)"
    for footer in (mention, rf"{mention} [\*a\*](https://x.example)"):  # a context, and none
        message = Message("t", Content("b", footer), mentions=(ada,))
        body = slack_blocks.render(message, {ada.id: "U0ADA"})
        assert "@Ada" in str(body["blocks"][-1])
        assert ada.id not in str(body)
        users = [element for element in rich_inlines(body["blocks"]) if element["type"] == "user"]
        assert users == [{"type": "user", "user_id": "U0ADA"}]


def test_a_time_in_the_footer_is_a_date() -> None:
    date = r"[today 10\:17 \|\<x\>\&amp;](<relay-time:1785000000:time>)"
    footer = f"Acme · {date} · [Open](<https://p.example/>)"
    [block] = slack_blocks.render(Message("t", Content("", footer=footer)))["blocks"]
    assert block == {
        "type": "context",
        "elements": [
            {"type": "plain_text", "text": "Acme ·", "emoji": False},
            {"type": "mrkdwn", "text": "<!date^1785000000^{time}|today 10:17 x amp;>"},
            {"type": "plain_text", "text": "·", "emoji": False},
            {"type": "mrkdwn", "text": "<https://p.example/|Open>"},
        ],
    }
    assert slack_blocks.fits(Message("t", Content("", footer=footer)))


def test_an_empty_message_has_a_text() -> None:
    assert slack_blocks.render(Message(" ", Content(""))) == {"text": "Penpot"}


# The templates for Slack alone


BLOCKS = [{"type": "divider"}]


def test_no_name_can_ping_or_link() -> None:
    assert escape("<!channel> & <https://a|b>") == "&lt;!channel&gt; &amp; &lt;https://a|b&gt;"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (BLOCKS, ""),
        ({"blocks": BLOCKS}, ""),
        ({"blocks": BLOCKS, "text": None}, ""),
        ({"blocks": BLOCKS, "text": "Ada: hi"}, "Ada: hi"),
    ],
)
def test_the_forms_of_a_template_for_slack(value: object, text: str) -> None:
    assert parse_block_kit(value) == (BLOCKS, text)


@pytest.mark.parametrize(
    "value",
    ["text", None, {}, {"blocks": {}}, {"blocks": BLOCKS, "text": 1}, {"blocks": BLOCKS, "x": 1}],
)
def test_any_other_form_is_an_error(value: object) -> None:
    with pytest.raises(ValueError, match="must be a list of blocks"):
        parse_block_kit(value)
