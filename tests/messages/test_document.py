import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.messages.document import (
    CodeBlock,
    Document,
    Heading,
    LineBreak,
    ListBlock,
    Paragraph,
    Quote,
    Rule,
    Text,
    cut,
    length,
    parse,
    size,
    to_text,
)
from relay.messages.shorten import boundary


def paragraphs(*texts: str) -> Document:
    return tuple(Paragraph((Text(text),)) for text in texts)


@pytest.mark.parametrize(
    ("markdown", "document"),
    [
        ("", ()),
        ("a\nb\n\nc", paragraphs("a b", "c")),
        ("a\\\nb  \nc", (Paragraph((Text("a"), LineBreak(), Text("b"), LineBreak(), Text("c"))),)),
        ("# a\n***", (Heading(1, (Text("a"),)), Rule())),
        ("> a\n>\n> b", (Quote(paragraphs("a", "b")),)),
        (
            "- a\n- b\n  - c",
            (ListBlock((paragraphs("a"), (*paragraphs("b"), ListBlock((paragraphs("c"),))))),),
        ),
        ("0. a\n1. b", (ListBlock((paragraphs("a"), paragraphs("b")), start=0),)),
        ("1. a", (ListBlock((paragraphs("a"),), start=1),)),
        ("```x\n a\n\nb\n```", (CodeBlock(" a\n\nb"),)),
        ("    not code", paragraphs("not code")),
        ("<b>text</b>", paragraphs("<b>text</b>")),
        ("https://x.example", paragraphs("https://x.example")),
        (
            "**a *b*** ~~c~~ `d*`",
            (
                Paragraph(
                    (
                        Text("a ", bold=True),
                        Text("b", bold=True, italic=True),
                        Text(" "),
                        Text("c", strike=True),
                        Text(" "),
                        Text("d*", code=True),
                    )
                ),
            ),
        ),
        (
            "**a **b** c** d",
            (Paragraph((Text("a b c", bold=True), Text(" d"))),),
        ),
        (
            "`a\\_b\\*\\\\n [\\@Ada](<penpot-profile:1>) c\\d`",
            (Paragraph((Text("a_b*\\n @Ada c\\d", code=True),)),),
        ),
        ("```\na\\_b\n```", (CodeBlock("a_b"),)),
    ],
)
def test_parse(markdown: str, document: Document) -> None:
    assert parse(markdown) == document


def test_deeply_nested_text_is_kept() -> None:
    assert to_text(parse(">" * 30 + " a"), links=False, quoted="") == "a"


@pytest.mark.parametrize(
    ("markdown", "texts"),
    [
        (
            "[a **b**](https://x)",
            (Text("a ", url="https://x"), Text("b", bold=True, url="https://x")),
        ),
        ("<https://x>", (Text("https://x", url="https://x"),)),
        ("[a](mailto:a@x)", (Text("a", url="mailto:a@x"),)),
        ("![alt](https://x)", (Text("alt", url="https://x"),)),
        ("![](https://x)", (Text("https://x", url="https://x"),)),
        ("[![alt](https://x)](https://y)", (Text("alt", url="https://y"),)),
        ("[a](<https://x/b c>)", (Text("a", url="https://x/b%20c"),)),
        ("[a](javascript:b) [c](d) ![e](data:f)", (Text("a c e"),)),
        ("<javascript:a>", (Text("javascript:a"),)),
        ("[a](https://[x) [b](http:///c) [d](https://e:f/) [g](mailto:)", (Text("a b d g"),)),
    ],
)
def test_only_links_with_allowed_schemes_are_kept(markdown: str, texts: tuple[Text, ...]) -> None:
    assert parse(markdown) == (Paragraph(texts),)


@given(st.text(alphabet="ab *_~`[]()<>!#>-1.\\\n&;:/http", max_size=80))
def test_no_document_has_empty_texts(markdown: str) -> None:
    def check(document: Document) -> None:
        for block in document:
            for item in getattr(block, "items", ()):
                check(item)
            check(getattr(block, "blocks", ()))
            for part in getattr(block, "inlines", ()):
                assert isinstance(part, LineBreak) or part.text

    check(parse(markdown))


def test_long_texts_are_not_cached() -> None:
    assert parse("a" * 20_000) is not parse("a" * 20_000)
    assert parse("a" * 2_000) is parse("a" * 2_000)


# Plain text and length


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


def test_a_cut_address_is_no_link() -> None:
    """Its beginning may show another host than the one that it opens."""
    address = "https://penpot.example.evil.example/path"
    for markdown in (f"<{address}>", f"[{address}]({address})"):
        (block,) = cut(parse(markdown), len("https://penpot.example…"))
        assert block == Paragraph((Text("https://penpot.example…"),))
    (block,) = cut(parse(f"[Landing page]({address})"), 8)
    assert block == Paragraph((Text("Landing…", url=address),))


def test_the_size_of_a_document() -> None:
    assert size(()) == (0, 0, 0)
    assert size(parse("a **b** [c *d*](http://e)")) == (1, 6, 23)
    assert size(parse("a\\\nb")) == (1, 4, 2)
    assert size(parse("> a\n\n1. b\n   > c\n2. d\n\n---\n```\nx\n```")) == (3, 16, 5)


def test_many_lines_of_one_style_take_linear_time() -> None:
    (paragraph,) = parse("a\n" * 20_000)
    assert isinstance(paragraph, Paragraph)
    assert paragraph.inlines == (Text("a " * 19_999 + "a"),)
