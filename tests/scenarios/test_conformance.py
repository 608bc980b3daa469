"""What every kind of channel does alike, behind a real queue: order, retry, dead letters, pings,
limits and edits. The chats' tests with a running service are in ``test_chats``."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager

import pytest

from relay.channels import CHANNEL_TYPES, open_channel
from relay.channels.base import EditableChannel
from relay.delivery.queue_context import QueueSettings
from relay.delivery.queues import QueueManager
from relay.messages.escape import escape
from relay.messages.message import Content, Message
from relay.store.records import Delivery
from relay.store.sqlite import SqliteStore
from tests.channels.builders import opened
from tests.channels.kinds import FAILURE, KINDS, Kind
from tests.delivery.scripted import House as ScriptedHouse
from tests.delivery.scripted import queue_context
from tests.faults.account import numbers_in
from tests.faults.places import Places
from tests.pictures.sheets import DRAWINGS

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("quick_retries")]
HOSTILE = (
    "@everyone @channel @here @all @room <!channel> <@U0ADA0000> <@80351110224678999> "
    "@ada:relay.test **x** [a](https://evil.example)"
)


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> Iterator[Kind]:
    with KINDS[request.param]() as opened:
        yield opened


class House(ScriptedHouse):
    """One queue to a real channel."""

    def __init__(self, store: SqliteStore, kind: Kind) -> None:
        self.store = store
        settings = QueueSettings(lambda: open_channel(kind.settings), pace=1e6)
        self.queues = QueueManager({"a": settings}, queue_context(store))

    async def numbers(self, count: int) -> None:
        for number in range(count):
            await self.put("a", f"Title {number}", body=f"This is no {number}")


@asynccontextmanager
async def queued(store: SqliteStore, kind: Kind) -> AsyncIterator[House]:
    house = House(store, kind)
    yield house
    await house.queues.stop(1.0)


async def state(house: House, done: Callable[[list[Delivery]], bool]) -> list[Delivery]:
    async with asyncio.timeout(60):
        while not done(deliveries := await house.deliveries()):  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    return deliveries


def numbers(kind: Kind) -> list[int]:
    return [number for text in kind.texts() for number in numbers_in(text)]


async def test_order_retry_and_dead_letters(
    kind: Kind, store: SqliteStore, capsys: pytest.CaptureFixture[str]
) -> None:
    if kind.gate is not None:
        kind.gate.next.extend((FAILURE, FAILURE))
        kind.gate.refused, kind.gate.refusal = "This is no 0", kind.refusal
    async with queued(store, kind) as house:
        await house.numbers(5)
        await house.settled()
        deliveries = await house.deliveries()
    first = 1 if kind.refusal else 0
    assert [each.state for each in deliveries] == ["dead"] * first + ["sent"] * (5 - first)
    if kind.gate is not None:
        assert deliveries[0].attempts == 2 + 1
    if kind.settings.type == "stdout":
        assert numbers_in(capsys.readouterr().out) == tuple(range(5))
    else:
        assert numbers(kind) == list(range(first, 5))


async def test_what_no_answer_refuses_for_good_is_dead_after_its_time(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("relay.channels.apprise.channel.DOUBT_TIMEOUT", 0.3)
    with KINDS["apprise"]() as kind:
        assert kind.gate is not None
        kind.gate.is_down = True
        async with queued(store, kind) as house:
            await house.put("a", "0", body="This is no 0")
            (dead,) = await state(house, lambda all_: all_[0].state == "dead")
            kind.gate.is_down = False
            await house.put("a", "1", body="This is no 1")
            await state(house, lambda all_: all_[-1].state == "sent")
        assert dead.attempts > 1
        assert "Relay retries it for an hour" in dead.error
        assert numbers(kind) == [1]


async def test_no_text_pings_or_formats_and_a_long_one_is_accepted(
    kind: Kind, capsys: pytest.CaptureFixture[str]
) -> None:
    async with opened(kind.settings) as channel:
        for number, text in enumerate((HOSTILE, HOSTILE * 500)):
            body = f"{escape(HOSTILE)}\n\n> This is no {number} {escape(text)}"
            await channel.send(Message(HOSTILE, Content(body), team="acme"), f"key {number}")
    if kind.settings.type == "stdout":
        assert capsys.readouterr().out.count("This is no") == 2
        return
    assert numbers(kind) == [0, 1]
    assert kind.pings() == []


async def test_an_edit_replaces_the_text(kind: Kind) -> None:
    async with opened(kind.settings) as channel:
        assert isinstance(channel, EditableChannel) or not kind.settings.can_edit
        if kind.settings.can_edit and isinstance(channel, EditableChannel):
            receipt = await channel.send(Message("T", Content("This is no 1")), "1")
            await channel.send(Message("T", Content("This is no 2")), "2")
            await channel.update(receipt.id, Message("T", Content("This is no 3")), "3")
            assert sorted(numbers(kind)) == [2, 3]


def test_each_kind_of_the_registry_is_here_and_in_the_other_lists() -> None:
    """A new kind needs its conformance, its faults and its contact sheet."""
    tested = set()
    for open_kind in KINDS.values():
        with open_kind() as kind:
            tested.add(kind.settings.type)
    assert tested == CHANNEL_TYPES.keys()
    without_server = {"stdout"}
    assert makers() == CHANNEL_TYPES.keys() - without_server
    assert DRAWINGS.keys() == CHANNEL_TYPES.keys() - without_server


def makers() -> set[str]:
    places = Places.__new__(Places)  # whose servers are not needed
    return set(places.makers)
