"""A message as Rocket.Chat's Markdown, read by Rocket.Chat's own parser."""

from dataclasses import replace

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from relay.channels.markdown import line_of
from relay.channels.markdown_text import utf16_length
from relay.channels.rocketchat.content import DIALECT, MAX_LENGTH, TEXT
from relay.messages.document import Text, parse, to_text
from relay.messages.escape import escape
from relay.messages.message import Content, Message
from tests.channels.builders import MESSAGE
from tests.channels.marked import visible
from tests.channels.rocketchat.place import ADA
from tests.channels.texts import carrying, messages
from tests.servers.rocketchat import pings
from tests.servers.rocketchat_parser import ShownInRocketChat

# What means something to the parser, in any order and beside each other.
ATOMS = (
    *("*", "_", "~", "`", "```", "[", "]", "(", ")", "<", ">", "|", "||", "!", "@", "#", "\\"),
    *(":", ";", "=", "/", "//", "-", "+", "'", "^", "%", "$", ".", ",", " ", "\n", "\t", "\u200d"),
    *("a", "é", "0", "3", "8", "B", "D", "O", "P", "X", "😀", "Ada", "- ", "1. ", "> ", "# ", "* "),
    *("http://", "https://x.com", "x.com", "www.", "localhost", "1.2.3.4", "a@b.com", "mailto:"),
    *("tel:", "+49123456", ":smile:", "<3", "(y)", "color:#fff", "#chan", "@all", "@here", "_x_"),
    *("*x*", "[x](https://e.com)", "<https://e.com|x>", "<t:1785000000:f>", "\\(", "\\)", "\\["),
    *("\\]", "- [ ] ", "- [x] ", "---", "&lt;"),
)
foreign = st.lists(st.sampled_from(ATOMS), max_size=12).map("".join)
LABEL_CHARACTERS = str.maketrans("<>|", "\u2039\u203a\xa6")  # in the text of links


def words(text: str) -> str:
    """Without white space."""
    return "".join(visible(text).translate(LABEL_CHARACTERS).split())


@settings(max_examples=30)  # the parser is slow
@given(messages)
def test_no_text_pings_formats_or_breaks_a_limit(message: Message) -> None:
    text = TEXT.render(message)
    assert utf16_length(text) <= MAX_LENGTH
    assert pings(text, users=("ada", "bob")) == []
    shown = ShownInRocketChat(text)
    assert set(shown.tags) <= {"p", "blockquote", "a", "strong"}
    assert shown.mentions == []


@given(foreign, foreign)
@example("[x](javascript:alert(1))", "`[x](javascript:alert(1))`")  # a "[" looks for the next "]("
@example("v1.2_final", "a.b*c*")  # within a domain no backslash is read
@example(":", "*)")
def test_what_the_parser_looks_for_stays_text(name: str, comment: str) -> None:
    message = carrying(name, comment)
    text = TEXT.render(message)
    shown = ShownInRocketChat(text)
    assert set(shown.tags) <= {"p", "blockquote", "a", "strong"}
    assert pings(text) == shown.mentions == []
    document = (*parse(message.full.body), *parse(message.full.footer))
    assert words(shown.text) == words(to_text(document, links=False, quoted=""))


def test_emoji_domains_channels_and_formulas_stay_text() -> None:
    text = r"\#design 12\:30 \:tada\: \:\) 8\) design\.zip 3\.5 \\(x\\) localhost \+49123456"
    assert TEXT.render(Message("T", Content(text))) == (
        "\\#design 12:30 :\u200btada: :\u200b) 8\u200b) design\\.zip 3\\.5 \\\u200b(x\\\u200b) "
        "l\u200bocalhost +\u200b49123456"
    )


def test_a_styled_text_that_has_a_marker_has_no_style() -> None:
    for markdown in ("**a\\*b**", "*a\\_b*", "~~a\\#b~~", "**x.com**", "**`a`**", "`` a`b ``"):
        (paragraph,) = parse(markdown)
        (part,) = (part for part in paragraph.inlines if isinstance(part, Text))
        shown = ShownInRocketChat(line_of([part], DIALECT))
        assert shown.text.strip() == part.text
        assert set(shown.tags) <= {"p", "code"}


@pytest.mark.parametrize(
    "url",
    [
        "http://penpot:9001/#/view?a=1",
        "http://localhost:9001/x",
        "http://[::1]:9001/x",
        "https://p.example/a(b)c|d\\e",
        "mailto:it@example.com",
    ],
)
def test_links_open_their_addresses_and_show_any_text(url: str) -> None:
    label = "a *b* [c](d) @all <e|f>"
    (link,) = ShownInRocketChat(line_of([Text(f"{label}", url=url)], DIALECT)).links
    shown, target = link
    assert shown == "a *b* [c](d) @all \u2039e\xa6f\u203a"
    assert target == (
        url.replace("@", "%40").replace("(b)", "%28b%29").replace("|", "%7C").replace("\\", "%5C")
    )


def test_long_texts_and_footers_do_not_fit() -> None:
    assert TEXT.fits(MESSAGE)
    assert TEXT.fits(replace(MESSAGE, full=Content("x" * 4900)))
    assert not TEXT.fits(replace(MESSAGE, full=Content("x" * 5100)))
    assert not TEXT.fits(replace(MESSAGE, full=Content("\\*" * 2600)))
    assert not TEXT.fits(replace(MESSAGE, full=Content("x", "f" * 301)))


@settings(max_examples=30)
@given(messages)
def test_what_fits_is_not_cut(message: Message) -> None:
    if TEXT.fits(message):
        whole = message.full.body + message.full.footer
        assert TEXT.render(message).count("…") == whole.count("…")


def test_a_message_without_words_shows_its_title() -> None:
    assert TEXT.render(Message("> Only a title_")) == "\u200b> Only a title\\_"


def test_a_footer_mentions_nobody() -> None:
    footer = f"[@Ada](<penpot-profile:{ADA.id}>)"
    text = TEXT.render(Message("T", Content(escape("x"), footer), mentions=(ADA,)))
    assert text == "x\n\n@ada\u200b\n\n@\u200bAda"
