"""Digests of more held messages than one can show: their number for each file."""

import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from relay.channels import CHANNEL_TYPES
from relay.channels.slack import blocks as slack
from relay.delivery import digest
from relay.delivery.digest import MAX_RELEASED_SIZE, DigestPlanner
from relay.delivery.notices import NoticeRenderer
from relay.messages.message import Change, Mention, Message
from relay.messages.templates import Templates
from relay.metrics import Metrics
from relay.penpot.events import File, Person, Subject
from relay.store.records import Delivery, FanOutResult, NewDelivery, NewEvent
from relay.store.sqlite import SqliteStore
from tests.delivery.floods import ADA, GRACE, LANDING, TEMPLATES, happened, read, said
from tests.delivery.test_digest import SHOWN, fitting, links

ONE, OTHER = Mention("a", "Ada"), Mention("g", "Grace")
FILES = [File(f"f{number}", f"File {number}", f"https://p.example/{number}") for number in range(9)]


def combine(messages: Sequence[Message], **more: int) -> Message:
    """The digest of held messages."""
    result = digest.combine(TEMPLATES, messages, digest_after=0, **more)
    assert result.problems == ()
    return result.message


def comments(count: int, files: Sequence[File] = FILES, text: str = "the words") -> list[Message]:
    return [
        said((ADA, GRACE)[n % 2], files[n % len(files)], n % 4, f"{text} {n:03}.")
        for n in range(count)
    ]


# How it reads


def test_more_than_twenty_held_messages_are_counted_by_file() -> None:
    website = Subject("w", "Website", "https://p.example/w")
    people = [Person(str(number), f"P{number}") for number in range(5)]
    renamed = replace(LANDING, name="Landing *page*")
    combined = combine(
        [
            said(GRACE, FILES[0], 1, "Too dark?"),
            happened("create-project", project=website),
            *(said(who, LANDING, 12, "Too dark?") for who in people * 4),
            happened("rename-file", file=renamed, project=website, previous=LANDING),
            happened("update-file", file=File("unknown", "")),
        ]
    )
    headline = "21 comments and 3 other events in 2 files and elsewhere"
    assert read(combined) == [
        f"{headline} · Grace *H*, Ada Lovelace, P0, P1, P2 and 2 more",
        "- Landing *page* · 20 comments and 1 other event · P0, P1, P2 and 3 more\n"
        "- File 0 · 1 comment · Grace *H*\n"
        "- Elsewhere · 2 events · Ada Lovelace",
    ]
    assert links(combined) == [
        ("Landing *page*", "https://p.example/l"),
        ("File 0", "https://p.example/0"),
    ]
    assert combined.full.footer == "Held back until now"


def test_at_most_twenty_files_are_listed() -> None:
    files = [File(str(number), f"File {number}") for number in range(25)]
    messages = comments(52, [*files, files[24]])
    _, listed, more = read(combine(messages))
    assert len(listed.split("\n")) == 20
    assert listed.startswith("- File 24 · 4 comments")
    assert more == "and 5 more files"
    *_, more = read(combine(comments(24, files), max_files=23))
    assert more == "and 1 more file"


def test_a_digest_about_no_file_is_its_headline() -> None:
    assert read(combine([happened("create-project")] * 30)) == ["30 events · Ada Lovelace"]


def test_a_digest_about_one_file_leads_there() -> None:
    combined = combine(comments(21, [LANDING]))
    assert (combined.url, combined.opens) == ("https://p.example/l", "file")


@pytest.mark.parametrize("kind", SHOWN)
@pytest.mark.parametrize("count", [21, 200])
def test_a_channel_shows_all_numbers(kind: str, count: int) -> None:
    combined = combine(comments(count))
    shown = SHOWN[kind](combined)
    assert CHANNEL_TYPES[kind].fits(combined, None)
    assert f"{count} comments" in shown
    assert "the words" not in shown
    for number, file in enumerate(FILES):
        assert shown.count(file.name) >= 1
        assert f"{len(range(number, count, len(FILES)))} comments" in shown


def test_people_are_pinged_once() -> None:
    messages = [replace(one, mentions=(ONE, OTHER)[: n % 3]) for n, one in enumerate(comments(60))]
    assert combine(messages).mentions == (ONE, OTHER)


def test_a_template_without_the_numbers_shows_the_headline_and_the_files(tmp_path: Path) -> None:
    (tmp_path / "digest.md.j2").write_text(
        '{% extends "builtin/digest.md.j2" %}{% block body %}{{ self.title() }}\n\n'
        "{% for group in messages.groups %}\n### {{ group.file }}\n\n"
        "{% for entry in group.entries %}{{ entry }}{% endfor %}\n{% endfor %}{% endblock %}"
    )
    templates = Templates(tmp_path)
    result = digest.combine(templates, comments(40, FILES[:2]), digest_after=0)
    templates.close()
    assert result.problems == ()
    assert read(result.message) == [
        "40 comments in 2 files · Ada Lovelace and Grace *H*", "File 0", "File 1",
    ]  # fmt: skip


# What goes into one

Put = Callable[[Sequence[Message]], Awaitable[None]]


