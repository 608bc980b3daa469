"""Digests of queues that are behind, and alerts about queues that stop."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

import pytest

from relay.channels.base import (
    DeliveryError,
    Finding,
    Misconfigured,
    Permanent,
    Receipt,
    ReplyTo,
    RetryLater,
)
from relay.channels.slack import blocks as slack_blocks
from relay.delivery import digest, health
from relay.delivery import queue as queue_module
from relay.delivery.health import stopped_queues
from relay.delivery.queue import QueueSettings
from relay.delivery.queues import QueueManager
from relay.messages.document import Heading, Text, parse
from relay.messages.escape import escape
from relay.messages.filters import quote
from relay.messages.message import Mention, Message, Picture
from relay.messages.plain import to_text
from relay.messages.templates import Templates
from relay.metrics import Metrics
from relay.penpot.events import Comment, Event, File, Person, Subject
from relay.penpot.events import Thread as Discussion
from relay.store.base import FanOutResult, NewDelivery, NewEvent, StoreUnavailable
from relay.store.sqlite import SqliteStore
from tests.servers.slack_rules import block_faults, rich_inlines, too_long

pytestmark = pytest.mark.anyio


@dataclass
class Sink:
    """A channel that accepts messages once it is open, unless its script refuses them."""

    kind: ClassVar[str] = "sink"
    pace: ClassVar[float | None] = None
    taken: list[tuple[str, Message]] = field(default_factory=list)
    refusals: list[DeliveryError | None] = field(default_factory=list)
    free: int = 0
    """How many it accepts before it is open."""
    open: asyncio.Event = field(default_factory=asyncio.Event)
    attempted: list[str] = field(default_factory=list)

    async def send(
        self,
        message: Message,
        key: str,
        thread: ReplyTo | None = None,
        picture: Picture | None = None,
    ) -> Receipt:
        self.attempted.append(key)
        if len(self.attempted) > self.free:
            await self.open.wait()
        if self.refusals and (refusal := self.refusals.pop(0)) is not None:
            raise refusal
        self.taken.append((key, message))
        return Receipt(key)

    async def check(self) -> list[Finding]:
        return []

    async def close(self) -> None:
        self.open.set()


class House:
    """A store with the queues of one team, one of which gets the alerts."""

    def __init__(self, store: SqliteStore) -> None:
        self.store = store
        self.metrics = Metrics()
        self.sinks = {"acme/a": Sink(), "acme/ops": Sink()}
        self.sinks["acme/ops"].open.set()
        self.start()

    def start(self) -> None:
        self.queues = QueueManager(
            self.store,
            {
                "acme/a": QueueSettings(
                    lambda: self.sinks["acme/a"],
                    has_threads=True,
                    digest_after=20,
                    alerts_to="acme/ops",
                ),
                "acme/ops": QueueSettings(lambda: self.sinks["acme/ops"], alerts_to="acme/ops"),
            },
            self.metrics,
            retention=3600,
        )

    @property
    def sink(self) -> Sink:
        return self.sinks["acme/a"]

    async def put(self, messages: Iterable[Message]) -> None:
        for number, message in enumerate(messages):
            fingerprint = f"{time.time()}{number}".encode()
            await self.store.accept(
                NewEvent("acme", "c", b"{}", fingerprint, "x", received_at=time.time())
            )
            (stored,) = await self.store.stored_events(1)
            delivery = NewDelivery("acme/a", f"key {number}", message.dumps())
            plan = FanOutResult(stored.id, "acme", "fanned-out", deliveries=[delivery])
            await self.store.save_fan_out([plan])

    async def settled(self) -> None:
        self.queues.wake(["acme/a", "acme/ops"])
        async with asyncio.timeout(10):
            while await self.store.waiting_queues():
                self.queues.wake(await self.store.waiting_queues())
                await asyncio.sleep(0.002)

    async def alerts(self, number: int) -> list[str]:
        """All alerts, once there are ``number``."""
        async with asyncio.timeout(20):
            while len(self.sinks["acme/ops"].taken) < number:
                self.queues.wake(["acme/ops"])
                await asyncio.sleep(0.002)
        await asyncio.sleep(0.05)  # and no more
        return [message.body.replace("\\", "") for _, message in self.sinks["acme/ops"].taken]


@pytest.fixture
async def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[House]:
    monkeypatch.setattr(queue_module, "retry_delay", lambda attempts, asked=None: asked or 0.01)
    store = SqliteStore(tmp_path / "relay.db")
    await store.open()
    house = House(store)
    yield house
    await house.queues.stop(1.0)
    await store.close()


def comment(number: int, *, files: int = 3, text: str = "", **more: str) -> Message:
    person = ("Ada", "Bob *B*")[number % 2]
    name = f"File {number % files} <x>"
    link = f"[{escape(name)}](<https://design.example.com/#/workspace?team-id=1&file-id={number}>)"
    said = quote(text or f"comment number {number:03}. with some words & <!channel>")
    body = f"**{escape(person)}** commented on {link}\n\n{said}"
    return Message(
        f"T{number}",
        body,
        team="acme",
        file=name,
        file_id=f"f{number % files}",
        actor=person,
        **more,
    )


def words(message: Message) -> str:
    """The text as Slack shows it."""
    rendered = slack_blocks.render(message)
    assert block_faults(rendered["blocks"]) == []
    assert not too_long(rendered["blocks"])
    return "".join(part.get("text", "") for part in rich_inlines(rendered["blocks"]))


ADA, GRACE = Person("a", "Ada Lovelace"), Person("g", "Grace *H*")
LANDING = File("l", "Landing page", "https://p.example/l")
CHECKOUT = File("c", "Checkout [v2]", "https://p.example/c")


def said(who: Person, file: File, number: int, text: str, *, replies: bool = True) -> Message:
    """The built-in template's message for a comment in the thread of that number."""
    event = Event(
        "create-comment" if replies else "create-comment-thread",
        "comments",
        actor=who,
        file=file,
        page=Subject("p", "Home"),
        thread=Discussion(
            f"t{number}", number, f"{file.url}#{number}", "Too dark?" if replies else ""
        ),
        comment=Comment("", text),
    )
    variables = event.variables()
    return Templates().render(event.name, variables, team="acme", channel_kind="slack").message


