"""Attempts are counted before they are made, and those whose process ended are limited."""

import asyncio
from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from relay.channels.base import RetryLater
from relay.delivery import queue
from relay.delivery.attempts import MAX_INTERRUPTIONS, AttemptCounter, interruption_delay
from relay.delivery.queue_context import QueueSettings
from relay.delivery.queues import QueueManager
from relay.store.base import Store
from relay.store.records import INTERRUPTED, StoreUnavailable
from tests.delivery.scripted import House
from tests.servers.postgres import Postgres
from tests.store.replicas import replica

pytestmark = pytest.mark.anyio


@pytest.fixture(autouse=True)
def delays(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The interruptions for which a queue asks for a delay, which is short here."""
    asked: list[int] = []

    def delay(interruptions: int) -> float:
        asked.append(interruptions)
        return 0.02

    monkeypatch.setattr(queue, "interruption_delay", delay)
    return asked


async def crash(house: House) -> None:
    """End the process without its last steps."""
    tasks = list(house.queues._tasks.values())
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def sending(house: House, name: str, *titles: str) -> None:
    """Wait until a message is being sent, which then does not end."""
    channel = house.open(name)
    channel.open_gate.clear()
    house.open = lambda _: channel  # type: ignore[method-assign]
    house.queues._settings = {
        key: replace(settings, open_channel=partial(house.open, key))
        for key, settings in house.queues._settings.items()
    }
    await house.put(name, *titles)
    await house.until(lambda: channel.sending == 1)


async def interrupt(store: Any, times: int, name: str = "a") -> None:
    """Let that many processes end while they send the first message of a queue."""
    for _ in range(times):
        house = House(store)
        await sending(house, name)
        await crash(house)


async def head(store: Store) -> int:
    return (await store.waiting_deliveries("a", 1))[0].id


def test_the_delay_grows_from_the_second_interruption_on() -> None:
    assert interruption_delay(1) == 0
    assert 2 <= interruption_delay(2) <= 4
    assert 8 <= interruption_delay(3) <= 16
    assert 30 <= interruption_delay(4) <= 60
    assert interruption_delay(5) == 0  # it is dead


async def test_an_attempt_is_counted_before_it_is_made(house: House) -> None:
    await house.put("a", "first", "second")
    await house.settled()
    await house.put("b", "other")
    house.channels["a"].open_gate.clear()
    await house.put("a", "third", "fourth")
    await house.until(lambda: house.channels["a"].sending == 1)
    third = await head(house.store)
    assert await house.store.unfinished("a") == (third, 1)
    house.channels["a"].open_gate.set()
    await house.settled()
    assert await house.store.unfinished("a") == (0, 0)
    assert await house.store.unfinished("b") == (0, 0)


async def test_while_a_queue_drains_a_message_costs_one_write(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    writes: list[str] = []
    for name in ("mark_sent", "save_unfinished"):
        write = getattr(house.store, name)

        async def counted(*values: Any, name: str = name, write: Any = write, **more: Any) -> None:
            writes.append(name)
            await write(*values, **more)

        monkeypatch.setattr(house.store, name, counted)
    await house.put("a", *(f"{number:03}" for number in range(100)))
    await house.settled()
    assert writes == ["save_unfinished", *["mark_sent"] * 100]


async def test_a_message_that_waits_for_the_pace_is_not_counted(house: House) -> None:
    house.queues._settings = {"a": QueueSettings(partial(house.open, "a"), pace=60.0)}
    titles = [f"{number}" for number in range(6)]
    await house.put("a", *titles)
    await house.until(lambda: len(house.titles("a")) == 5)  # a burst
    while (await house.store.unfinished("a"))[0] and len(house.titles("a")) == 5:  # noqa: ASYNC110
        await asyncio.sleep(0.001)
    assert house.titles("a") == titles[:5]


async def test_a_message_that_ends_the_process_five_times_is_dead(
    house: House, delays: list[int]
) -> None:
    await house.put("a", "poison", "next")
    await crash(house)
    await interrupt(house.store, MAX_INTERRUPTIONS)
    assert delays == [1, 2, 3, 4]
    again = House(house.store)
    again.queues.wake(["a"])
    await again.settled()
    poison, following = await again.deliveries()
    assert (poison.state, poison.attempts) == ("dead", 5)
    assert poison.error == "interrupted: the process ended during 5 attempts in a row"
    assert (following.state, again.titles("a")) == ("sent", ["next"])
    details = await house.store.queries.event(None, poison.event_id)
    assert details is not None
    outcomes = [(one.outcome, one.detail) for one in details.attempts[poison.id]]
    assert outcomes == [*[("failed", INTERRUPTED)] * 4, ("dead", poison.error)]
    assert await house.store.unfinished("a") == (0, 0)
    await again.queues.stop(1.0)


async def test_a_result_ends_the_count(house: House, delays: list[int]) -> None:
    await house.put("a", "first")
    await crash(house)
    await interrupt(house.store, 4)
    failing = House(house.store)
    failing.scripts["a"] = [RetryLater("503", retry_after=0.3)]
    failing.queues.wake(["a"])
    async with asyncio.timeout(20):
        while await house.store.unfinished("a") != (0, 0):  # noqa: ASYNC110
            await asyncio.sleep(0.002)
    await crash(failing)
    await interrupt(house.store, 4)
    assert delays == [1, 2, 3, 4, 1, 2, 3]
    last = House(house.store)
    last.queues.wake(["a"])
    await last.settled()
    assert last.titles("a") == ["first"]
    await last.queues.stop(1.0)


@pytest.mark.parametrize("before", [0, 2])
async def test_a_graceful_stop_does_not_count(house: House, before: int) -> None:
    """Even if the send is cut off after the grace period."""
    await house.put("a", "first")
    await crash(house)
    await interrupt(house.store, before)
    stopped = House(house.store)
    await sending(stopped, "a")
    first = await head(house.store)
    assert await house.store.unfinished("a") == (first, before + 1)
    await stopped.queues.stop(0.01)
    assert await house.store.unfinished("a") == ((first, before) if before else (0, 0))


async def test_a_stop_between_two_sends_does_not_count(
    postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Although the attempt at the second message was counted with the first one's receipt."""
    async with replica(postgres.fresh()) as store:
        assert await store.acquire_lease("fan-out")
        house = House(store)
        mark_sent = store.mark_sent

        async def mark_and_stop(*values: Any, **more: Any) -> None:
            await mark_sent(*values, **more)
            second = await head(store)
            assert await store.unfinished("a") == (second, 1)
            house.queues._stop.set()

        monkeypatch.setattr(store, "mark_sent", mark_and_stop)
        await sending(house, "a", "first", "second")
        house.channels["a"].open_gate.set()
        await house.until(lambda: not house.queues._tasks)
        await house.queues.stop(1.0)
        assert await store.unfinished("a") == (0, 0)


def with_digests(store: Any) -> House:
    house = House(store)
    settings = QueueSettings(partial(house.open, "a"), digest_after=2)
    house.queues = QueueManager({"a": settings}, house.queues._context)
    return house


async def test_an_interrupted_message_is_in_no_digest(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may have arrived, and is repeated under its own key; also after the store failed."""
    await house.put("a", "one", "two", "three", "four")
    await crash(house)
    await interrupt(house.store, 1)
    monkeypatch.setattr(queue, "STORE_RETRY_DELAY", 0.01)
    save, failures = house.store.save_unfinished, [StoreUnavailable("locked")]

    async def failing(*values: Any, **more: Any) -> None:
        if failures:
            raise failures.pop()
        await save(*values, **more)

    monkeypatch.setattr(house.store, "save_unfinished", failing)
    again = with_digests(house.store)
    again.queues.wake(["a"])
    await again.settled()
    await again.queues.stop(1.0)
    first, *others = again.channels["a"].taken
    assert first == ("one", "key of one")
    assert len(others) == 1


async def test_a_digest_that_ends_the_process_is_sent_one_by_one(house: House) -> None:
    """Only its poisonous member then becomes dead."""
    titles = ["one", "two", "three", "four"]
    await house.put("a", *titles)
    await crash(house)
    ids = [delivery.id for delivery in await house.store.waiting_deliveries("a", 9)]
    await house.store.set_digest(ids, "digest")
    await interrupt(house.store, MAX_INTERRUPTIONS)
    assert {one.digest for one in await house.store.waiting_deliveries("a", 9)} == {"digest"}
    again = with_digests(house.store)
    again.queues.wake(["a"])
    await again.settled()
    assert again.titles("a") == titles
    assert {delivery.state for delivery in await again.deliveries()} == {"sent"}
    await again.queues.stop(1.0)


async def test_suspects_are_sent_one_after_the_other(house: House) -> None:
    """Otherwise the one that ends the process would count for the other one as well."""
    for name in ("a", "b"):
        await house.put(name, f"first of {name}")
        await crash(house)
    for name in ("a", "b"):
        await interrupt(house.store, 2, name)
    again = House(house.store)
    for name in ("a", "b"):
        again.open(name).open_gate.clear()
    opened = again.channels.copy()
    again.open = lambda name: opened[name]  # type: ignore[method-assign]
    again.queues._settings = {name: QueueSettings(partial(again.open, name)) for name in ("a", "b")}
    again.queues.wake(["a", "b"])
    await again.until(lambda: any(channel.sending for channel in opened.values()))
    await asyncio.sleep(0.1)
    assert [channel.sending for channel in opened.values()].count(1) == 1
    for channel in opened.values():
        channel.open_gate.set()
    await again.settled()
    await again.queues.stop(1.0)


async def test_a_process_that_keeps_running_was_not_interrupted(house: House) -> None:
    """As after a lease that was lost during a send and acquired again."""
    await house.put("a", "first")
    await crash(house)
    (delivery,) = await house.store.waiting_deliveries("a", 1)
    counter = AttemptCounter("a", house.store)
    assert await counter.read(delivery) == 0
    for _ in range(2):
        await counter.begin(delivery)
        counter.forget()
        assert await counter.read(delivery) == 0
    await counter.begin(delivery)
    other = AttemptCounter("a", house.store)
    assert await other.read(delivery) == 1
