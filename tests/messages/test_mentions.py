"""People who are mentioned: from a comment's text to their place in a document."""

import pytest

from relay.messages.escape import Markdown, escape
from relay.messages.filters import quote, truncate
from relay.messages.markdown import Document, Paragraph, Quote, Text, parse
from relay.messages.mentions import mentioned, with_all, with_people
from relay.messages.message import Mention, Message
from relay.messages.plain import to_text
from relay.penpot.text import Words, plain_text

ZOE = "6eaf5050-5d0e-81a4-8006-9a5f00000001"
ADA = "6eaf5050-5d0e-81a4-8006-9a5f00000002"
COMMENT = plain_text(f"@[Zoë *M*]({ZOE}) look,\n\nnot @Zoë but @[Ada]({ADA})!")


def profiles(document: Document) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    with_people(document, lambda part: found.append((part.text, part.profile)) or part)
    return found


@pytest.mark.parametrize("markdown", [quote(COMMENT), escape(COMMENT), truncate(COMMENT, 80)])
def test_a_mention_keeps_its_place(markdown: Markdown) -> None:
    document = parse(markdown)

    assert profiles(document) == [("@Zoë *M*", ZOE), ("@Ada", ADA)]
    assert " ".join(to_text(document, links=True).replace(">", "").split()) == (
        "@Zoë *M* look, not @Zoë but @Ada!"
    )


def test_what_a_template_makes_of_a_comment_mentions_nobody() -> None:
    for text in (COMMENT.upper(), COMMENT[:40], COMMENT + "", str.strip(COMMENT), f"{COMMENT}"):
        assert mentioned(parse(quote(text))) == set()


@pytest.mark.parametrize("typed", [
    f"[@Zoë](penpot-profile:{ZOE})",
    f"[@Zoë](<penpot-profile:{ZOE}>)",
    f"<penpot-profile:{ZOE}>",
    "\ufdd0@Zoë\ufdd1",
    f"@[Zoë]({ZOE}",
])  # fmt: skip
def test_nobody_is_mentioned_by_hand(typed: str) -> None:
    for words in (typed, plain_text(typed), Words(typed, [(0, 2, ADA)])):
        marked = {person for _, _, person in getattr(words, "mentions", ())}
        for markdown in (quote(words), escape(words), truncate(words, 500)):
            assert mentioned(parse(markdown)) <= marked


def test_a_mention_that_a_cut_goes_through_is_text() -> None:
    document = parse(truncate(COMMENT, 6))

    assert (mentioned(document), to_text(document, links=False)) == (set(), "@Zoë…")
    assert mentioned(parse(quote(COMMENT, 12))) == {ZOE}


def test_who_is_pinged_and_not_shown_gets_a_line() -> None:
    document = parse(quote(COMMENT))
    bob = Mention("b", "Bob")

    assert with_all(document, [Mention(ADA, "Ada")]) == document
    *rest, line = with_all(document, [Mention(ADA, "Ada"), bob, Mention("c")])
    assert tuple(rest) == document
    assert line == Paragraph((Text("@Bob", profile="b"), Text(" "), Text("@someone", profile="c")))


def test_people_are_shown_as_a_channel_shows_them() -> None:
    document = parse(f"- one\n\n  > **hi** {escape(COMMENT)}\n\n# {escape(COMMENT)}")

    shown = with_people(document, lambda part: Text(part.text.upper(), bold=True))

    assert mentioned(document) == {ZOE, ADA}
    assert mentioned(shown) == set()
    assert to_text(shown, links=False).count("@ZOË *M*") == 2
    assert isinstance(document[0], type(shown[0]))
    assert Quote in {type(block) for block in shown[0].items[0]}  # type: ignore[union-attr]


def test_a_message_comes_back_from_the_store_as_it_was() -> None:
    message = Message(
        "Title",
        "Body",
        brief=("Short", ""),
        mentions=(Mention(ADA, "Ada", "ada@example.com", "U1", "@ada:x", "a@x"),),
        to=Mention(ZOE),
        picture="p",
        file="F",
    )

    assert Message.loads(message.dumps()) == message
    assert Message.loads('{"title": "old"}') == Message("old", "")
    assert Message.loads('{"title": "new", "smell": "roses"}') == Message("new", "")
    assert (message.in_thread().body, message.in_thread().picture) == ("Short", "")
    assert Message("a", "b").in_thread() == Message("a", "b")
