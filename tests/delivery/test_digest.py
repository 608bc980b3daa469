"""Digests: what fits into one, and how it reads."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from relay.delivery import digest
from relay.messages.document import Heading, Text, parse
from relay.messages.message import Mention, Message
from relay.penpot.events import Person
from tests.delivery.floods import ADA, CHECKOUT, GRACE, LANDING, comment, read, said, words


def test_a_digest_names_file_person_and_place_once_and_keeps_the_order() -> None:
    renamed = replace(LANDING, name="Landing page, autumn")
    combined = digest.combine(
        [
            said(ADA, LANDING, 12, "Too dark?", replies=False),
            said(ADA, LANDING, 13, "Off the grid.", replies=False),
            said(GRACE, LANDING, 12, "60 % black now."),
            said(GRACE, CHECKOUT, 21, "Two fields?", replies=False),
            said(ADA, LANDING, 12, "Better!"),
            said(ADA, renamed, 12, "Better!"),
            said(GRACE, renamed, 13, "Better!"),
            said(ADA, CHECKOUT, 21, "Yes."),
        ]
    )
    assert read(combined) == [
        "Landing page, autumn",
        "Ada Lovelace commented · Home · #12",
        "> Too dark?",
        "commented · Home · #13",
        "> Off the grid.",
        "Grace *H* replied to “Too dark?” · Home · #12",
        "> 60 % black now.",
        "Ada Lovelace replied",
        "> Better!",
        "replied",
        "> Better!",
        "Grace *H* replied to “Too dark?” · Home · #13",
        "> Better!",
        "---",
        "Checkout [v2]",
        "Grace *H* commented · Home · #21",
        "> Two fields?",
        "Ada Lovelace replied to “Too dark?”",
        "> Yes.",
    ]
    headings = [block for block in parse(combined.body) if isinstance(block, Heading)]
    assert [block.inlines for block in headings] == [
        (Text("Landing page, autumn", url="https://p.example/l"),),
        (Text("Checkout [v2]", url="https://p.example/c"),),
    ]
    assert combined.title == "8 events in 2 files"
    words(combined)


def test_files_with_the_same_name_are_not_combined() -> None:
    other = replace(LANDING, id="o", url="https://p.example/o")
    combined = digest.combine([said(ADA, LANDING, 1, "a"), said(ADA, other, 1, "b")])

    assert read(combined).count("Landing page") == 2
    assert "Ada Lovelace replied to" in read(combined)[-2]


def test_unknown_people_are_not_combined() -> None:
    nobody = Person("x")
    combined = digest.combine([said(nobody, LANDING, 1, "a"), said(nobody, LANDING, 1, "b")])

    assert [part for part in read(combined) if part.startswith("Someone")] == [
        "Someone replied to “Too dark?” · Home · #1",
        "Someone replied",
    ]


@pytest.mark.parametrize(
    "body",
    [
        "**Ada Lovelace**: +1",  # no word that can begin a line follows the name
        "**Ada Lovelace** - +1",
        "Ada Lovelace\n+1",
        "says on\n· +1",
    ],
)
def test_the_wording_of_user_templates_is_not_changed(body: str) -> None:
    mine = Message("T", body, thread="t", file="Landing page", file_id="l", actor="Ada Lovelace")
    combined = digest.combine([mine, mine])

    assert combined.body == f"### Landing page\n\n{body}\n\n{body}"


def test_messages_that_begin_with_a_place_go_into_a_digest() -> None:
    both = [Message("T", f"· on page 1\n\n{text}", thread="t") for text in ("one", "two")]
    assert digest.combine(both).body.count("· on page 1") == 2


def test_a_message_with_few_fields_goes_into_a_digest() -> None:
    old = Message.loads('{"title": "T", "body": "**Ada** replied on **A**\\n\\n> x", "file": "A"}')

    assert read(digest.combine([old, old])) == ["A"] + ["Ada replied", "> x"] * 2


@pytest.mark.parametrize(("messages", "number"), [
    ([comment(0, text="x" * 3000), comment(1)], 1),
    ([comment(0), comment(1, text="x" * 3000)], 1),
    ([comment(0), Message("T", "x", to=Mention("a"))], 1),
    ([comment(0), comment(1)], 2),
    ([comment(n, text="hi") for n in range(100)], None),
])  # fmt: skip
def test_digest_size(messages: Sequence[Message], number: int | None) -> None:
    fits = digest.digest_size(messages)

    assert fits == number if number else 5 < fits <= digest.MAX_DIGEST_SIZE
    if fits > 1:
        assert "…" not in words(digest.combine(messages[:fits]))
