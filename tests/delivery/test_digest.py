"""Digests: what fits into one, and how it reads."""

import asyncio
import json
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relay.channels import CHANNEL_TYPES
from relay.channels.email.message import address, compose
from relay.channels.matrix import content as matrix
from relay.channels.slack import blocks as slack
from relay.delivery import digest
from relay.delivery.digest import MAX_DIGEST_SIZE, DigestPlanner
from relay.delivery.notices import NoticeRenderer
from relay.delivery.renderer import render
from relay.messages.document import Text, leaf_blocks, parse, to_text
from relay.messages.escape import one_line
from relay.messages.filters import when
from relay.messages.message import Content, Mention, Message
from relay.messages.templates import Templates
from relay.metrics import Metrics
from relay.penpot.events import Comment, Event, File, Person, Subject, Thread
from relay.store.base import Store
from relay.store.records import Delivery
from tests.delivery.floods import (
    ADA,
    CHECKOUT,
    GRACE,
    IN_DIGESTS,
    LANDING,
    TEMPLATES,
    combine,
    comment,
    happened,
    read,
    said,
    words,
)
from tests.fuzz.forms import MAIL
from tests.messages.clock import clock_at
from tests.messages.texts import any_text
from tests.servers.slack_rules import block_faults, rich_inlines, too_long

NAMES = "Ada Lovelace and Grace *H*"


def links(message: Message) -> list[tuple[str, str]]:
    """Text and address of each link of the body."""
    inlines = [part for block in leaf_blocks(parse(message.full.body)) for part in block.inlines]
    return [(part.text, part.url) for part in inlines if isinstance(part, Text) and part.url]


def test_a_digest_has_a_headline_and_the_comments_of_each_thread() -> None:
    renamed = replace(LANDING, name="Landing page, autumn")
    combined = combine(
        [
            said(ADA, LANDING, 12, "Too dark?", replies=False),
            said(ADA, LANDING, 13, "Off the grid.", replies=False),
            said(GRACE, LANDING, 12, "60 % black now."),
            said(GRACE, CHECKOUT, 21, "Two fields?", replies=False),
            said(ADA, LANDING, 12, "Better!\n\nMuch better."),
            said(ADA, renamed, 12, "Better!"),
            said(GRACE, renamed, 13, "Better!"),
            said(ADA, CHECKOUT, 21, "Yes."),
        ]
    )
    assert read(combined) == [
        f"8 comments in 2 files · {NAMES}",
        "Landing page, autumn · Home · #12",
        "> Ada Lovelace Too dark?\n> Grace *H* 60 % black now.\n"
        "> Ada Lovelace Better! Much better.\n> Ada Lovelace Better!",
        "Landing page, autumn · Home · #13",
        "> Ada Lovelace Off the grid.\n> Grace *H* Better!",
        "Checkout [v2] · Home · #21",
        "> Grace *H* Two fields?\n> Ada Lovelace Yes.",
    ]
    assert links(combined) == [
        ("Landing page, autumn · Home · #12", "https://p.example/l#12"),
        ("Landing page, autumn · Home · #13", "https://p.example/l#13"),
        ("Checkout [v2] · Home · #21", "https://p.example/c#21"),
    ]
    assert combined.title == f"8 comments in 2 files · {NAMES}"
    assert combined.notice == (
        "Ada Lovelace and Grace *H*: 8 comments on Landing page, autumn and Checkout [v2]"
    )
    assert combined.subject == f"[Acme] {combined.notice}"
    assert combined.full.footer == "Combined because more than 20 messages waited"
    assert (combined.url, combined.opens) == ("", "")
    words(combined)


def test_a_digest_has_the_other_events_of_a_file_before_its_threads() -> None:
    website = Subject("w", "Website", "https://p.example/w")
    combined = combine(
        [
            said(GRACE, LANDING, 12, "Too dark?"),
            happened("rename-file", file=LANDING, project=website, previous=Subject("l", "Home")),
            happened("create-project", project=website),
            happened("resolve-comment-thread", file=LANDING, thread=Thread("t12", 12)),
            happened("update-file", file=LANDING, project=website),
        ]
    )
    assert read(combined) == [
        "1 comment and 4 other events on Landing page and elsewhere · Grace *H* and Ada Lovelace",
        "🏷️ Ada Lovelace renamed the file Home to Landing page in Website\n"
        "✏️ Ada Lovelace worked on Landing page in Website",
        "Landing page · Home · #12",
        "> Grace *H* Too dark?\n> ✅ Resolved",
        "📁 Ada Lovelace created the project Website",
    ]
    # One link for each event, too.
    assert [text for text, _ in links(combined)] == [
        "Landing page",
        "Landing page",
        "Landing page · Home · #12",
        "Website",
    ]


