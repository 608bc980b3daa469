"""Held messages: what is held, edits of them, and the digest after the hold; on a real store."""

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime
from types import SimpleNamespace
from zoneinfo import ZoneInfo

import pytest

from relay.channels.base import Receipt, ReplyTo, RetryLater
from relay.config.schedule import Hold, QuietWindow
from relay.delivery import holds as holds_module
from relay.delivery import queues as queues_module
from relay.delivery.edits import ONLY_HELD
from relay.delivery.holds import DELETED, hold_back
from relay.delivery.queue_context import QueueSettings
from relay.delivery.queues import QueueManager
from relay.messages.message import Change, Content, Mention, Message, Picture
from relay.metrics import Metrics
from relay.store.records import Delivery, FanOutResult, NewDelivery, NewEvent
from relay.store.sqlite import SqliteStore
from tests.delivery.scripted import queue_context
from tests.delivery.test_edits import T, Wall, edit, said

Row = tuple[Message, str | None]

pytestmark = pytest.mark.anyio

NIGHTS = Hold([QuietWindow.parse("22:00-07:00")], (), ZoneInfo("Europe/Madrid"))
URGENT = replace(NIGHTS, urgent=("mentions",))
EVENING = datetime(2026, 1, 9, 20, tzinfo=UTC).timestamp()
NIGHT = datetime(2026, 1, 9, 23, tzinfo=UTC).timestamp()
MORNING = datetime(2026, 1, 10, 6, tzinfo=UTC).timestamp()
ADA, BOB = Mention("ada", "Ada"), Mention("bob", "Bob")


def delivery(message: Message, thread: str = "", comment: str = "") -> NewDelivery:
    return NewDelivery("a", "key", message.dumps(), thread, comment)


def test_messages_of_the_quiet_hours_are_held_until_these_end() -> None:
    new = delivery(Message("one", thread=T), T, "c")
    assert hold_back(new, NIGHTS, EVENING) == new
    assert hold_back(new, NIGHTS, NIGHT) == replace(new, held_until=MORNING, held_with=T)
    assert hold_back(new, NIGHTS, MORNING) == new


def test_edits_are_left_to_the_queue() -> None:
    new = delivery(Message("one", thread=T, change=Change()), T)
    assert hold_back(new, NIGHTS, NIGHT) == new


def test_a_mention_is_urgent_where_the_channel_says_so() -> None:
    ping = delivery(Message("one", thread=T, mentions=(ADA,)), T)
    assert hold_back(ping, NIGHTS, NIGHT).held_until == MORNING
    assert hold_back(ping, URGENT, NIGHT) == replace(ping, held_with=T, is_urgent=True)
    assert hold_back(delivery(Message("one")), URGENT, NIGHT).held_until == MORNING


def test_direct_messages_of_a_thread_belong_together_by_person() -> None:
    to = [delivery(Message("one", thread=T, to=person)) for person in (ADA, BOB)]
    groups = {hold_back(new, NIGHTS, NIGHT).held_with for new in to}
    assert len(groups) == 2
    assert "" not in groups
    assert not any(hold_back(new, URGENT, NIGHT).is_urgent for new in to)


def test_a_direct_message_is_urgent_for_whom_the_event_mentions() -> None:
    reply = Message("one", thread=T, to=ADA)  # for a participant of the thread
    assert hold_back(delivery(reply), URGENT, NIGHT).held_until == MORNING
    assert hold_back(delivery(replace(reply, mentioned=True)), URGENT, NIGHT).is_urgent


class Addressed(Wall):
    """It keeps for whom each message is."""

    def __init__(self) -> None:
        super().__init__()
        self.recipients: list[str] = []

    async def send(
        self,
        message: Message,
        key: str,
        thread: ReplyTo | None = None,
        picture: Picture | None = None,
    ) -> Receipt:
        receipt = await super().send(message, key, thread, picture)
        self.recipients.append(message.to.id if message.to else "")
        return receipt


