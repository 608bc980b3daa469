import time
from datetime import datetime, timedelta, timezone
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.messages.document import LineBreak, Paragraph, Quote, Text, parse, to_text
from relay.messages.escape import Markdown, clean, escape, one_line
from relay.messages.filters import (
    first_link,
    is_line,
    join,
    link,
    paragraphs,
    quote,
    truncate,
    when,
)
from relay.messages.locale import Locale, using
from relay.messages.times import FORMS
from relay.penpot.text import CommentText
from tests.messages.clock import clock_at
from tests.messages.texts import any_text, lines


@given(any_text, any_text)
def test_a_link_has_literal_text_and_one_safe_address(text: str, tail: str) -> None:
    document = parse(f"x {link(text, f'https://p.example/{tail}')} x")
    links = [part for part in document[0].inlines if part.url]
    assert len(document) == 1
    if clean(text).strip():
        (part,) = links
        assert part.text == clean(text).strip()
        assert part.url.startswith("https://p.example/")
        assert not set(part.url) & set(' <>"\\\n')
    else:
        assert links == []


@pytest.mark.parametrize("url", ["", None, "javascript:alert(1)", "data:text/html,x", "/relative"])
def test_without_a_web_address_a_link_is_its_text(url: object) -> None:
    assert link("a*", url) == "a\\*"


@pytest.mark.parametrize(
    "url",
    [
        "https://p.example/#/workspace?team-id=1&file-id=2&copy;=3",
        "http://[::1]:9001/a_b(c)*d*",
        "https://пенпот.example/ü%20",
    ],
)
def test_an_address_is_not_changed(url: str) -> None:
    assert parse(link("x", url)) == (Paragraph((Text("x", url=url),)),)


def test_a_link_contains_no_other_link() -> None:
    comment = CommentText("Hi @Grace, *look*", [(3, 9, "28fbd360")])
    for text in (comment, quote(comment), Markdown("Hi [@Grace](http://y), \\*look\\*")):
        (paragraph,) = parse(link(text, "http://x"))
        (run,) = paragraph.inlines
        assert run.url == "http://x"
        assert run.text.endswith("Hi @Grace, *look*")


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (link("a", "https://a.example") + " in " + link("b]", "https://b.example/)"),
         link("a", "https://a.example") + " in b]"),
        (Markdown("**[a](<https://a.example>)** [b](<https://b.example>) [c](<mailto:c>)"),
         Markdown("**[a](<https://a.example>)** b c")),
        (Markdown("[@Zoë](<penpot-profile:z>) [a](<https://a.example>) [@Z](<penpot-profile:z>)"),
         None),
        ("[a](<https://a.example>) [b](<https://b.example>)", None),
        (Markdown("**no** link"), None),
        ("", None),
    ],
)  # fmt: skip
def test_the_first_link_stays(before: str, after: str | None) -> None:
    assert first_link(before) == escape(before if after is None else after)


@pytest.mark.parametrize("start", ["[](<", r"\["])
def test_links_that_do_not_end_take_little_time(start: str) -> None:
    started = time.perf_counter()
    first_link(Markdown(start * 50_000))
    assert time.perf_counter() - started < 1


def test_a_link_defaults_to_the_address_of_its_subject() -> None:
    class File(SimpleNamespace):
        def __str__(self) -> str:
            return "Landing page"

    assert link(File(url="https://p.example/f")) == "[Landing page](<https://p.example/f>)"


def shown(document: tuple[Quote, ...]) -> list[list[str]]:
    """The paragraphs of the only quote, each as its lines."""
    return lines_of(document[0].blocks)


def lines_of(document: Any) -> list[list[str]]:
    """Those of each paragraph."""
    rows = []
    for paragraph in document:
        texts = [""]
        for part in paragraph.inlines:
            if isinstance(part, LineBreak):
                texts.append("")
            else:
                assert part == Text(part.text)
                texts[-1] += part.text
        rows.append(texts)
    return rows


@given(any_text)
def test_a_quotation_is_one_quote_with_the_same_lines(text: str) -> None:
    expected: list[list[str]] = [[]]
    for line in lines(text):
        if line:
            expected[-1].append(clean(line))
        elif expected[-1]:
            expected.append([])
    document = parse(f"before\n{quote(text)}\nafter")
    if lines(text):
        assert [type(block) for block in document] == [Paragraph, Quote, Paragraph]
        assert shown(document[1:2]) == expected
        plain = parse(f"before\n{paragraphs(text)}\nafter")
        assert {type(block) for block in plain} == {Paragraph}
        assert lines_of(plain[1:-1]) == expected
    else:
        assert [type(block) for block in document] == [Paragraph, Paragraph]
        assert paragraphs(text) == ""


def test_a_quotation_of_markdown_keeps_its_markup() -> None:
    (quoted,) = parse(quote(Markdown("**a**\n\n- b")))
    assert quoted.blocks[0] == Paragraph((Text("a", bold=True),))
    assert parse(paragraphs(Markdown("**a**\n\n- b"))) == quoted.blocks