@pytest.mark.parametrize(
    ("messages", "headline", "notice"),
    [
        ([said(ADA, LANDING, 1, "a")], "1 comment on Landing page · Ada Lovelace",
         "Ada Lovelace: 1 comment on Landing page"),
        ([happened("create-file"), happened("create-file")], "2 events · Ada Lovelace",
         "Ada Lovelace: 2 events"),
        ([Message("T")], "1 event", "1 event"),
        ([said(ADA, File("x", ""), 1, "a"), said(ADA, LANDING, 1, "a")],
         "2 comments on Landing page and elsewhere · Ada Lovelace",
         "Ada Lovelace: 2 comments on Landing page and elsewhere"),
        ([said(Person(str(n), f"P{n}"), File(str(n), f"F{n}"), 1, "a") for n in range(7)],
         "7 comments in 7 files · P0, P1, P2, P3, P4 and 2 more",
         "P0, P1, P2 and 4 more: 7 comments on F0, F1, F2 and 4 more"),
    ],
)  # fmt: skip
def test_the_headline_counts(messages: Sequence[Message], headline: str, notice: str) -> None:
    combined = combine(messages)
    assert (read(combined)[0], combined.title, combined.notice) == (headline, headline, notice)


def test_a_digest_of_one_file_or_thread_leads_there() -> None:
    same = combine([said(ADA, LANDING, 1, "a"), said(ADA, LANDING, 1, "b")])
    assert (same.url, same.opens) == ("https://p.example/l#1", "comment")
    assert same.place == ("Landing page", "Home", "#1")
    two = combine([said(ADA, LANDING, 1, "a"), said(ADA, LANDING, 2, "b")])
    assert (two.url, two.opens, two.place) == ("https://p.example/l", "file", ("Landing page",))
    assert two.thread == same.thread == ""


def test_files_with_the_same_name_are_not_combined() -> None:
    other = replace(LANDING, id="o", url="https://p.example/o")
    combined = combine([said(ADA, LANDING, 1, "a"), replace(said(ADA, other, 1, "b"), thread="o1")])

    assert read(combined)[1::2] == ["Landing page · Home · #1"] * 2
    assert combined.title == "2 comments in 2 files · Ada Lovelace"


def test_messages_without_an_entry_go_into_a_digest_as_they_are() -> None:
    content = Content("**Ada** replied on **A**\n\n> x\n>\n> - y")
    combined = combine([Message("T", full=content, file="A", thread="t")] * 2 + [Message("T 2")])

    assert read(combined)[1:] == [
        "A",
        "> Ada replied on A\n>\n> > x\n> >\n> > - y\n>\n> Ada replied on A\n>\n> > x\n> >\n> > - y",
        "T 2",
    ]


def test_a_digest_pings_each_person_once() -> None:
    ada = Mention("a", "Ada", addresses={"slack": "U0ADA"})
    messages = [replace(comment(number), mentions=(ada,)) for number in range(4)]

    assert combine(messages).mentions == (ada,)


# What fits


class Deliveries:
    """Stands for the store: the planner only marks the members of a digest."""

    async def set_digest(self, ids: Sequence[int], key: str) -> None:
        pass


def planner(fits: Callable[[Message], bool], templates: Templates = TEMPLATES) -> DigestPlanner:
    notices = NoticeRenderer(templates, Metrics())
    return DigestPlanner("acme/a", 1, fits, cast(Store, Deliveries()), notices)


def deliveries(messages: Sequence[Message]) -> list[Delivery]:
    return [
        Delivery(number, number, "acme/a", str(number), message.dumps(), "waiting", 0, 0, "", "", 0)
        for number, message in enumerate(messages, 1)
    ]


