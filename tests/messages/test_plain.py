import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.messages.document import CodeBlock, ListBlock, Paragraph, Quote, Text, parse
from relay.messages.plain import boundary, cut, length, shorten, to_text

MARKDOWN = """\
# Title

**Ada** said [this](https://x.example):

> a\\
> b
>
> c

- one
- two

  3. three

```
code
```
***
"""


def test_to_text_with_links() -> None:
    assert to_text(parse(MARKDOWN), links=True) == (
        "Title\n\nAda said this (https://x.example):\n\n> a\n> b\n>\n> c\n\n"
        "- one\n- two\n  3. three\n\ncode\n\n---"
    )


def test_to_text_without_links() -> None:
    assert to_text(parse("[a *b*](https://x) <https://y>"), links=False) == "a b https://y"
    assert (
        to_text(parse("[a *b*](https://x) <https://y>"), links=True) == "a b (https://x) https://y"
    )


def flat(document: object) -> str:
    match document:
        case Text(text) | CodeBlock(text):
            return text
        case Quote(parts) | ListBlock(parts) | Paragraph(parts):
            return "".join(map(flat, parts))
        case tuple():
            return "".join(map(flat, document))
        case _:
            return "".join(map(flat, getattr(document, "inlines", "")))


@given(st.integers(-1, 60))
def test_a_cut_document_is_a_prefix_with_an_ellipsis(limit: int) -> None:
    whole = parse(MARKDOWN)
    short = cut(whole, limit)
    if limit >= length(whole):
        assert short is whole
    elif limit <= 0:
        assert short == ()
    else:
        assert length(short) <= limit
        assert flat(short).endswith("…")
        assert flat(whole).startswith(flat(short)[:-1])
        assert [type(block) for block in short] == [type(block) for block in whole][: len(short)]


@given(st.integers(1, 40))
def test_a_cut_splits_no_visible_character(limit: int) -> None:
    text = "a👩🏽‍🚀 e\u0301🇩🇪🇫🇷x" * 3
    kept = flat(cut(parse(f"> {text}"), limit))
    if kept != text:
        assert boundary(text, len(kept) - 1) == len(kept) - 1
        assert kept.endswith("…")


@pytest.mark.parametrize(
    ("markdown", "limit", "kept"),
    [
        ("**ab** cd", 4, (Paragraph((Text("ab", bold=True), Text("…"))),)),
        ("> abcd\n\ne", 4, (Quote((Paragraph((Text("abc…"),)),)),)),
        ("- ab\n- cd", 3, (ListBlock(((Paragraph((Text("ab"),)),), (Paragraph((Text("…"),)),))),)),
        ("a\\\nb", 2, (Paragraph((Text("a"), Text("…"))),)),
    ],
)
def test_a_cut_keeps_the_structure_valid(markdown: str, limit: int, kept: object) -> None:
    assert cut(parse(markdown), limit) == kept


# Visible characters


CHARACTERS = [
    "a",
    "e\u0301\u0323",
    "👍🏽",
    "👩🏽‍🚀",
    "👨‍👩‍👧‍👦",
    "❤️",
    "🇩🇪",
    "🏴󠁧󠁢󠁥󠁮󠁧󠁿",
    "한",
    "\u1112\u1161\u11ab",
    "नि",
    "1️⃣",
    "\r\n",
]


@given(st.lists(st.sampled_from(CHARACTERS), max_size=12), st.integers(0, 60))
def test_a_boundary_splits_no_visible_character(characters: list[str], at: int) -> None:
    edges = [sum(map(len, characters[:count])) for count in range(len(characters) + 1)]
    text = "".join(characters)
    assert boundary(text, at) == max(edge for edge in edges if edge <= at)


@pytest.mark.parametrize(
    ("text", "length", "short"),
    [
        ("abc", 3, "abc"),
        ("abcd", 3, "ab…"),
        ("ab cd", 4, "ab…"),
        ("👨‍👩‍👧‍👦 family", 5, "…"),
        ("abc", 1, "…"),
        ("abc", 0, ""),
    ],
)
def test_the_ellipsis_counts_towards_the_length(text: str, length: int, short: str) -> None:
    assert shorten(text, length) == short


def test_a_long_sequence_of_marks_is_cut() -> None:
    assert len(shorten("a" + "\u0301" * 10_000, 5_000)) > 4_900
