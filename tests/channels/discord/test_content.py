"""A message as an embed."""

from dataclasses import replace

from hypothesis import given

from relay.channels.discord import content
from relay.channels.discord.content import fits, render
from relay.messages.message import Content, Message
from tests.channels.builders import MESSAGE
from tests.channels.discord.place import ADA
from tests.channels.marked import Shown
from tests.channels.texts import messages
from tests.servers.discord import _check, pings


@given(messages)
def test_no_text_pings_formats_or_breaks_a_limit(message: Message) -> None:
    body = render(message)
    _check(body, {}, {})
    assert list(pings(body)) == []
    assert body["content"] == ""
    text = body["embeds"][0]["description"]
    assert "@" not in text.replace("@\u200b", "")
    shown = Shown(text.replace("-# ", ""))
    assert set(shown.tags) <= {"p", "br", "blockquote", "a", "strong"}


@given(messages)
def test_what_fits_is_not_cut(message: Message) -> None:
    text = render(message)["embeds"][0]["description"]
    if fits(message):
        assert text.count("…") == content.DIALECT.literal(
            message.full.body + message.full.footer
        ).count("…")


def test_long_texts_and_footers_do_not_fit() -> None:
    assert fits(MESSAGE)
    assert not fits(replace(MESSAGE, full=Content("x" * 5000)))
    assert not fits(replace(MESSAGE, full=Content("\\*" * 2500)))
    assert not fits(replace(MESSAGE, full=Content("x", "f" * 301)))
    assert not fits(replace(MESSAGE, full=Content("x", "[a](https://x.example/%s)" % ("y" * 1000))))


def test_a_message_without_words_shows_its_title() -> None:
    assert render(Message("Only a title_"))["embeds"] == [{"description": "Only a title\\_"}]


def test_somebody_mentioned_twice_is_pinged_once() -> None:
    body = render(Message("T", Content("x"), mentions=(ADA, replace(ADA, id="other"))))
    assert body["allowed_mentions"]["users"] == ["80351110224678912"]


def test_a_time_is_shown_in_each_readers_zone_and_none_of_a_text_is() -> None:
    markdown = "[yesterday 10:17](<relay-time:1785000000>) [10:17](<relay-time:1785000000:time>)"
    text = content.render(Message("T", Content(markdown + r" \<t:1:f\>")))["embeds"][0][
        "description"
    ]
    assert text == "<t:1785000000:f> <t:1785000000:t> \\<\u200bt\\:1:f>"


def test_a_footer_mentions_nobody() -> None:
    footer = f"[@Ada](<penpot-profile:{ADA.id}>)"
    text = render(Message("T", Content("x", footer), mentions=(ADA,)))["embeds"][0]["description"]
    assert text == "x\n-# @\u200bAda"