async def sent(plan: DigestPlanner, waiting: list[Delivery]) -> list[tuple[int, Message]]:
    """What a queue sends until two messages wait no longer: numbers of events, and the message."""
    parts = []
    while len(waiting) > 1:
        members = await plan.members(waiting[:32], is_first_uncertain=False)
        parts.append((len(members), await plan.message(members)))
        waiting = waiting[len(members) :]
    return parts


def fitting(kind: str) -> Callable[[Message], bool]:
    return lambda message: CHANNEL_TYPES[kind].fits(message, None)


def slack_text(message: Message) -> str:
    users = {person.id: f"U0{person.id.upper()}" for person in message.mentions}
    blocks = slack.render(message, users)["blocks"]
    assert block_faults(blocks) == []
    assert not too_long(blocks)
    return "".join(part.get("text", "") for part in rich_inlines(blocks))


def mail_text(message: Message) -> str:
    mail = compose(message, "key", MAIL, [address("b@b.example")])
    part = mail.get_body(("plain",))
    assert part is not None
    return str(part.get_content())


SHOWN: dict[str, Callable[[Message], str]] = {
    "slack": slack_text,
    "matrix": lambda message: str(matrix.render(message)["body"]),
    "email": mail_text,
}
URL = "https://design.example.com/#/workspace?team-id=1&file-id=2&page-id=3&comment-id="


@st.composite
def mixes(draw: st.DrawFn) -> list[Message]:
    """Comments in some threads of some files, and other events."""
    messages = []
    for number in range(draw(st.integers(2, 45))):
        file = File(
            f"f{draw(st.integers(0, 3))}", one_line(draw(any_text)) or "x", "https://p.example/f"
        )
        if draw(st.booleans()) or number == 0:
            thread = draw(st.integers(0, 6))
            length = draw(st.sampled_from([3, 30, 300, 3000]))
            text = f"{draw(any_text)} n{number:03} {'words ' * (length // 6)}end"
            message = said(draw(st.sampled_from([ADA, GRACE])), file, thread, text)
            url = URL + "y" * draw(st.sampled_from([10, 300]))
            message = replace(message, thread=f"{file.id} {thread}", url=url)
        else:
            name = draw(st.sampled_from(["update-file", "create-project", "move-files"]))
            project = Subject("p", f"n{number:03}", URL)
            message = happened(name, file=file, project=project)
        messages.append(message)
    return messages


def collapsed(text: str) -> str:
    """Without white space and marks of quotations."""
    return "".join(text.replace(">", "").split())


@settings(max_examples=15)
@given(mixes(), st.sampled_from(sorted(SHOWN)))
def test_every_entry_of_any_mix_is_in_one_digest_whole_and_in_order(
    messages: list[Message], kind: str
) -> None:
    parts = asyncio.run(sent(planner(fitting(kind)), deliveries(messages)))
    rest = list(messages)
    for count, message in parts:
        members, rest = rest[:count], rest[count:]
        if count == 1:
            continue
        assert count <= MAX_DIGEST_SIZE
        shown = collapsed(SHOWN[kind](message))
        orders = defaultdict(list)
        for member in members:
            number = member.entry[member.entry.index("n0") :][:4]
            has_links = kind == "email" and not member.thread
            entry = collapsed(to_text(parse(member.entry), links=has_links))
            # A project is also named by the place of the digest.
            further = 0 if member.thread else 1
            assert 0 <= shown.count(number) - entry.count(number) <= further, number
            assert entry in shown
            orders[member.thread].append(shown.index(number))
        assert all(order == sorted(order) for thread, order in orders.items() if thread)


@pytest.mark.parametrize(("messages", "count"), [
    ([comment(0, text="x" * 3000), comment(1)], 1),
    ([comment(0), comment(1, text="x" * 3000)], 1),
    ([comment(0), replace(comment(1), to=Mention("a"))], 1),
    ([comment(0), comment(1)], 2),
    ([comment(n, text="hi") for n in range(100)], 20),
    ([comment(n, text="some words " * 25) for n in range(100)], 9),
])  # fmt: skip
def test_the_first_messages_that_fit_form_a_digest(messages: Sequence[Message], count: int) -> None:
    plan = planner(slack.fits)
    members = asyncio.run(plan.members(deliveries(messages)[:32], is_first_uncertain=False))

    assert len(members) == count
    if count > 1:
        combined = asyncio.run(plan.message(members))
        assert "…" not in words(combined)
        more = messages[: count + 1]
        assert count in (len(messages), MAX_DIGEST_SIZE) or not slack.fits(combine(more))