class House:
    """A store, a queue with quiet hours, its channel, and a clock."""

    def __init__(self, store: SqliteStore, monkeypatch: pytest.MonkeyPatch) -> None:
        self.store = store
        self.wall = Addressed()
        self.now = NIGHT
        self.metrics = Metrics()
        clock = SimpleNamespace(time=lambda: self.now, monotonic=time.monotonic)
        monkeypatch.setattr(queues_module, "time", clock)
        monkeypatch.setattr(holds_module, "time", clock)
        monkeypatch.setattr(queues_module, "POLL_INTERVAL", 0.02)
        self.running: asyncio.Task[None] | None = None
        self.start(NIGHTS)

    def start(self, hold: Hold | None) -> None:
        self.hold = hold
        settings = QueueSettings(lambda: self.wall, has_threads=True, hold=hold)
        # far from the real time, by which messages expire
        context = queue_context(self.store, self.metrics, retention=1e10)
        self.queues = QueueManager({"a": settings}, context)
        self.running = asyncio.create_task(self.queues.run())

    async def stop(self) -> None:
        await self.queues.stop(1.0)
        if self.running is not None:
            await self.running

    async def put(self, *messages: Row, sent: bool = True) -> None:
        """Messages in one transaction, each with the id of the comment that it shows."""
        for number in range(len(messages)):
            body = NewEvent("acme", "", b"{}", b"%d %d" % (time.time_ns(), number), "x")
            await self.store.accept(body._replace(received_at=self.now))
        stored = await self.store.stored_events(len(messages))
        results = []
        for event, (message, comment) in zip(stored, messages, strict=True):
            key = f"key {event.id}"
            shown = ("", "") if comment is None or not message.thread else (T, comment)
            new = NewDelivery("a", key, message.dumps(), *shown)
            new = hold_back(new, self.hold, self.now) if self.hold else new
            results.append(FanOutResult(event.id, "acme", "fanned-out", "", [new]))
        await self.store.save_fan_out(results)
        if sent:
            await self.settle()

    async def settle(self) -> None:
        """All that may be sent now is sent, and nothing for some polls after that."""
        self.queues.wake(["a"])
        for _ in range(4):
            async with asyncio.timeout(20):
                while await self.store.waiting_queues():  # noqa: ASYNC110
                    await asyncio.sleep(0.002)
            await asyncio.sleep(0.03)

    async def deliveries(self) -> list[Delivery]:
        entries = await self.store.log(team=None, state=None, limit=1000)
        return [delivery for entry in reversed(entries) for delivery in entry.deliveries]

    async def states(self) -> list[str]:
        return [delivery.state for delivery in await self.deliveries()]

    @property
    def recipients(self) -> list[str]:
        return self.wall.recipients

    @property
    def texts(self) -> list[str]:
        return list(self.wall.shows.values())


