"""Edits in a queue, on a real store, with a channel that keeps what a reader sees."""

import asyncio
import random
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import ClassVar

import pytest

from relay.channels.base import (
    DeliveryError,
    Finding,
    MessageNotFound,
    Misconfigured,
    NotEditable,
    Permanent,
    Receipt,
    ReplyTo,
    RetryLater,
)
from relay.delivery.queue_context import QueueSettings
from relay.delivery.queues import QueueManager
from relay.messages.message import Change, Content, Message, Picture
from relay.metrics import Metrics
from relay.store.activity import REPLACED
from relay.store.records import Delivery, FanOutResult, NewDelivery, NewEvent
from relay.store.sqlite import SqliteStore
from tests.delivery.scripted import queue_context

pytestmark = pytest.mark.anyio

T = "thread"


class Wall:
    """A channel with edits."""

    kind: ClassVar[str] = "wall"
    pace: ClassVar[float | None] = None
    edits_notify: ClassVar[bool] = False

    def __init__(self) -> None:
        self.shows: dict[str, str] = {}
        self.keys: list[str] = []
        self.answers: list[DeliveryError] = []

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
            raise MessageNotFound("message_not_found")
        self._show(receipt, message, key)

    async def remove(
        self, receipt: str, message: Message, key: str, *, is_further: bool = False
    ) -> None:
        placeholder = Content("(removed)" if is_further else f"({message.content.body})")
        await self.update(receipt, replace(message, full=placeholder, reply=None), key)

    async def check(self) -> list[Finding]:
        raise NotImplementedError

    async def close(self) -> None:
        self.answers.clear()

    def _show(self, receipt: str, message: Message, key: str) -> None:
        self.keys.append(key)
        if self.answers:
            raise self.answers.pop(0)
        self.shows[receipt] = message.content.body


class Paper:
    """A channel without edits."""

    kind: ClassVar[str] = "paper"
    pace: ClassVar[float | None] = None

    def __init__(self) -> None:
        self.shows: dict[str, str] = {}

    send = Wall.send
    check = Wall.check

    def _show(self, receipt: str, message: Message, key: str) -> None:
        self.shows[receipt] = message.content.body

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
            {"a": QueueSettings(lambda: self.wall, has_threads=True, digest_after=digest_after)},
            queue_context(self.store, self.metrics),
        )
        return self.queues

    async def put(self, *messages: tuple[Message, str], wake: bool = True, thread: str = T) -> None:
        """Messages, each with the id of its comment."""
        for message, comment in messages:
            now = time.time_ns()
            body = NewEvent("acme", "application/json", b"{}", b"%d" % now, "x", received_at=now)
            await self.store.accept(body)
            (stored,) = await self.store.stored_events(1)
            new = NewDelivery("a", f"key{now}", message.dumps(), thread, comment)
            await self.store.save_fan_out(
                [FanOutResult(stored.id, "acme", "fanned-out", "", [new])]
            )
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
    request: pytest.FixtureRequest, store: SqliteStore, quick_retries: None
) -> AsyncIterator[House]:
    house = House(store, request.param())
    yield house
    await house.queues.stop(1.0)


def said(text: str, comment: str = "") -> tuple[Message, str]:
    event = "create-comment" if comment else "create-comment-thread"
    message = Message(text, Content(text), thread=T, event=event, comment=comment)
    return replace(message, reply=Content(f"{text} (in thread)")), comment


def edit(text: str, comment: str = "", fallback: str = "", **more: object) -> tuple[Message, str]:
    line = Message(fallback, Content(fallback), thread=T, event="update-comment", comment=comment)
    change = Change(comment=comment, fallback=line if fallback else None, **more)  # type: ignore[arg-type]
    message, _ = said(text, comment)
    return replace(message, change=change), comment


async def test_an_edit_replaces_its_message(house: House) -> None:
    await house.put(said("first"), said("reply", "c"), edit("FIRST"), edit("REPLY", "c"))

    assert house.texts == ["FIRST", "REPLY (in thread)"]
    assert {delivery.state for delivery in await house.deliveries()} == {"sent"}


async def test_an_edit_waits_for_its_message_and_the_newest_wins(house: House) -> None:
    assert isinstance(house.wall, Wall)
    house.wall.answers = [RetryLater("down")] * 3
    await house.put(said("first"), edit("one"), edit("two"), edit("three"), wake=False)

    await house.settle()

    assert house.texts == ["three"]


async def test_a_failed_edit_is_retried_under_its_own_key(house: House) -> None:
    await house.put(said("first"))
    assert isinstance(house.wall, Wall)
    house.wall.answers = [RetryLater("down"), Misconfigured("token")]

    await house.put(edit("FIRST"))

    assert house.texts == ["FIRST"]
    assert len(set(house.wall.keys[1:])) == 1
    (_, edited) = await house.deliveries()
    assert house.wall.keys[1] == f"{edited.key}.0"