@pytest.fixture
async def held(store: SqliteStore) -> Put:
    """Stores messages whose hold is over."""

    async def put(messages: Sequence[Message]) -> None:
        now = time.time()
        for number in range(len(messages)):
            await store.accept(NewEvent("acme", "c", b"{}", b"%d" % number, "x", received_at=now))
        stored = await store.stored_events(len(messages))
        await store.save_fan_out(
            [
                FanOutResult(event.id, "acme", "fanned-out", "", [
                    NewDelivery("acme/a", f"key {event.id}", message.dumps(), held_until=now)
                ])
                for event, message in zip(stored, messages, strict=True)
            ]
        )  # fmt: skip
        while await store.holds.release(now + 1):
            pass

    return put


def planner(store: SqliteStore, fits: Callable[[Message], bool] = slack.fits) -> DigestPlanner:
    return DigestPlanner("acme/a", 20, fits, store, NoticeRenderer(TEMPLATES, Metrics()))


async def members(plan: DigestPlanner, store: SqliteStore) -> list[Delivery]:
    batch = await store.waiting_deliveries("acme/a", plan.batch_size)
    return await plan.members(batch, is_first_uncertain=False)


async def sent(plan: DigestPlanner, store: SqliteStore) -> list[tuple[int, Message]]:
    """What the queue sends: the number of messages, and the digest."""
    parts = []
    while deliveries := await members(plan, store):
        parts.append((len(deliveries), await plan.message(deliveries)))
        await store.mark_sent([one.id for one in deliveries], "receipt")
    return parts


@pytest.mark.anyio
@pytest.mark.parametrize("count", [21, 32, 200])
async def test_held_messages_are_one_digest_for_every_process(
    store: SqliteStore, held: Put, count: int
) -> None:
    await held(comments(count))
    plan, other = planner(store), planner(store)
    planned = await members(plan, store)
    assert len(planned) == count
    assert await members(other, store) == await members(plan, store) == planned
    message = await plan.message(planned)
    assert await other.message(planned) == message
    assert read(message)[0].startswith(f"{count} comments in 9 files")
    assert [size for size, _ in await sent(other, store)] == [count]


@pytest.mark.anyio
async def test_twenty_held_messages_are_shown(store: SqliteStore, held: Put) -> None:
    await held(comments(20))
    ((size, message),) = await sent(planner(store), store)
    assert size == 20
    text = "".join(read(message))
    assert all(f"the words {number:03}." in text for number in range(20))


@pytest.mark.anyio
async def test_each_recipient_gets_a_digest(store: SqliteStore, held: Put) -> None:
    await held([replace(one, to=(ONE, OTHER)[n % 5 == 0]) for n, one in enumerate(comments(100))])
    parts = await sent(planner(store), store)
    assert [(size, message.to) for size, message in parts] == [(20, OTHER), (80, ONE)]
    assert ["the words" in message.full.body for _, message in parts] == [True, False]


@pytest.mark.anyio
async def test_an_edit_ends_a_digest(store: SqliteStore, held: Put) -> None:
    messages = comments(90)
    messages[40] = replace(messages[40], change=Change())
    await held(messages)
    assert [size for size, _ in await sent(planner(store), store)] == [40, 1, 49]


@pytest.mark.anyio
async def test_more_than_a_digest_reads_go_into_the_next(store: SqliteStore, held: Put) -> None:
    await held([replace(one, full=one.full, reply=None) for one in comments(MAX_RELEASED_SIZE + 7)])
    sizes = [size for size, _ in await sent(planner(store), store)]
    assert sum(sizes) == MAX_RELEASED_SIZE + 7
    assert sizes[0] > 400


@pytest.mark.anyio
async def test_a_message_that_is_sent_again_splits_no_digest(store: SqliteStore, held: Put) -> None:
    await held(comments(60))
    first, *_ = await store.waiting_deliveries("acme/a", 1)
    await store.mark_sent([first.id], "receipt")
    planned = await members(planner(store), store)
    await store.resend([first.id])
    other = planner(store)
    assert [one.id for one in await members(other, store)] == [first.id]
    await store.mark_sent([first.id], "receipt")
    assert await members(other, store) == planned
    assert len(planned) == 59


@pytest.mark.anyio
@pytest.mark.parametrize(("most", "listed"), [(20, 9), (8, 5)])
async def test_a_small_channel_gets_fewer_files(
    store: SqliteStore, held: Put, most: int, listed: int
) -> None:
    def fits(message: Message) -> bool:
        return message.full.body.count("\n- ") <= most

    files = [File(f"{number}", f"File {number}") for number in range(9)]
    await held(comments(80, files))
    ((size, message),) = await sent(planner(store, fits), store)
    assert (size, message.full.body.count("\n- ")) == (80, listed)
    assert ("and 4 more files" in message.full.body) == (listed == 5)


@pytest.mark.anyio
async def test_where_the_numbers_do_not_fit_the_messages_are_shown(
    store: SqliteStore, held: Put
) -> None:
    await held(comments(50, [LANDING]))

    def fits(message: Message) -> bool:
        return "the words" in message.full.body and slack.fits(message)

    parts = await sent(planner(store, fits), store)
    assert [size for size, _ in parts] == [20, 20, 10]


def test_the_channels_with_the_least_room_take_the_numbers() -> None:
    address = "https://design.example.com/#/workspace?" + "y" * 150
    files = [File(f"{n}", f"File {n} with a name {'x' * 60}", address + str(n)) for n in range(30)]
    for kind in CHANNEL_TYPES:
        if kind != "webhook":
            message = combine(comments(200, files), max_files=10)
            assert fitting(kind)(message), kind