@pytest.fixture
async def house(
    store: SqliteStore, quick_retries: None, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[House]:
    house = House(store, monkeypatch)
    yield house
    await house.stop()


def ping(text: str, comment: str = "") -> tuple[Message, str]:
    return replace(said(text)[0], mentions=(ADA,)), comment


async def test_after_the_hold_one_digest_is_sent_and_later_messages_follow(house: House) -> None:
    await house.put(said("one"), said("two", "c"), (Message("three", Content("three")), ""))
    assert (house.texts, await house.states()) == ([], ["held"] * 3)
    house.now = MORNING - 0.001
    await house.settle()
    assert house.texts == []

    house.now = MORNING
    async with asyncio.timeout(20):
        while not house.texts:  # noqa: ASYNC110
            await asyncio.sleep(0.002)
    await house.put((Message("four", Content("four")), ""))

    digest, last = house.texts
    assert [word in digest for word in ("one", "two", "three", "four")] == [True] * 3 + [False]
    assert last == "four"
    assert await house.states() == ["sent"] * 4
    assert 'relay_digests_total{queue="a"} 1.0' in house.metrics.text().decode()


async def test_a_single_held_message_is_sent_as_itself(house: House) -> None:
    await house.put(said("one"))
    house.now = MORNING
    await house.settle()
    assert house.texts == ["one"]


async def test_a_restart_releases_nothing_early(house: House) -> None:
    await house.put(said("one"), said("two", "c"))
    for moment in (NIGHT + 3600, MORNING - 60):
        await house.stop()
        house.now = moment
        house.start(NIGHTS)
        await house.settle()
        assert (house.texts, await house.states()) == ([], ["held", "held"])
    await house.stop()
    house.now = MORNING + 3 * 86400
    house.start(None)  # a hold that began ends at its time also without the key
    await house.settle()
    assert len(house.texts) == 1


async def test_a_message_of_the_morning_does_not_overtake_what_is_held(house: House) -> None:
    await house.put(said("one"), said("two", "c"))
    await house.queues.stop(1.0)
    house.now = MORNING + 1
    settings = QueueSettings(lambda: house.wall, has_threads=True, hold=NIGHTS)
    house.queues = QueueManager({"a": settings}, queue_context(house.store, retention=1e10))
    await house.put(said("three", "d"))  # the manager does not poll
    assert [("one" in text, "three" in text) for text in house.texts] == [
        (True, False),
        (False, True),
    ]


async def test_an_edit_of_a_sent_message_goes_out_at_once(house: House) -> None:
    house.now = EVENING
    await house.put(said("one"))
    house.now = NIGHT
    await house.put(said("two", "c"), edit("ONE"))
    assert house.texts == ["ONE"]
    assert await house.states() == ["sent", "held", "sent"]


async def test_a_held_message_takes_the_latest_text_and_a_deleted_one_is_dropped(
    house: House,
) -> None:
    await house.put(
        said("one"),
        said("two", "c"),
        said("three", "d"),
        edit("ONE", fallback="one was edited"),
        edit("ONE!", fallback="one was edited"),
        edit("gone", "c", removes=True, fallback="two was deleted"),
    )
    assert house.texts == []
    first, second, third, *changes = await house.deliveries()
    assert [first.state, second.state, third.state] == ["held", "skipped", "held"]
    assert second.error == DELETED
    assert {change.state for change in changes} == {"sent"}

    house.now = MORNING
    await house.settle()
    (digest,) = house.texts
    assert [word in digest for word in ("ONE!", "two", "three", "edited")] == [
        True, False, True, False,
    ]  # fmt: skip


def held_change(text: str, comment: str = "", fallback: str = "", **more: object) -> Row:
    """A change in a channel that edits nothing."""
    return edit(text, comment, fallback, only_held=True, **more)[0], None


async def test_a_channel_without_edits_gives_held_messages_their_latest_text(
    house: House,
) -> None:
    await house.put(said("one"), said("two", "c"))
    await house.put(held_change("ONE", fallback="one was edited"))
    await house.put(held_change("gone", "c", removes=True, fallback="two was deleted"))
    assert [(one.state, one.error) for one in await house.deliveries()] == [
        ("held", ""), ("skipped", DELETED), ("skipped", ONLY_HELD), ("skipped", ONLY_HELD),
    ]  # fmt: skip
    house.now = MORNING
    await house.settle()
    assert house.texts == ["ONE"]


async def test_a_channel_without_edits_edits_nothing_that_was_sent(house: House) -> None:
    house.now = EVENING
    await house.put(said("one"))
    await house.put(held_change("ONE", fallback="one was edited"), held_change("ONE!"))
    assert house.texts == ["one", "one was edited"]
    assert await house.states() == ["sent", "sent", "skipped"]


async def test_the_line_about_an_edit_takes_the_latest_text_and_is_dropped(house: House) -> None:
    house.now = EVENING
    await house.put(said("one"), said("two", "c"))
    house.now = NIGHT
    await house.put(held_change("ONE", fallback="one was edited"))
    await house.put(held_change("TWO", "c", fallback="two was edited"))
    await house.put(held_change("ONE!", fallback="one was edited again"))
    await house.put(held_change("gone", "c", removes=True, fallback="two was deleted"))
    house.now = MORNING
    await house.settle()
    *_, digest = house.texts
    words = ("one was edited again", "two was edited", "two was deleted")
    assert [word in digest for word in words] == [True, False, True]
    assert digest.count("was edited") == 1


async def test_a_state_of_the_thread_changes_no_line_about_an_edit(house: House) -> None:
    await house.put(edit("ONE", fallback="one was edited"), edit("ONE is resolved"))
    house.now = MORNING
    await house.settle()
    assert house.texts == ["one was edited"]


async def test_the_line_about_a_deleted_thread_follows_its_first_message(house: House) -> None:
    gone = held_change("gone", removes=True, whole_thread=True, fallback="it was deleted")
    await house.put(said("one"), said("two", "c"))
    await house.put(gone)
    assert (await house.states(), house.texts) == (["skipped"] * 3, [])
    house.now = EVENING
    await house.put(said("one"))
    house.now = NIGHT
    await house.put(said("two", "c"))
    await house.put(gone)
    assert (await house.states())[3:] == ["sent", "skipped", "held"]


async def test_held_direct_messages_take_the_latest_text_for_their_person(house: House) -> None:
    forms = Message("for you", Content("for you")), Message("for all", Content("for all"))
    forms = tuple(replace(form, thread=T, comment="c", event="create-comment") for form in forms)
    first, second = said("one")[0], said("two", "c")[0]
    to_ada = replace(second, to=ADA, mentioned=True), ""
    await house.put((replace(first, to=ADA), ""), to_ada, (replace(second, to=BOB), ""))
    await house.put(held_change("TWO", "c", direct=forms))
    house.now = MORNING
    await house.settle()
    to_ada_text, to_bob_text = house.texts
    assert house.recipients == ["ada", "bob"]
    assert [word in to_ada_text for word in ("one", "two", "for you")] == [True, False, True]
    assert to_bob_text == "for all"


async def test_held_direct_messages_about_a_deleted_comment_are_dropped(house: House) -> None:
    for text, comment in (("one", ""), ("two", "c")):
        message, _ = said(text, comment)
        await house.put(*((replace(message, to=to), "") for to in (ADA, BOB)))
    await house.put(held_change("gone", "c", removes=True))
    assert await house.states() == ["held"] * 2 + ["skipped"] * 3
    await house.put(held_change("gone", removes=True, whole_thread=True))
    assert await house.states() == ["skipped"] * 6


async def test_of_a_deleted_thread_all_is_dropped_and_what_was_sent_is_removed(
    house: House,
) -> None:
    house.now = EVENING
    await house.put(said("one"))
    house.now = NIGHT
    line = (Message("Ada resolved it", Content("resolved"), thread=T), "")
    await house.put(said("two", "c"), line)
    await house.put(edit("gone", removes=True, whole_thread=True, fallback="it was deleted"))
    assert house.texts == ["(gone)"]
    assert await house.states() == ["sent", "skipped", "skipped", "sent"]


async def test_a_line_instead_of_an_edit_is_held(house: House) -> None:
    await house.put(edit("ONE", fallback="one was edited"))
    (held,) = await house.deliveries()
    assert (house.texts, held.state, held.held_until) == ([], "held", MORNING)
    house.now = MORNING
    await house.settle()
    assert house.texts == ["one was edited"]


async def test_an_urgent_message_takes_the_held_ones_of_its_thread_along(house: House) -> None:
    house.hold = URGENT
    other = (Message("other", Content("other")), "")
    await house.put(said("one"), other)
    await house.put(said("two", "c"), ping("three", "d"), said("four", "e"))
    assert house.texts == ["one", "two (in thread)", "three (in thread)"]
    assert await house.states() == ["sent", "held", "sent", "sent", "held"]


async def test_an_edit_that_mentions_somebody_is_urgent_too(house: House) -> None:
    await house.stop()
    house.start(URGENT)
    line = replace(Message("ping", Content("ping"), thread=T), mentions=(ADA,))

    def mention(text: str, comment: str) -> tuple[Message, str]:
        message, _ = edit(text, comment)
        change = Change(comment=comment, fallback=line, new_mentions=("ada",))
        return replace(message, change=change, mentions=(ADA,)), comment

    await house.put(said("one"), said("two", "c"), said("three", "d"))
    await house.put(mention("TWO @ada", "c"))
    assert house.texts == [
        "one",
        "TWO @ada (in thread)",
        "three (in thread)",
    ]  # without a second ping

    await house.put(said("four", "e"))
    await house.put(mention("THREE @ada", "d"))
    assert house.texts[2:] == ["THREE @ada (in thread)", "four (in thread)", "ping"]


async def test_what_is_resent_is_not_held(house: House) -> None:
    await house.put(said("one"), said("two", "c"))
    first, _ = await house.deliveries()
    await house.store.resend([first.id])
    await house.settle()
    assert house.texts == ["one"]
    assert await house.states() == ["sent", "held"]


async def test_held_messages_count_neither_as_waiting_nor_as_late(house: House) -> None:
    await house.put(said("one"), said("two", "c"))
    async with asyncio.timeout(20):
        while 'state="held"} 2.0' not in house.metrics.text().decode():  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    assert 'relay_queue_waiting{queue="a",state="waiting"} 0.0' in house.metrics.text().decode()
    stats = (await house.store.queries.queues(["a"]))["a"]
    assert (stats.waiting, stats.since, stats.held, stats.held_until) == (0, 0.0, 2, MORNING)


async def test_each_person_gets_one_digest_and_the_channel_its_own(house: House) -> None:
    for number, comment in enumerate("cde"):
        message, _ = said(f"number {number}", comment)
        await house.put((message, comment), *((replace(message, to=to), "") for to in (ADA, BOB)))
    house.now = MORNING
    await house.settle()
    assert [sum(f"number {number}" in text for number in range(3)) for text in house.texts] == [
        3, 3, 3,
    ]  # fmt: skip
    assert house.recipients == ["", "ada", "bob"]
    assert set(await house.states()) == {"sent"}


async def test_a_waiting_message_before_released_ones_is_no_part_of_their_digest(
    house: House,
) -> None:
    house.now = EVENING
    house.wall.answers = [RetryLater("down")]
    await house.queues.stop(1.0)
    await house.put(said("one"), sent=False)
    house.now = NIGHT
    await house.put(said("two", "c"), said("three", "d"), sent=False)
    house.now = MORNING
    await house.stop()
    house.start(NIGHTS)
    await house.settle()
    first, digest = house.texts
    assert first == "one"
    assert [word in digest for word in ("one", "two", "three")] == [False, True, True]


async def test_a_held_message_expires_by_the_time_since_its_release(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    await house.put(said("one"))
    await house.store.holds.release(MORNING)
    (waiting,) = await house.store.waiting_deliveries("a", 9)
    assert waiting.created_at == MORNING


async def test_a_digest_of_many_that_is_sent_again_is_the_same(house: House) -> None:
    await house.put(*(said(f"number {number}", str(number)) for number in range(90)))
    house.wall.answers = [RetryLater("http_503"), RetryLater("http_503")]
    house.now = MORNING
    await house.settle()
    assert house.texts == ["**90 comments**"]
    assert len(house.wall.keys) == 3
    assert len(set(house.wall.keys)) == 1
    assert await house.states() == ["sent"] * 90