async def test_a_resent_older_edit_is_superseded(house: House) -> None:
    await house.put(said("first"), edit("old"), edit("new"))
    (_, old, _) = await house.deliveries()

    await house.store.resend([old.id])
    await house.settle()

    assert house.texts == ["new"]


async def test_an_edit_changes_the_resent_message(house: House) -> None:
    await house.put(said("first"))
    (first,) = await house.deliveries()
    await house.store.resend([first.id])
    await house.settle()

    await house.put(edit("FIRST"))

    assert house.texts == ["first", "FIRST (in thread)"]


async def test_an_edit_of_a_message_in_a_digest_sends_the_fallback(house: House) -> None:
    house.open(digest_after=2)
    texts = [said(f"number {number}", f"c{number}") for number in range(6)]
    await house.put(*texts, wake=False)
    await house.put(edit("NUMBER 4", "c4", fallback="c4 was edited"), wake=False)

    await house.settle()

    *_, digest, last = house.texts
    assert "number 4" in digest
    assert last == "c4 was edited"

    await house.put(edit("NUMBER 4!", "c4", fallback="c4 was edited again"))

    assert house.texts[-2:] == [digest, "NUMBER 4! (in thread)"]


@pytest.mark.parametrize("house", [Paper], indirect=True)
async def test_a_channel_without_edits_gets_the_fallback(house: House) -> None:
    await house.put(said("first"), edit("FIRST", fallback="edited"), edit("FIRST"))

    assert house.texts == ["first", "edited"]


async def test_an_edit_of_a_missing_message_counts_as_done(house: House) -> None:
    await house.put(said("first"))
    house.wall.shows.clear()

    await house.put(edit("FIRST", fallback="edited"), edit("second"))

    assert house.texts == []
    assert {delivery.state for delivery in await house.deliveries()} == {"sent"}
    assert 'reason="message_not_found"} 2.0' in house.metrics.text().decode()


async def test_an_edit_that_is_not_allowed_sends_the_fallback(house: House) -> None:
    await house.put(said("first"))
    assert isinstance(house.wall, Wall)
    for text in ("edited", ""):
        house.wall.answers = [NotEditable("edit_window_closed")]
        await house.put(edit("FIRST", fallback=text))

    assert house.texts == ["first", "edited"]
    assert {delivery.state for delivery in await house.deliveries()} == {"sent"}


async def test_one_message_that_can_t_be_removed_does_not_keep_the_others(house: House) -> None:
    await house.put(said("first"), said("one", "c"), said("two", "d"))
    assert isinstance(house.wall, Wall)
    house.wall.answers = [NotEditable("edit_window_closed")]
    await house.put(edit("deleted", removes=True, whole_thread=True, fallback="it was deleted"))

    assert sorted(house.texts) == [
        "(deleted)",
        "(removed)",
        "it was deleted",
        "one (in thread)",
    ]


async def test_an_edit_of_an_unknown_message_sends_the_fallback_if_any(house: House) -> None:
    await house.put(edit("FIRST"), edit("REPLY", "c", fallback="edited"))

    assert house.texts == ["edited"]


async def test_a_permanently_refused_edit_is_marked_dead(house: House) -> None:
    await house.put(said("first"))
    assert isinstance(house.wall, Wall)
    house.wall.answers = [Permanent("msg_too_long")]

    await house.put(edit("FIRST"), edit("second"))

    assert house.texts == ["second"]
    assert [delivery.state for delivery in await house.deliveries()] == ["sent", "dead", "sent"]


async def test_new_mentions_get_the_fallback_where_edits_do_not_notify(house: House) -> None:
    await house.put(said("first"))
    await house.put(
        edit("one", fallback="ping Bob", new_mentions=("bob",)),
        edit("two", fallback="not sent"),
        wake=False,
    )

    await house.settle()

    assert house.texts == ["two", "ping Bob"]


async def test_a_deleted_comment_removes_all_its_messages(house: House) -> None:
    await house.put(
        said("first"),
        said("reply", "c"),
        edit("REPLY", "c", fallback="ping", new_mentions=("bob",)),
        edit("deleted", "c", removes=True),
    )

    assert house.texts == ["first", "(deleted (in thread))", "(removed)"]


async def test_a_deleted_thread_is_removed_from_its_end(house: House) -> None:
    await house.put(said("first"), said("one", "c"), said("two", "d"))
    done = len(house.wall.keys) if isinstance(house.wall, Wall) else 0

    await house.put(edit("deleted", removes=True, whole_thread=True))

    assert house.texts == ["(deleted)", "(removed)", "(removed)"]
    assert isinstance(house.wall, Wall)
    assert [key.rpartition(".")[2] for key in house.wall.keys[done:]] == ["0", "1", "2"]


