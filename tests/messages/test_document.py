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
    parse,
)
from relay.messages.plain import to_text


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
