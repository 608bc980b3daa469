"""A message as Mattermost's Markdown."""

from dataclasses import replace

from hypothesis import given

from relay.channels.mattermost.content import MAX_LENGTH, TEXT
from relay.messages.message import Content, Message
from tests.channels.builders import MESSAGE
from tests.channels.marked import Shown
from tests.channels.mattermost.place import ADA
from tests.channels.texts import messages
from tests.servers.mattermost import _slack_text, pings


@given(messages)
def test_no_text_pings_formats_or_breaks_a_limit(message: Message) -> None:
    text = TEXT.render(message)
    assert len(text) <= MAX_LENGTH
    assert _slack_text(text) == text
    assert pings(text) == []
    assert set(Shown(text).tags) <= {"p", "br", "blockquote", "a", "strong"}


def test_tags_channels_and_emoji_stay_text() -> None:
    text = TEXT.render(
        Message("T", Content(r"\#design \~town\-square \:tada\: 12\:30 \#15 \~\~no\~\~"))
    )
    assert (
        text == "\\#\u200bdesign \\~\u200btown-square :\u200btada: 12:30 #15 \\~\\~\u200bno\\~\\~"
    )


def test_long_texts_and_footers_do_not_fit() -> None:
    assert TEXT.fits(MESSAGE)
    assert TEXT.fits(replace(MESSAGE, full=Content("x" * 16_000)))
    assert not TEXT.fits(replace(MESSAGE, full=Content("x" * 17_000)))
    assert not TEXT.fits(replace(MESSAGE, full=Content("\\*" * 9000)))
    assert not TEXT.fits(replace(MESSAGE, full=Content("x", "f" * 301)))


def test_a_message_without_words_shows_its_title() -> None:
    assert TEXT.render(Message("Only a title_")) == "Only a title\\_"


def test_a_footer_mentions_nobody() -> None:
    footer = f"[@Ada](<penpot-profile:{ADA.id}>)"
    text = TEXT.render(Message("T", Content("x", footer), mentions=(ADA,)))
    assert text == "x\n\n@ada\u200b\n\n@\u200bAda"


@given(messages)
def test_what_fits_is_not_cut(message: Message) -> None:
    if TEXT.fits(message):
        whole = message.full.body + message.full.footer
        assert TEXT.render(message).count("…") == whole.count("…")