@pytest.mark.parametrize("length", [220, 300])
def test_twenty_threads_with_long_addresses_fit_into_one_digest(length: int) -> None:
    """In chats; the comments have up to 60 characters."""
    text = "Could the button be darker here? It is hard to read & small."
    messages = [
        replace(said(ADA, LANDING, number, text), url=(URL + str(number)).ljust(length, "y"))
        for number in range(20)
    ]
    combined = combine(messages)
    for kind, shown in SHOWN.items():
        assert CHANNEL_TYPES[kind].fits(combined, None)
        assert shown(combined).count(text) == 20
    addresses = {part["url"] for part in rich_inlines(slack.render(combined)["blocks"])
                 if part["type"] == "link"}  # fmt: skip
    assert {len(address) for address in addresses} == {length}
    assert len(addresses) == 20


def test_few_attempts_find_the_size() -> None:
    """Each is a rendering of a user's template."""
    calls: list[int] = []

    def fits(message: Message) -> bool:
        calls.append(1)
        return slack.fits(message)

    plan = planner(fits)
    for text, most in (("hi", 1), ("some words " * 25, 5), ("some words " * 200, 5), ("hi", 5)):
        messages = [comment(number, text=text) for number in range(64)]
        calls.clear()
        parts = asyncio.run(sent(plan, deliveries(messages)))
        assert len(calls) / len(parts) <= most
        calls.clear()
        asyncio.run(sent(plan, deliveries(messages)))
        assert len(calls) / len(parts) <= 3


def test_a_server_of_another_make_gets_all_text_too() -> None:
    """Its ``text`` is the whole message, with the addresses."""
    messages = [
        replace(said(ADA, replace(LANDING, id=f"f{n}"), n, "words " * 9), url=URL + "y" * 200)
        for n in range(20)
    ]
    hook = CHANNEL_TYPES["slack"].settings.model_validate(
        {"type": "slack", "name": "a", "webhook_url": "https://chat.example/hooks/x"}
    )
    fits = partial(CHANNEL_TYPES["slack"].fits, settings=hook)
    parts = asyncio.run(sent(planner(lambda message: fits(message)), deliveries(messages)))

    texts = [slack.full_text(message, slack.defused) for _, message in parts]
    assert len(parts) > 2
    assert not any("…" in text for text in texts)


def test_a_digest_that_no_longer_fits_is_sent_message_by_message() -> None:
    """Its members were chosen by a process with other templates."""
    members = deliveries([comment(number, text="x" * 1500) for number in range(4)])
    with pytest.raises(digest.Permanent) as caught:
        asyncio.run(planner(slack.fits).message([replace(one, digest="k") for one in members]))
    assert caught.value.reason == "too_long"


# The user's templates

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
    rendered = [render(templates, event, "acme", "slack", IN_DIGESTS) for event in events]
    assert [result.problems for result in rendered] == [()] * len(events)
    messages = [Message.loads(result.message.dumps()) for result in rendered]
    combined = digest.combine(templates, messages)
    assert combined.problems == ()
    return combined.message


def visible_lines(message: Message) -> list[str]:
    text = to_text(parse(message.content.body), links=False)
    return [line for line in text.split("\n") if line]


@pytest.fixture
def user(tmp_path: Path) -> Iterator[Templates]:
    templates = Templates(tmp_path)
    yield templates
    templates.close()


def write(templates: Templates, name: str, text: str) -> None:
    assert templates.user is not None
    (templates.user / name).write_text(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{{ who(actor) }}: {{ comment.text }}",
         ["> Ada Lovelace: one", "> Ada Lovelace: two"]),
        ("- {{ comment.text }}", ["> - one", "> - two"]),
        ("1. {{ comment.text }}", ["> 1. one", "> 2. two"]),
        ("# {{ comment.text }}", ["> one", ">", "> two"]),
        ("===", ["> ===", ">", "> ==="]),
        ("{{ page }}\n\n{{ comment.text | quote }}",
         ["> Home", ">", "> > one", ">", "> Home", ">", "> > two"]),
    ],
)  # fmt: skip
def test_a_digest_has_the_users_wording(user: Templates, text: str, expected: list[str]) -> None:
    write(user, "create-comment.md.j2", EXTENDS + f"{{% block digest %}}{text}{{% endblock %}}")
    lines = visible_lines(digest_of(user, event("one"), event("two")))

    assert lines[1:] == ["Landing page · Home · #1", *expected]