QUOTED = "b\nc\n\nd"


def test_a_quotation_is_separate_from_adjacent_text() -> None:
    for before in ("**a** wrote: ", "- a", "# a"):
        _, quoted, after = parse(f"{before}{quote(QUOTED)} after")
        assert after == Paragraph((Text("after"),))
        assert isinstance(quoted, Quote)
        assert shown((quoted,)) == [["b", "c"], ["d"]]


def test_a_quotation_of_nothing_is_empty() -> None:
    assert [quote(""), quote(None), quote(" \n ")] == ["", "", ""]


def test_a_long_quotation_is_cut() -> None:
    assert shown(parse(quote("abc def\nghi", length=9))) == [["abc def…"]]


def test_a_time_is_shown_in_the_zone_of_the_locale() -> None:
    moment = datetime(2026, 7, 5, 10, 7, tzinfo=timezone(timedelta(hours=2)))
    naive = datetime.fromisoformat("2026-07-05T08:07")
    with using(Locale(zone="Asia/Tokyo")), clock_at("2026-07-06T00:00:00+09:00"):
        for value in (moment, moment.isoformat(), naive, naive.isoformat()):
            forms = [to_text(parse(when(value, form)), links=True) for form in ("", *FORMS)]
            assert forms == ["yesterday 17:07", "yesterday", "17:07"]
            assert when(value, "%Y-%m-%d *%H*") == "2026\\-07\\-05 \\*17\\*"


def test_a_form_that_does_not_exist_is_an_error() -> None:
    message = r"""when\('day'\): must be 'date', 'time', or a format such as '%d.%m.%Y'"""
    with pytest.raises(ValueError, match=message):
        when(None, "day")


@pytest.mark.parametrize(("value", "text"), [(None, ""), ("soon*", "soon\\*")])
def test_other_values_than_dates_are_only_escaped(value: object, text: str) -> None:
    assert when(value) == text


@given(any_text, st.integers(0, 20))
def test_a_truncated_text_respects_the_length_and_ends_in_an_ellipsis(
    text: str, length: int
) -> None:
    document = parse(truncate(text, length))
    truncated = "".join(part.text for block in document for part in block.inlines)
    whole = clean(one_line(text))
    # Two more characters isolate a text with right-to-left letters.
    assert len(truncated) <= length + 2
    assert truncated == whole or truncated.rstrip("\u2069").endswith("…") or length == 0


def test_truncated_markdown_loses_its_styles_but_not_its_text() -> None:
    assert truncate(Markdown("**abc** [def](https://x.example)"), 5) == "abc…"


def test_join_escapes_each_value() -> None:
    assert join(["*", Markdown("*a*")], ", ") == "\\*\\, *a*"
    assert join(["*", Markdown("*a*")]) == "\\**a*"


@pytest.mark.parametrize("shorten", [truncate, quote, paragraphs])
def test_only_the_beginning_of_a_long_text_is_processed(shorten: Any) -> None:
    def cost(text: str) -> float:
        start = time.thread_time()
        shorten(text, 20)
        return time.thread_time() - start

    assert min(cost("a b\u202e" * 4_000_000) for _ in range(3)) < 0.02


@pytest.mark.parametrize("shorten", [truncate, quote, paragraphs])
@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\u202e" * 5000 + "b", "…"),
        ("a" + "\u202e" * 5000 + "b", "a…"),
        (" " * 5000 + "a", "a"),
    ],
)
def test_a_text_with_many_invisible_characters_counts_as_cut(
    shorten: Any, text: str, shown: str
) -> None:
    assert to_text(parse(shorten(text, 20)), links=False).removeprefix("> ") == shown


@pytest.mark.parametrize(
    "block",
    [
        "- a",
        "* a",
        "+ a",
        "1. a",
        "2) a",
        "> a",
        "# a",
        "===",
        "---",
        "***",
        "```",
        "a\nb",
    ],
)
def test_a_block_is_no_line(block: str) -> None:
    assert not is_line(block)


@pytest.mark.parametrize("line", ["a", "**a** b", "[a](b)", r"1\. a", "1.5 a", "*a*", "#a", ""])
def test_a_line_stays_one_after_another_line(line: str) -> None:
    assert is_line(line)
    (block,) = parse(f"before\\\n{line or 'x'}")
    assert isinstance(block, Paragraph)
    assert LineBreak() in block.inlines


def test_a_quotation_has_a_limit_of_lines() -> None:
    (quoted,) = parse(quote("a\n" * 5000))
    text = to_text((quoted,), links=False)
    assert text.count("\n") == 400
    assert text.endswith("…")


def test_no_punctuation_before_an_ellipsis() -> None:
    assert truncate("Landing page for the autumn campaign, all of it", 40) == (
        "Landing page for the autumn campaign…"
    )
