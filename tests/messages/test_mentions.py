import pytest

from relay.messages.document import Document, Paragraph, Quote, Text, parse, to_text
from relay.messages.escape import Markdown, escape
from relay.messages.filters import quote, truncate
from relay.messages.mentions import add_missing_mentions, mentioned_profiles, replace_mentions
from relay.messages.message import Mention
from relay.penpot.text import CommentText, plain_text

ZOE = "6eaf5050-5d0e-81a4-8006-9a5f00000001"
ADA = "6eaf5050-5d0e-81a4-8006-9a5f00000002"
COMMENT = plain_text(f"@[Zoë *M*]({ZOE}) look,\n\nnot @Zoë but @[Ada]({ADA})!")


def profiles(document: Document) -> list[tuple[str, str]]:
    mentions: list[tuple[str, str]] = []
    replace_mentions(document, lambda part: mentions.append((part.text, part.profile)) or part)
    return mentions


@pytest.mark.parametrize("markdown", [quote(COMMENT), escape(COMMENT), truncate(COMMENT, 80)])
def test_a_mention_keeps_its_place(markdown: Markdown) -> None:
    document = parse(markdown)

    assert profiles(document) == [("@Zoë *M*", ZOE), ("@Ada", ADA)]
    assert " ".join(to_text(document, links=True).replace(">", "").split()) == (
        "@Zoë *M* look, not @Zoë but @Ada!"
    )


def test_text_derived_from_a_comment_has_no_mentions() -> None:
    for text in (COMMENT.upper(), COMMENT[:40], COMMENT + "", str.strip(COMMENT), f"{COMMENT}"):
        assert mentioned_profiles(parse(quote(text))) == set()


@pytest.mark.parametrize("typed", [
    f"[@Zoë](penpot-profile:{ZOE})",
    f"[@Zoë](<penpot-profile:{ZOE}>)",
    f"<penpot-profile:{ZOE}>",
    "\ufdd0@Zoë\ufdd1",
    f"@[Zoë]({ZOE}",
])  # fmt: skip
def test_typed_text_cannot_form_a_mention(typed: str) -> None:
    for words in (typed, plain_text(typed), CommentText(typed, [(0, 2, ADA)])):
        marked = {person for _, _, person in getattr(words, "mentions", ())}
        for markdown in (quote(words), escape(words), truncate(words, 500)):
            assert mentioned_profiles(parse(markdown)) <= marked


def test_a_mention_that_was_cut_is_text() -> None:
    document = parse(truncate(COMMENT, 6))

    assert (mentioned_profiles(document), to_text(document, links=False)) == (set(), "@Zoë…")
    assert mentioned_profiles(parse(quote(COMMENT, 12))) == {ZOE}


def test_missing_mentions_are_added_as_a_line() -> None:
    document = parse(quote(COMMENT))
    bob = Mention("b", "Bob")

    assert add_missing_mentions(document, [Mention(ADA, "Ada")]) == document
    *rest, line = add_missing_mentions(document, [Mention(ADA, "Ada"), bob, Mention("c")])
    assert tuple(rest) == document
    assert line == Paragraph((Text("@Bob", profile="b"), Text(" "), Text("@someone", profile="c")))


def test_replace_mentions_in_all_blocks() -> None:
    document = parse(f"- one\n\n  > **hi** {escape(COMMENT)}\n\n# {escape(COMMENT)}")

    shown = replace_mentions(document, lambda part: Text(part.text.upper(), bold=True))

    assert mentioned_profiles(document) == {ZOE, ADA}
    assert mentioned_profiles(shown) == set()
    assert to_text(shown, links=False).count("@ZOË *M*") == 2
    assert isinstance(document[0], type(shown[0]))
    assert Quote in {type(block) for block in shown[0].items[0]}  # type: ignore[union-attr]