def test_a_digest_has_the_wording_of_the_users_title(user: Templates) -> None:
    title = "{% block title %}{{ who(actor) }} made {{ file }} on {{ page }}{% endblock %}"
    extends = EXTENDS.replace("create-comment", "create-file")
    write(user, "create-file.md.j2", extends + title)
    made = replace(event(""), name="create-file", thread=Thread())
    lines = visible_lines(digest_of(user, made, made))

    assert lines[1:] == ["📄 Ada Lovelace made Landing page on Home"] * 2


def test_an_older_base_without_the_blocks_gives_the_title(user: Templates) -> None:
    write(
        user,
        "base.md.j2",
        "<!-- title -->\n{% block title %}{% endblock %}\n\n<!-- body -->\n"
        "{% block body %}{{ self.title() }}{% endblock %}\n\n"
        "<!-- footer -->\n{% block footer %}{% endblock %}",
    )
    combined = digest_of(user, replace(event("one"), name="create-file", thread=Thread()))

    title = "Ada Lovelace created the file Landing page"
    assert visible_lines(combined)[-1] == title
    assert combined.notice == combined.subject == combined.title
    assert "block" not in json.dumps(combined.full.body)


def test_the_digest_itself_is_a_template(user: Templates) -> None:
    write(
        user,
        "digest.md.j2",
        '{% extends "builtin/digest.md.j2" %}{% block title %}{{ messages.count }} Neuigkeiten von '
        "{{ messages.people | join(' & ') }}{% endblock %}"
        "{% block footer %}{{ messages.files | join(' · ') }}{% endblock %}",
    )
    combined = digest_of(user, event("one"), event("two"))

    assert combined.title == "2 Neuigkeiten von Ada Lovelace"
    assert combined.full.footer == "Landing page"
    assert visible_lines(combined)[-1] == "> Ada Lovelace two"


def test_a_failing_digest_template_costs_no_message(user: Templates) -> None:
    write(user, "digest.md.j2", "{{ messages.nothing }}")
    messages = [said(ADA, LANDING, 1, text) for text in ("one", "two")]
    combined = digest.combine(user, messages)

    assert [text in combined.message.full.body for text in ("one", "two")] == [True, True]
    assert "digest.md.j2:1" in str(combined.problems[0])


def test_an_empty_digest_block_costs_no_message(user: Templates) -> None:
    write(user, "create-comment.md.j2", EXTENDS + "{% block digest %}{% endblock %}")
    result = render(user, event("one"), "acme", "slack", IN_DIGESTS)

    assert [problem.text for problem in result.problems] == ["gives no text for a digest"]
    assert result.message.entry == "**Ada Lovelace** one"


def test_the_times_of_messages_that_waited_are_those_of_their_digest() -> None:
    """They are known before it is planned, so that nothing of it is cut."""
    planned: list[Message] = []
    with clock_at("2026-07-25T20:00Z"):
        entries = [replace(comment(1), entry=when("2026-07-25T08:17Z")) for _ in range(2)]

    async def digest() -> Message:
        plan = planner(lambda message: not planned.append(message))
        ((_, message),) = await sent(plan, deliveries(entries))
        return message

    with clock_at("2026-07-26T07:00Z"):
        message = asyncio.run(digest())
    for digest_message in (message, planned[-1]):
        text = to_text(parse(digest_message.full.body), links=False)
        assert text.count("yesterday 08:17 UTC") == 2
        assert "today" not in text


def test_a_name_with_markup_is_literal() -> None:
    odd = Person("o", "Ada** replied on **Landing page")
    lines = visible_lines(digest_of(Templates(), event("one", odd), event("two", GRACE, "t2")))

    assert lines[2] == "> Ada** replied on **Landing page one"


@pytest.mark.parametrize(("words", "activity"), [(False, True), (True, False)])
def test_a_digest_without_comments_is_activity(words: bool, activity: bool) -> None:
    renamed = replace(said(ADA, LANDING, 12, "x"), event="rename-file", activity=True)
    comment = [said(ADA, LANDING, 12, "x")] if words else []
    assert combine([renamed, *comment, renamed]).activity == activity
