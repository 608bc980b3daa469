"""Changes in a queue: on a real store, with a channel that keeps what a reader would see."""

import asyncio
import random
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import pytest

from relay.channels.base import Failure, Finding, Receipt, ReplyTo
from relay.delivery import queue as queue_module
from relay.delivery.queues import QueueManager
from relay.messages.message import Change, Message
from relay.metrics import Metrics
from relay.picture import Picture
from relay.store.base import Delivery, FannedOut, NewDelivery, NewEvent
from relay.store.sqlite import SqliteStore

pytestmark = pytest.mark.anyio

T = "thread"


class Wall:
    """A channel on whose wall messages can be changed."""

    kind: ClassVar[str] = "wall"
    pace: ClassVar[float | None] = None
    pings_in_edits: ClassVar[bool] = False

    def __init__(self) -> None:
        self.shows: dict[str, str] = {}
        self.keys: list[str] = []
        self.answers: list[Failure] = []

    async def send(
        self,
        message: Message,
        key: str,
        thread: ReplyTo | None = None,
        picture: Picture | None = None,
    ) -> Receipt:
        receipt = f"r{len(self.shows)}"
        self._show(receipt, message, key)
        return Receipt(receipt)

    async def update(
        self, receipt: str, message: Message, key: str, picture: Picture | None = None
    ) -> None:
        if receipt not in self.shows:
            raise Failure("gone", "message_not_found")
        self._show(receipt, message, key)

    async def remove(self, receipt: str, message: Message, key: str) -> None:
        await self.update(receipt, replace(message, body=f"({message.body})"), key)

    async def check(self) -> list[Finding]:
        raise NotImplementedError

    async def close(self) -> None:
        self.answers.clear()

    def _show(self, receipt: str, message: Message, key: str) -> None:
        self.keys.append(key)
        if self.answers:
            raise self.answers.pop(0)
        self.shows[receipt] = message.body


class Paper:
    """A channel that can't take anything back."""

    kind: ClassVar[str] = "paper"
    pace: ClassVar[float | None] = None

    def __init__(self) -> None:
        self.shows: dict[str, str] = {}

    send = Wall.send
    check = Wall.check

    def _show(self, receipt: str, message: Message, key: str) -> None:
        self.shows[receipt] = message.body

    async def close(self) -> None:
        pass


class House:
    """A store, a queue, and its channel."""

    def __init__(self, store: SqliteStore, channel: Wall | Paper) -> None:
        self.store = store
        self.wall = channel
        self.metrics = Metrics()
        self.queues = self.open()

    def open(self, digest_after: int = 1000) -> QueueManager:
        self.queues = QueueManager(
            self.store,
            ["a"],
            ["a"],
            lambda _: self.wall,
            lambda _: None,
            retention=3600.0,
            metrics=self.metrics,
            digest_after=lambda _: digest_after,
        )
        return self.queues

    async def put(self, *messages: tuple[Message, str], wake: bool = True) -> None:
        """Messages with the comment that each is about."""
        for message, comment in messages:
            now = time.time_ns()
            body = NewEvent("acme", "application/json", b"{}", b"%d" % now, "x", received_at=now)
            await self.store.accept(body)
            (stored,) = await self.store.stored(1)
            new = NewDelivery("a", f"key{now}", message.dumps(), T, comment)
            await self.store.fanned_out([FannedOut(stored.id, "acme", "fanned-out", "", [new])])
        if wake:
            await self.settle()

    async def settle(self) -> None:
        self.queues.wake(["a"])
        async with asyncio.timeout(20):
            while await self.store.waiting_queues():  # noqa: ASYNC110
                await asyncio.sleep(0.002)

    async def deliveries(self) -> list[Delivery]:
        entries = await self.store.log(team=None, state=None, limit=1000)
        return [delivery for entry in reversed(entries) for delivery in entry.deliveries]

    @property
    def texts(self) -> list[str]:
        return list(self.wall.shows.values())