def read(message: Message) -> list[str]:
    """The visible paragraphs of a digest."""
    return to_text(parse(message.body), links=False).split("\n\n")


async def test_a_flood_is_sent_as_digests_with_the_text_of_every_comment(house: House) -> None:
    await house.put(comment(number) for number in range(500))
    house.sink.open.set()
    await house.settled()

    messages = [message for _, message in house.sink.taken]
    assert len(messages) <= 60
    shown = "\n".join(map(words, messages))
    assert "…" not in shown
    for number in range(500):
        assert shown.count(f"comment number {number:03}. with some words & <!channel>") == 1
    for name in ("File 0 <x>", "File 1 <x>", "File 2 <x>"):
        places = [shown.index(f"number {n:03}.") for n in range(500) if f"File {n % 3} <x>" == name]
        assert places == sorted(places)
    digests = sum(message.event == "digest" for message in messages)
    assert (
        len(messages) - digests <= 21
    )  # the first, and the last ones, when the queue is no longer behind
    assert f'relay_digests_total{{queue="acme/a"}} {digests}.0' in house.metrics.text().decode()
    deliveries = [
        delivery
        for entry in await house.store.log(team=None, state=None, limit=999)
        for delivery in entry.deliveries
    ]
    assert {delivery.state for delivery in deliveries} == {"sent"}
    assert len({delivery.receipt for delivery in deliveries}) == len(messages)


async def test_a_queue_that_is_not_behind_sends_one_by_one(house: House) -> None:
    await house.put(comment(number) for number in range(20))
    house.sink.open.set()
    await house.settled()

    assert [message.title for _, message in house.sink.taken] == [f"T{n}" for n in range(20)]