@pytest.mark.parametrize("seed", range(6))
async def test_after_random_failures_the_channel_shows_each_newest_text_once(
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
            kind = chance.choice([RetryLater, Misconfigured])
            house.wall.answers += [kind("down")] * chance.randrange(3)
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


async def test_an_interrupted_deletion_is_completed(house: House) -> None:
    await house.put(said("first"), said("one", "c"))
    assert isinstance(house.wall, Wall)
    await house.put(edit("deleted", removes=True, whole_thread=True), wake=False)
    house.wall.answers = []
    fails = iter([False, True])
    show = house.wall._show

    def fail_once(receipt: str, message: Message, key: str) -> None:
        if next(fails, False):
            raise RetryLater("down")
        show(receipt, message, key)

    house.wall._show = fail_once  # type: ignore[method-assign]
    done = len(house.wall.keys)

    await house.settle()

    assert house.texts == ["(deleted)", "(removed)"]
    assert len(house.wall.keys) == done + 2  # each once, as servers limit the rate


# Activity lines


LINE = "activity:2026-03-09:file:f1"


def line(text: str, *, is_edit: bool = True) -> tuple[Message, str]:
    return Message(text, Content(text), line=LINE, change=Change() if is_edit else None), ""


async def put_line(house: House, *texts: str, is_new: bool = False, wake: bool = True) -> None:
    """Each in a transaction of its own; with ``is_new`` the first one is a message."""
    for number, text in enumerate(texts):
        message, _ = line(text, is_edit=number > 0 or not is_new)
        await house.put((message, ""), wake=False, thread=LINE)
    if wake:
        await house.settle()


async def test_a_line_is_edited_in_place(house: House) -> None:
    await put_line(house, "one", is_new=True)
    await put_line(house, "two")
    await put_line(house, "three")
    assert house.texts == ["three"]
    assert await house.store.get_thread("a", LINE) is None
    assert await house.store.get_thread("a", "") is None


async def test_only_the_latest_waiting_edit_of_a_line_is_sent(house: House) -> None:
    await put_line(house, "one", is_new=True)
    assert isinstance(house.wall, Wall)
    house.wall.answers = [RetryLater("down")] * 100_000  # until all have been put
    await put_line(house, "two", wake=False)
    house.queues.wake(["a"])
    async with asyncio.timeout(20):
        while len(house.wall.keys) < 2:  # noqa: ASYNC110
            await asyncio.sleep(0.002)
    await put_line(house, "three", "four", "five", wake=False)
    house.wall.answers.clear()
    await house.settle()

    assert house.texts == ["five"]
    assert len(set(house.wall.keys)) == 3
    states = [(one.state, one.error) for one in await house.deliveries()]
    assert states == [("sent", ""), *[("skipped", REPLACED)] * 3, ("sent", "")]
    text = house.metrics.text().decode()
    assert 'relay_deliveries_skipped_total{queue="a",reason="replaced"} 3.0' in text
    assert "relay_deliveries_dead_total{" not in text


@pytest.mark.parametrize("error", [MessageNotFound("gone"), NotEditable("too old")])
async def test_a_lost_line_begins_again_and_the_new_message_is_edited(
    house: House, error: DeliveryError
) -> None:
    await put_line(house, "one", is_new=True)
    assert isinstance(house.wall, Wall)
    house.wall.answers = [error]
    await put_line(house, "two")
    assert house.texts == ["one", "two"]
    await put_line(house, "three")
    assert house.texts == ["one", "three"]


async def test_a_line_that_was_sent_in_a_digest_begins_again(house: House) -> None:
    await put_line(house, "one", is_new=True, wake=False)
    ids = [one.id for one in await house.deliveries()]
    await house.store.mark_sent(ids, "")
    await put_line(house, "two")
    await put_line(house, "three")
    assert house.texts == ["three"]


async def test_the_edits_of_other_lines_and_of_comments_stay(house: House) -> None:
    await house.put(said("first"))
    await put_line(house, "one", is_new=True)
    other, _ = line("of another line", is_edit=False)
    await house.put((replace(other, line="other"), ""), thread="other")
    await house.put(edit("FIRST"), wake=False)
    await house.put(
        (replace(other, line="other", change=Change(), full=Content("OTHER")), ""),
        wake=False,
        thread="other",
    )
    await put_line(house, "two", "three")
    assert house.texts == ["FIRST", "three", "OTHER"]
    assert [one.state for one in await house.deliveries()].count("skipped") == 1


@pytest.mark.parametrize("house", [Paper], indirect=True)
async def test_a_channel_that_edits_no_more_sends_the_line_as_a_message(house: House) -> None:
    await put_line(house, "one", is_new=True)
    await put_line(house, "two")
    assert house.texts == ["one", "two"]