@pytest.fixture(params=[Wall])
async def house(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[House]:
    monkeypatch.setattr(queue_module, "delay", lambda attempts, asked=None: asked or 0.01)
    store = SqliteStore(tmp_path / "relay.db")
    await store.open()
    house = House(store, request.param())
    yield house
    await house.queues.stop(1.0)
    await store.close()


def said(text: str, comment: str = "") -> tuple[Message, str]:
    return Message(text, text, thread=T, brief=(f"{text} (in thread)", "")), comment


def edit(text: str, comment: str = "", otherwise: str = "", **more: object) -> tuple[Message, str]:
    told = Message(otherwise, otherwise, thread=T).dumps() if otherwise else ""
    change = Change(comment=comment, otherwise=told, **more)  # type: ignore[arg-type]
    message, _ = said(text, comment)
    return replace(message, change=change), comment


async def test_an_edit_takes_the_place_of_its_message(house: House) -> None:
    await house.put(said("first"), said("reply", "c"), edit("FIRST"), edit("REPLY", "c"))

    assert house.texts == ["FIRST", "REPLY (in thread)"]
    assert {one.state for one in await house.deliveries()} == {"sent"}


async def test_an_edit_waits_for_its_message_and_the_newest_stands(house: House) -> None:
    assert isinstance(house.wall, Wall)
    house.wall.answers = [Failure("retry", "down")] * 3
    await house.put(said("first"), edit("one"), edit("two"), edit("three"), wake=False)

    await house.settle()

    assert house.texts == ["three"]


async def test_an_edit_that_fails_is_tried_again_under_its_own_key(house: House) -> None:
    await house.put(said("first"))
    assert isinstance(house.wall, Wall)
    house.wall.answers = [Failure("retry", "down"), Failure("broken", "token")]

    await house.put(edit("FIRST"))

    assert house.texts == ["FIRST"]
    assert len(set(house.wall.keys[1:])) == 1
    (_, edited) = await house.deliveries()
    assert house.wall.keys[1] == f"{edited.key}.0"


async def test_an_older_edit_that_is_sent_again_brings_nothing_back(house: House) -> None:
    await house.put(said("first"), edit("old"), edit("new"))
    (_, old, _) = await house.deliveries()

    await house.store.resend([old.id])
    await house.settle()

    assert house.texts == ["new"]


async def test_an_edit_counts_for_the_message_that_was_sent_again(house: House) -> None:
    await house.put(said("first"))
    (first,) = await house.deliveries()
    await house.store.resend([first.id])
    await house.settle()

    await house.put(edit("FIRST"))

    assert house.texts == ["first", "FIRST (in thread)"]


async def test_what_went_out_in_a_digest_is_told_in_a_message_of_its_own(house: House) -> None:
    house.open(digest_after=2)
    texts = [said(f"number {number}", f"c{number}") for number in range(6)]
    await house.put(*texts, wake=False)
    await house.put(edit("NUMBER 4", "c4", otherwise="c4 was edited"), wake=False)

    await house.settle()

    *_, digest, told = house.texts
    assert "number 4" in digest
    assert told == "c4 was edited"

    await house.put(edit("NUMBER 4!", "c4", otherwise="c4 was edited again"))

    assert house.texts[-2:] == [digest, "NUMBER 4! (in thread)"]


@pytest.mark.parametrize("house", [Paper], indirect=True)
async def test_a_channel_that_can_change_nothing_tells_it_otherwise(house: House) -> None:
    await house.put(said("first"), edit("FIRST", otherwise="edited"), edit("FIRST"))

    assert house.texts == ["first", "edited"]


async def test_a_message_that_is_gone_is_left_alone(house: House) -> None:
    await house.put(said("first"))
    house.wall.shows.clear()

    await house.put(edit("FIRST", otherwise="edited"), edit("second"))

    assert house.texts == []
    assert {one.state for one in await house.deliveries()} == {"sent"}
    assert 'reason="message_not_found"} 2.0' in house.metrics.text().decode()


async def test_what_can_t_be_changed_any_more_is_told_otherwise(house: House) -> None:
    await house.put(said("first"))
    assert isinstance(house.wall, Wall)
    for told in ("edited", ""):
        house.wall.answers = [Failure("fixed", "edit_window_closed")]
        await house.put(edit("FIRST", otherwise=told))

    assert house.texts == ["first", "edited"]
    assert {one.state for one in await house.deliveries()} == {"sent"}


async def test_what_can_t_be_taken_away_leaves_the_rest_to_be_taken(house: House) -> None:
    await house.put(said("first"), said("one", "c"), said("two", "d"))
    assert isinstance(house.wall, Wall)
    house.wall.answers = [Failure("fixed", "edit_window_closed")]
    await house.put(edit("deleted", removes=True, whole_thread=True, otherwise="it was deleted"))

    assert sorted(house.texts) == [
        "(deleted (in thread))",
        "(deleted)",
        "it was deleted",
        "one (in thread)",
    ]


async def test_what_never_came_here_is_told_otherwise_or_not_at_all(house: House) -> None:
    await house.put(edit("FIRST"), edit("REPLY", "c", otherwise="edited"))

    assert house.texts == ["edited"]


async def test_a_change_that_its_server_never_takes_is_set_aside(house: House) -> None:
    await house.put(said("first"))
    assert isinstance(house.wall, Wall)
    house.wall.answers = [Failure("dead", "msg_too_long")]

    await house.put(edit("FIRST"), edit("second"))

    assert house.texts == ["second"]
    assert [one.state for one in await house.deliveries()] == ["sent", "dead", "sent"]


async def test_who_is_mentioned_anew_is_told_where_the_edit_tells_nobody(house: House) -> None:
    await house.put(said("first"))
    await house.put(
        edit("one", otherwise="ping Bob", news=("bob",)),
        edit("two", otherwise="not told"),
        wake=False,
    )

    await house.settle()

    assert house.texts == ["two", "ping Bob"]


async def test_a_deleted_comment_takes_all_its_messages_with_it(house: House) -> None:
    await house.put(
        said("first"),
        said("reply", "c"),
        edit("REPLY", "c", otherwise="ping", news=("bob",)),
        edit("deleted", "c", removes=True),
    )

    assert house.texts == ["first", "(deleted (in thread))", "(deleted (in thread))"]


async def test_a_deleted_thread_goes_from_its_end(house: House) -> None:
    await house.put(said("first"), said("one", "c"), said("two", "d"))
    done = len(house.wall.keys) if isinstance(house.wall, Wall) else 0

    await house.put(edit("deleted", removes=True, whole_thread=True))

    assert house.texts == ["(deleted)", "(deleted (in thread))", "(deleted (in thread))"]
    assert isinstance(house.wall, Wall)
    assert [key.rpartition(".")[2] for key in house.wall.keys[done:]] == ["0", "1", "2"]


@pytest.mark.parametrize("seed", range(6))
async def test_whatever_happens_when_the_wall_shows_the_newest_of_each_once(
    house: House, seed: int
) -> None:
    assert isinstance(house.wall, Wall)
    chance = random.Random(seed)
    newest: dict[str, str] = {}
    for number in range(60):
        comment = "" if not newest else chance.choice([f"c{len(newest)}", *newest])
        text = f"{comment} {number}"
        if comment not in newest:
            await house.put(said(text, comment), wake=False)
        elif newest[comment] == "gone":
            continue
        elif comment and chance.random() < 0.1:
            await house.put(edit("gone", comment, removes=True), wake=False)
            text = "gone"
        else:
            await house.put(edit(text, comment), wake=False)
        newest[comment] = text
        if chance.random() < 0.3:
            verdict = chance.choice(["retry", "broken"])
            house.wall.answers += [Failure(verdict, "down")] * chance.randrange(3)
        match chance.randrange(4):
            case 0:
                await house.settle()
            case 1:  # a restart, perhaps in the middle
                house.queues.wake(["a"])
                await asyncio.sleep(chance.random() / 50)
                await house.queues.stop(0.0)
                house.open()

    await house.settle()

    expected = [
        "(gone (in thread))" if text == "gone" else f"{text} (in thread)" if comment else text
        for comment, text in newest.items()
    ]
    assert house.texts == expected


async def test_a_deletion_that_breaks_off_is_done_to_its_end(house: House) -> None:
    await house.put(said("first"), said("one", "c"))
    assert isinstance(house.wall, Wall)
    await house.put(edit("deleted", removes=True, whole_thread=True), wake=False)
    house.wall.answers = []
    fails = iter([False, True])
    show = house.wall._show

    def now_and_then(receipt: str, message: Message, key: str) -> None:
        if next(fails, False):
            raise Failure("retry", "down")
        show(receipt, message, key)

    house.wall._show = now_and_then  # type: ignore[method-assign]
    done = len(house.wall.keys)

    await house.settle()

    assert house.texts == ["(deleted)", "(deleted (in thread))"]
    assert len(house.wall.keys) == done + 2  # each once: a server may allow only so many at a time
