"""The reader gives the same documents as the full parser, or none."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relay.messages.builtin import BuiltinTemplates
from relay.messages.document import parse, parse_fully
from relay.messages.escape import escape
from relay.messages.filters import link, quote
from relay.messages.locale import LANGUAGES, Locale, builtin_folder, using
from relay.messages.simple_markdown import Run, read
from relay.penpot.catalogue import CATALOGUE
from tests.messages.clock import clock_at
from tests.messages.samples import known, unknown
from tests.messages.texts import NASTY, any_text

PARTS = [
    "a", "Ada", "é", "👩", "שלום", "12", "1.", " ", " ", "\u00a0", "\n", "\n\n", "\\\n", "> ", ">",
    "\n> ", "\n>\n> ", "**", "**", "*", "\\*", "\\(", "\\)", "“", "(", ")", '"', "'", "·", "—", ":",
    "[x](<http://e.com>)", "[\\[y\\]](<http://e.com/?a=1&amp;b=2&lt=3>)", "[z](<penpot-profile:u>)",
    "[t](<relay-time:1785000000>)", "[a](http://e)", "[r]: http://e", "[r]", "%", ".", "-", "#",
    "_", "~", "~~", "`", "&", "&amp;", "&#42;", "!", "![", "]", "<", "=", "+", "|", "\\", "\t",
    "\r", "\u2028", "\ufeff", "\x00",
]  # fmt: skip


@settings(max_examples=300)
@given(st.lists(st.sampled_from(PARTS), max_size=12).map("".join))
def test_what_it_reads_is_what_the_parser_reads(markdown: str) -> None:
    assert parse(markdown) == parse_fully(markdown)


@given(any_text, any_text)
def test_texts_from_outside_are_read_as_by_the_parser(name: str, comment: str) -> None:
    place = link(name, "https://p.example/?a=1&lt=2")
    markdown = f"**{escape(name)}** replied on {place}\n\n{quote(comment)}"
    assert parse(markdown) == parse_fully(markdown)


@pytest.mark.parametrize("language", LANGUAGES)
def test_it_reads_nearly_all_that_the_built_in_templates_give(language: str) -> None:
    templates = BuiltinTemplates(builtin_folder())
    texts = set()
    with using(Locale(language)), clock_at("2026-07-25T12:00Z"):
        for name in CATALOGUE:
            for variables in (known(name), unknown(name)):
                sections = templates.sections(f"{name}.md.j2", {"emoji": "", **variables}, True)
                texts |= {sections.body, sections.footer, sections.digest}
    for text in texts:
        assert parse(text) == parse_fully(text)
    unread = [text for text in texts if read(text) is None]
    assert all("\n- " in text for text in unread)  # a list of files
    assert len(texts) > 20 * len(unread) > 0


def test_styles_links_and_breaks() -> None:
    markdown = "**Ada \\*** on [Land\\]ing](<http://p/?a&amp;b>)\nby *10*\\\nx\n\n> one\n>\n> two"
    assert read(markdown) == [
        (
            False,
            [
                [
                    Run("Ada *", bold=True),
                    Run(" on "),
                    Run("Land]ing", address="http://p/?a&b"),
                    Run(" "),
                    Run("by "),
                    Run("10", italic=True),
                    Run("\n", is_break=True),
                    Run("x"),
                ]
            ],
        ),
        (True, [[Run("one")], [Run("two")]]),
    ]


@pytest.mark.parametrize(
    "markdown",
    ["- a", "# a", "1. a", "a  \nb", "a **b", "**b**c*", "`a`", "<b>", "a\n> b", "> a\nb", *NASTY],
)
def test_anything_else_is_left_to_the_parser(markdown: str) -> None:
    if read(markdown) is not None:
        assert markdown in NASTY
    assert parse(markdown) == parse_fully(markdown)


def test_a_long_text_takes_linear_time() -> None:
    for part in ("\\*a", "[", "a ", "**a** ", "[a", "> "):
        markdown = part * 20_000
        assert read(markdown) is None or parse(markdown)
