from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import given

from relay.messages.document import Paragraph, Text, parse
from relay.messages.escape import Markdown, as_text, clean, escape, one_line
from tests.messages.texts import NASTY, any_text


@given(any_text)
def test_any_text_becomes_one_paragraph_without_style_or_link(text: str) -> None:
    seen = clean(text).strip()
    assert parse(escape(text)) == ((Paragraph((Text(seen),)),) if seen else ())


@given(any_text, any_text)
def test_adjacent_texts_and_texts_in_markup_stay_literal(one: str, other: str) -> None:
    inlines = parse(f"x {escape(one)}{escape(other)} **x{escape(one)}x**")[0].inlines
    assert inlines[:-1] == (Text(f"x {clean(one)}{clean(other)} "),)
    assert inlines[-1] == Text(f"x{clean(one)}x", bold=True)


@pytest.mark.parametrize("text", NASTY)
def test_one_line_has_no_line_ends_and_no_reordering_characters(text: str) -> None:
    assert not set(one_line(text)) & set("\n\r\x00\x0b\x85\u2028\u202e\u2066\ud800")


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, ""),
        (True, "yes"),
        (12, "12"),
        (1.5, "1\\.5"),
        (datetime(2026, 7, 25, 8, 17, 2, tzinfo=UTC), "2026\\-07\\-25 08\\:17\\:02\\+00\\:00"),
        ("Ada\n  Lovelace", "Ada Lovelace"),
        (" · ", " · "),
        ("a_b*", "a\\_b\\*"),
        ("שלום", "\u2068שלום\u2069"),
    ],
)
def test_escape_of_values(value: object, shown: str) -> None:
    assert escape(value) == shown


def test_markdown_is_not_escaped_again() -> None:
    assert escape(Markdown("**b**")) == "**b**"


def test_joining_markdown_with_text_escapes_the_text() -> None:
    bold = Markdown("**b**")
    assert [bold + "*", "*" + bold, Markdown(", ").join([bold, "*"])] == [
        "**b**\\*",
        "\\***b**",
        "**b**, \\*",
    ]
    assert all(isinstance(text, Markdown) for text in (bold + "*", "*" + bold, bold.strip()))


@pytest.mark.parametrize("part", [Markdown("\\*")[1:], Markdown("\\*").strip("\\")])
def test_a_part_of_markdown_is_plain_text(part: str) -> None:
    assert not isinstance(part, Markdown)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (["Ada", None, 1], "Ada, , 1"),
        (("a", ["b", "c"]), "a, b, c"),
        ((name for name in "xy"), "x, y"),
        ({"at": datetime(2026, 3, 9, tzinfo=UTC)}, '{"at": "2026-03-09 00:00:00+00:00"}'),
        (Decimal("1.5"), "1.5"),
    ],
)
def test_lists_and_tables_are_text_without_python(value: object, text: str) -> None:
    assert as_text(value) == text


@pytest.mark.parametrize("value", [len, object(), [as_text], {"a": print}])
def test_what_only_python_can_name_is_an_error(value: object) -> None:
    with pytest.raises(TypeError, match="can't be printed"):
        as_text(value)
