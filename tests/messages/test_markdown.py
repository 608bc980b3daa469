import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.messages.markdown import (
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


def one(*texts: str) -> Document:
    return tuple(Paragraph((Text(text),)) for text in texts)


@pytest.mark.parametrize(
    ("markdown", "document"),
    [
        ("", ()),
        ("a\nb\n\nc", one("a b", "c")),
        ("a\\\nb  \nc", (Paragraph((Text("a"), LineBreak(), Text("b"), LineBreak(), Text("c"))),)),
        ("# a\n***", (Heading(1, (Text("a"),)), Rule())),
        ("> a\n>\n> b", (Quote(one("a", "b")),)),
        ("- a\n- b\n  - c", (ListBlock((one("a"), (*one("b"), ListBlock((one("c"),))))),)),
        ("0. a\n1. b", (ListBlock((one("a"), one("b")), start=0),)),
        ("1. a", (ListBlock((one("a"),), start=1),)),
        ("```x\n a\n\nb\n```", (CodeBlock(" a\n\nb"),)),
        ("    not code", one("not code")),
        ("<b>text</b>", one("<b>text</b>")),
        ("https://x.example", one("https://x.example")),
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
def test_markdown_means(markdown: str, document: Document) -> None:
    assert parse(markdown) == document


def test_what_is_nested_deeply_is_not_lost() -> None:
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
def test_links_that_may_be_followed_are_kept(markdown: str, texts: tuple[Text, ...]) -> None:
    assert parse(markdown) == (Paragraph(texts),)


@given(st.text(alphabet="ab *_~`[]()<>!#>-1.\\\n&;:/http", max_size=80))
def test_any_markdown_gives_a_document_without_empty_texts(markdown: str) -> None:
    def check(document: Document) -> None:
        for block in document:
            for item in getattr(block, "items", ()):
                check(item)
            check(getattr(block, "blocks", ()))
            for part in getattr(block, "inlines", ()):
                assert isinstance(part, LineBreak) or part.text

    check(parse(markdown))


def test_a_long_text_is_not_kept() -> None:
    assert parse("a" * 20_000) is not parse("a" * 20_000)
    assert parse("a" * 2_000) is parse("a" * 2_000)
