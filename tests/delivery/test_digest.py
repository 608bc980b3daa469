"""Digests: what fits into one, and how it reads."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from relay.delivery import digest
from relay.delivery.renderer import render
from relay.messages.document import Heading, Text, parse, to_text
from relay.messages.message import Content, Entry, Mention, Message
from relay.messages.templates import Templates
from relay.penpot.events import Comment, Event, Person, Subject, Thread
from tests.delivery.floods import ADA, CHECKOUT, GRACE, LANDING, combine, comment, read, said, words


def test_a_digest_names_file_person_and_place_once_and_keeps_the_order() -> None:
    renamed = replace(LANDING, name="Landing page, autumn")
    combined = combine(
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
        "Ada Lovelace replied",
        "> Yes.",
    ]
    headings = [block for block in parse(combined.content.body) if isinstance(block, Heading)]
    assert [block.inlines for block in headings] == [
        (Text("Landing page, autumn", url="https://p.example/l"),),
        (Text("Checkout [v2]", url="https://p.example/c"),),
    ]
    assert combined.title == "8 events in 2 files"
    words(combined)


def test_files_with_the_same_name_are_not_combined() -> None:
    other = replace(LANDING, id="o", url="https://p.example/o")
    combined = combine([said(ADA, LANDING, 1, "a"), said(ADA, other, 1, "b")])

    assert read(combined).count("Landing page") == 2
    assert "Ada Lovelace replied to" in read(combined)[-2]


def test_unknown_people_are_not_combined() -> None:
    nobody = Person("x")
    combined = combine([said(nobody, LANDING, 1, "a"), said(nobody, LANDING, 1, "b")])

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
    mine = Message(
        "T", Content(body), thread="t", file="Landing page", file_id="l", actor="Ada Lovelace"
    )
    combined = combine([mine, mine])

    assert combined.content.body == f"### Landing page\n\n{body}\n\n{body}"


def test_messages_that_begin_with_a_place_go_into_a_digest() -> None:
    both = [Message("T", Content(f"· on page 1\n\n{text}"), thread="t") for text in ("one", "two")]
    assert combine(both).content.body.count("· on page 1") == 2


def test_a_message_with_few_fields_goes_into_a_digest() -> None:
    text = '{"body": "**Ada** replied on **A**\\n\\n> x"}'
    old = Message.loads(f'{{"title": "T", "full": {text}, "file": "A"}}')

    assert read(combine([old, old])) == ["A"] + ["Ada replied on A", "> x"] * 2


@pytest.mark.parametrize(("messages", "number"), [
    ([comment(0, text="x" * 3000), comment(1)], 1),
    ([comment(0), comment(1, text="x" * 3000)], 1),
    ([comment(0), Message("T", Content("x"), to=Mention("a"))], 1),
    ([comment(0), comment(1)], 2),
    ([comment(n, text="hi") for n in range(100)], None),
])  # fmt: skip
def test_digest_size(messages: Sequence[Message], number: int | None) -> None:
    fits = digest.digest_size(messages)

    assert fits == number if number else 5 < fits <= digest.MAX_DIGEST_SIZE
    if fits > 1:
        assert "…" not in words(combine(messages[:fits]))


EXTENDS = '{% extends "builtin/create-comment.md.j2" %}\n{% from "_words.md.j2" import who %}\n'


def event(text: str, actor: Person = ADA, thread: str = "t1") -> Event:
    return Event(
        "create-comment",
        actor=actor,
        file=LANDING,
        page=Subject("p", "Home"),
        thread=Thread(thread, int(thread[1:]), "", "Too dark?"),
        comment=Comment("", text),
    )


def digest_of(templates: Templates, *events: Event) -> Message:
    rendered = [render(templates, event, "acme", "slack", digest=True) for event in events]
    assert [result.problems for result in rendered] == [()] * len(events)
    messages = [Message.loads(result.message.dumps()) for result in rendered]
    combined = digest.combine(templates, messages)
    assert combined.problems == ()
    return combined.message


def visible_lines(message: Message) -> list[str]:
    text = to_text(parse(message.content.body), links=False)
    return [line for line in text.split("\n") if line]


@pytest.fixture
def user(tmp_path: Path) -> Templates:
    return Templates(tmp_path)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "{% block body %}{{ who(actor) }} said on {{ file }}: {{ comment.text }}{% endblock %}",
            ["Ada Lovelace said on Landing page: one", "said on Landing page: two"],
        ),
        (
            "{% block body %}**{{ actor }}** on {{ file }} · {{ comment.text }}{% endblock %}",
            ["Ada Lovelace on Landing page · one", "Ada Lovelace on Landing page · two"],
        ),
        (
            "{% block digest %}{% if thread.begun %}…and{% else %}{{ page }}:{% endif %} "
            "{{ comment.text }}{% endblock %}",
            ["Home: one", "…and two"],
        ),
    ],
)
def test_a_digest_has_the_wording_of_the_users_blocks(
    user: Templates, text: str, expected: list[str]
) -> None:
    assert user.user is not None
    (user.user / "create-comment.md.j2").write_text(EXTENDS + text)
    combined = digest_of(user, event("one"), event("two"))
    user.close()

    assert visible_lines(combined) == ["Landing page", *expected]


def test_a_digest_has_the_wording_of_the_users_title(user: Templates) -> None:
    assert user.user is not None
    title = "{% block title %}{{ who(actor) }} made {{ file }} on {{ page }}{% endblock %}"
    text = EXTENDS.replace("create-comment", "create-file") + title
    (user.user / "create-file.md.j2").write_text(text)
    made = replace(event(""), name="create-file")
    combined = digest_of(user, made, made)
    user.close()

    expected = ["Ada Lovelace made Landing page on Home", "made Landing page on Home"]
    assert visible_lines(combined) == ["Landing page", *expected]


def test_the_digest_itself_is_a_template(user: Templates) -> None:
    assert user.user is not None
    (user.user / "digest.md.j2").write_text(
        '{% extends "builtin/digest.md.j2" %}{% block title %}{{ messages.count }} Neuigkeiten'
        "{% endblock %}{% block footer %}{{ messages.files | join(' · ') }}{% endblock %}"
    )
    combined = digest_of(user, event("one"), event("two"))
    user.close()

    assert combined.title == "2 Neuigkeiten"
    assert combined.full.footer == "Landing page"
    assert visible_lines(combined)[-2:] == ["replied", "> two"]


def test_a_failing_digest_template_costs_no_message(user: Templates) -> None:
    assert user.user is not None
    (user.user / "digest.md.j2").write_text("{{ messages.nothing }}")
    messages = [
        Message("T", render(user, event(text), "acme", "").message.full) for text in ("one", "two")
    ]
    combined = digest.combine(user, messages)
    user.close()

    assert [text in combined.message.full.body for text in ("one", "two")] == [True, True]
    assert "digest.md.j2:1" in str(combined.problems[0])


def test_an_empty_digest_block_costs_no_message(user: Templates) -> None:
    assert user.user is not None
    (user.user / "create-comment.md.j2").write_text(
        EXTENDS + "{% block digest %}{% if not actor.repeated %}x{% endif %}{% endblock %}"
    )
    result = render(user, event("one"), "acme", "slack", digest=True)
    user.close()

    assert [problem.text for problem in result.problems] == ["gives no text for a digest"]
    assert result.message.entry is not None
    assert result.message.entry.text(same_actor=True).endswith("> one")


def test_a_name_that_looks_like_the_wording_is_not_cut() -> None:
    odd = Person("o", "Ada** replied on **Landing page")
    combined = digest_of(Templates(), event("one", odd), event("two", GRACE, "t2"))

    assert visible_lines(combined)[1] == (
        "Ada** replied on **Landing page replied to “Too dark?” · Home · #1"
    )


def test_an_entry_stores_what_its_forms_share_once() -> None:
    texts = ["Ada replied to you", "replied to you", "Ada replied", "r"]
    forms = [f"{text}\n\n> x" for text in texts]
    entry = Entry.of(forms)

    assert entry.end == "\n\n> x"
    after = [(False, False), (True, False), (False, True), (True, True)]
    assert [entry.text(same_actor=actor, same_thread=thread) for actor, thread in after] == forms
    assert entry.longest == forms[0]
    assert Entry.of(["x", "x"]).text(same_actor=True, same_thread=True) == "x"