async def test_a_digest_is_grouped_by_file_and_pings_each_person_once() -> None:
    ada = Mention("a", "Ada", addresses={"slack": "U0ADA"})
    messages = [comment(0), comment(1), comment(3), comment(4)]
    messages = [Message(m.title, m.body, file=m.file, mentions=(ada,))
                for m in messages]  # fmt: skip
    combined = digest.combine(messages)

    text = words(combined)
    order = [text.index(f"number 00{number}.") for number in (0, 3, 1, 4)]
    assert order == sorted(order)
    assert combined.title == "4 events in 2 files"
    assert combined.mentions == (ada,)
    assert digest.combine(messages[:1]).title == "1 events, File 0 <x>"
    assert digest.combine([Message("T", "")]).body == "T"


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


async def test_the_messages_of_a_failed_digest_are_sent_one_by_one(
    house: House, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fails(_: Sequence[Message]) -> Message:
        raise IndexError

    monkeypatch.setattr(digest, "combine", fails)
    await house.put(comment(number) for number in range(22))
    house.sink.open.set()
    await house.settled()
    shown = "\n".join(words(message) for _, message in house.sink.taken)
    assert all(shown.count(f"number {number:03}.") == 1 for number in range(22))
    assert "digest failed, sent one by one: bug: IndexError" in caplog.text


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


async def test_a_digest_has_the_same_key_after_a_crash(house: House) -> None:
    await house.put(comment(number) for number in range(60))
    house.sink.free = 1
    house.queues.wake(["acme/a"])
    async with asyncio.timeout(20):
        while len(house.sink.attempted) < 2:  # noqa: ASYNC110 - no event to wait for
            await asyncio.sleep(0.002)
    await house.queues.stop(0.0)
    house.sink.open = asyncio.Event()
    key = house.sink.attempted[1]
    await house.put(comment(number) for number in range(60, 80))
    house.start()
    house.sink.open.set()
    await house.settled()

    first, message = house.sink.taken[1]
    assert first == key
    assert message.event == "digest"
    shown = "\n".join(words(message) for _, message in house.sink.taken)
    assert all(shown.count(f"number {number:03}.") == 1 for number in range(80))


async def test_the_messages_of_a_refused_digest_are_sent_one_by_one(house: House) -> None:
    await house.put(comment(number) for number in range(22))
    house.sink.refusals = [None, Permanent("invalid_blocks")]
    house.sink.open.set()
    await house.settled()

    shown = "\n".join(words(message) for _, message in house.sink.taken)
    assert all(shown.count(f"number {number:03}.") == 1 for number in range(22))
    entries = await house.store.log(team=None, state="dead", limit=9)
    assert entries == []


async def test_a_message_that_was_being_sent_at_a_kill_keeps_its_key(house: House) -> None:
    await house.put([comment(0)])
    house.queues.wake(["acme/a"])
    async with asyncio.timeout(20):
        while not house.sink.attempted:  # noqa: ASYNC110 - no event to wait for
            await asyncio.sleep(0.002)
    await house.queues.stop(0.0)
    await house.put(comment(number) for number in range(1, 40))
    house.start()
    house.sink.open.set()
    await house.settled()

    assert house.sink.taken[0][0] == house.sink.attempted[0] == "key 0"
    assert house.sink.taken[1][1].event == "digest"


async def test_an_attempted_message_does_not_go_into_a_digest(house: House) -> None:
    await house.put([comment(0)])
    house.sink.refusals = [RetryLater("timeout")]
    house.sink.open.set()
    house.queues.wake(["acme/a"])
    await asyncio.sleep(0.02)
    house.sink.open.clear()
    await house.put(comment(number) for number in range(1, 40))
    house.sink.open.set()
    await house.settled()

    assert house.sink.taken[0][1].title == "T0"


async def test_one_alert_when_a_queue_stops_and_one_when_it_runs_again(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    gone = Misconfigured("not_in_channel", "the bot is not in *#a*: invite it with /invite")
    house.sink.refusals = [gone] * 30
    house.sink.open.set()
    await house.put([comment(0)])
    house.queues.wake(["acme/a"])
    async with asyncio.timeout(20):
        while len(house.sink.refusals) > 5:  # noqa: ASYNC110 - no event to wait for
            await asyncio.sleep(0.002)
    stopped = await stopped_queues(house.store, house.sinks)
    assert stopped["acme/a"][1] == str(gone)
    assert 'relay_queue_stopped{queue="acme/a"} 1.0' in house.metrics.text().decode()
    await house.settled()

    assert await house.alerts(2) == [
        "Messages to **a** have stopped: the bot is not in *#a*: invite it with /invite "
        "(not_in_channel). They wait and are sent once this is fixed.",
        "Messages to **a** are sent again.",
    ]
    assert await stopped_queues(house.store, house.sinks) == {}
    assert 'relay_queue_stopped{queue="acme/a"} 0.0' in house.metrics.text().decode()
    warned = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert len(warned) == 2
    assert [entry.event.name for entry in await house.store.log(team=None, state=None, limit=9)][
        :2
    ] == ["queue-running", "queue-stopped"]


async def test_a_restart_neither_loses_nor_repeats_an_alert(house: House) -> None:
    house.sink.refusals = [Misconfigured("revoked")] * 1000
    house.sink.open.set()
    await house.put([comment(0)])
    house.queues.wake(["acme/a"])
    async with asyncio.timeout(20):
        while "acme/a" not in await stopped_queues(house.store, house.sinks):  # noqa: ASYNC110
            await asyncio.sleep(0.002)
    await house.queues.stop(1.0)
    house.start()
    house.queues.wake(["acme/a"])
    await asyncio.sleep(0.1)
    house.sink.refusals.clear()
    await house.settled()

    assert [alert.partition(":")[0] for alert in await house.alerts(2)] == [
        "Messages to **a** have stopped",
        "Messages to **a** are sent again.",
    ]


async def test_a_server_that_is_down_for_long_stops_its_queue(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    house.sink.refusals = [RetryLater("connect", "refuses connections")] * 3
    house.sink.open.set()
    await house.put([comment(0)])
    await house.settled()
    assert await house.alerts(0) == []

    monkeypatch.setattr(health, "STOP_TIMEOUT", 0.0)
    house.sink.refusals = [RetryLater("connect", "refuses connections")] * 3
    await house.put([comment(1)])
    await house.settled()
    assert len(await house.alerts(2)) == 2


@pytest.mark.parametrize("method", ["announce", "put_value"])
async def test_an_unavailable_store_neither_loses_nor_repeats_an_alert(
    house: House, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    monkeypatch.setattr(queue_module, "STORE_RETRY_DELAY", 0.01)
    write, calls = getattr(house.store, method), 0

    async def away(*given: Any) -> None:
        nonlocal calls
        calls += 1
        if calls % 3:
            raise StoreUnavailable("disk full")
        await write(*given)

    monkeypatch.setattr(house.store, method, away)
    house.sink.refusals = [Misconfigured("revoked")] * 3
    house.sink.open.set()
    await house.put([comment(0)])
    await house.settled()
    assert [alert.partition(":")[0] for alert in await house.alerts(2)] == [
        "Messages to **a** have stopped",
        "Messages to **a** are sent again.",
    ]
    assert calls == 6


async def test_a_refused_message_ends_the_time_of_failures(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, "STOP_TIMEOUT", 0.05)
    refusals: list[DeliveryError | None] = [RetryLater("451"), Permanent("550")]
    house.sink.refusals = list(refusals)
    house.sink.open.set()
    await house.put([comment(0)])
    await house.settled()
    await asyncio.sleep(0.1)
    house.sink.refusals = [RetryLater("451")]
    await house.put([comment(1)])
    await house.settled()
    assert await house.alerts(0) == []


async def test_the_channel_for_alerts_gets_none_about_itself(house: House) -> None:
    house.sinks["acme/ops"].refusals = [Misconfigured("revoked")] * 3
    await house.store.announce(
        "acme", "x", [NewDelivery("acme/ops", "k", Message("T", "").dumps())]
    )
    await house.settled()

    assert [message.title for _, message in house.sinks["acme/ops"].taken] == ["T"]
