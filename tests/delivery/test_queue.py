"""One queue: its order, retries, dead letters and threads."""

import asyncio
import time
from dataclasses import replace
from pathlib import Path

import pytest

from relay.channels.base import (
    Misconfigured,
    Permanent,
    Receipt,
    ReplyTo,
    RetryLater,
    ThreadNotFound,
)
from relay.delivery import queue as queue_module
from relay.delivery.health import QueueHealth
from relay.messages.filters import when
from relay.messages.message import Mention, Picture
from relay.store.records import StoreUnavailable, ThreadReceipts
from tests.delivery.scripted import House
from tests.messages.clock import clock_at

pytestmark = pytest.mark.anyio


async def test_messages_are_sent_in_order_and_their_receipts_stored(house: House) -> None:
    titles = [f"{number:03}" for number in range(100)]
    await house.put("a", *titles)
    await house.settled()
    assert house.titles("a") == titles
    deliveries = await house.deliveries()
    assert {delivery.state for delivery in deliveries} == {"sent"}
    assert deliveries[7].receipt == "receipt of 007"


async def test_a_failed_message_is_retried_under_its_key_before_the_next_one(
    house: House,
) -> None:
    house.scripts["a"] = [RetryLater("503"), RetryLater("timeout"), "ok"]
    await house.put("a", "first", "second")
    await house.settled()
    assert house.channels["a"].taken == [("first", "key of first"), ("second", "key of second")]
    assert [delivery.attempts for delivery in await house.deliveries()] == [3, 1]


async def test_a_message_that_waits_over_midnight_says_yesterday(house: House) -> None:
    house.scripts["a"] = [RetryLater("503")]
    with clock_at("2026-07-25T23:59:59Z"):
        body = when("2026-07-25T08:17Z")
    with clock_at("2026-07-26T00:00:01Z"):
        await house.put("a", "first", body=body)
        await house.settled()
    assert "today 08" in body
    assert house.channels["a"].bodies == [body.replace("today", "yesterday")]


async def test_a_permanent_error_marks_the_message_dead_and_the_queue_continues(
    house: House,
) -> None:
    house.scripts["a"] = ["ok", Permanent("msg_too_long", "over 40,000 characters")]
    await house.put("a", "first", "second", "third")
    await house.settled()
    assert house.titles("a") == ["first", "third"]
    dead = (await house.deliveries())[1]
    assert (dead.state, dead.error) == ("dead", "msg_too_long: over 40,000 characters")


async def test_a_doubtful_message_becomes_dead_only_after_its_time(house: House) -> None:
    doubtful = Misconfigured("550", "no", give_up_after=0.3)
    house.scripts["a"] = [RetryLater("503"), *[doubtful] * 5000]
    await house.put("a", "first")
    for _ in range(2):  # the second time after a resend
        started = time.monotonic()
        await house.settled()
        assert time.monotonic() - started >= 0.3
        [dead] = await house.deliveries()
        assert (dead.state, dead.error) == ("dead", "550: no")
        await house.store.resend_dead()
        house.queues.wake(["a"])


async def test_a_doubtful_message_is_sent_once_the_server_accepts_it(house: House) -> None:
    house.scripts["a"] = [Misconfigured("550", "no", give_up_after=60.0)] * 3
    await house.put("a", "first", "second")
    await house.settled()
    assert house.titles("a") == ["first", "second"]


async def test_a_resent_dead_message_is_sent(house: House) -> None:
    house.scripts["a"] = [Permanent("invalid_blocks")]
    await house.put("a", "first")
    await house.settled()
    await house.store.resend_dead()
    house.queues.wake(["a"])
    await house.settled()
    assert house.titles("a") == ["first"]


async def test_retry_after_pauses_the_whole_queue_and_no_other(
    house: House,
) -> None:
    house.scripts["a"] = [RetryLater("ratelimited", retry_after=2.0)]
    started = time.monotonic()
    await house.put("a", "first", "second")
    await house.put("b", "other")
    await house.until(lambda: house.titles("b") == ["other"])
    assert house.titles("a") == []
    await house.settled()
    assert house.titles("a") == ["first", "second"]
    assert time.monotonic() - started >= 2.0


async def test_a_retry_delay_survives_a_restart(house: House, tmp_path: Path) -> None:
    house.scripts["a"] = [RetryLater("ratelimited", retry_after=0.5)]
    started = time.monotonic()
    await house.put("a", "first")
    await house.until(lambda: "a" in house.channels)
    await asyncio.sleep(0.05)
    await house.queues.stop(1.0)
    again = House(house.store)
    again.queues.wake(["a"])
    await again.settled()
    assert again.channels["a"].taken == [("first", "key of first")]
    assert time.monotonic() - started >= 0.5
    await again.queues.stop(1.0)


async def test_a_requested_delay_is_kept_by_the_next_process(house: House) -> None:
    house.scripts["a"] = [RetryLater("ratelimited", retry_after=5000.0)]
    await house.put("a", "first")
    async with asyncio.timeout(20):
        while not (await house.deliveries())[0].attempts:  # noqa: ASYNC110
            await asyncio.sleep(0.002)
    await house.queues.stop(1.0)
    again = House(house.store)
    again.queues.wake(["a"])
    queues = again.queues._queues
    await again.until(lambda: "a" in queues and queues["a"]._waiting_for is not None)
    (delivery,) = await again.deliveries()
    remaining = queues["a"]._timer.remaining(delivery)
    assert 4000 < remaining <= 5000
    await again.queues.stop(1.0)


async def test_delays_grow_with_the_failures_of_the_queue(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts: list[int] = []

    def delay(failures: int, requested: float | None = None) -> float:
        counts.append(failures)
        return 0.01

    monkeypatch.setattr(queue_module, "retry_delay", delay)
    away, busy = RetryLater("connect", answered=False), RetryLater("503")
    house.scripts["a"] = [away, away, busy, "ok", busy, Permanent("550"), busy]
    await house.put("a", "first", "second", "third")
    await house.settled()
    assert counts == [1, 2, 1, 1, 2]


async def test_a_message_that_waits_longer_than_the_retention_expires(house: House) -> None:
    await house.put("b", "kept")
    await house.settled()
    short = House(house.store, retention=0.05)
    short.scripts["a"] = [RetryLater("503")] * 1000
    await short.put("a", "first")
    await short.settled()
    last = (await short.deliveries())[-1]
    assert (last.state, last.error) == ("dead", "expired: waited longer than the retention")
    await short.queues.stop(1.0)


async def test_no_message_expires_while_the_clock_is_not_trusted(house: House) -> None:
    short = House(house.store, retention=0.05, trusted=False)
    short.scripts["a"] = [RetryLater("503")]
    await short.put("a", "first")
    await short.settled()
    assert short.titles("a") == ["first"]
    await short.queues.stop(1.0)


async def test_stop_finishes_the_current_send_and_starts_no_other(house: House) -> None:
    await house.put("a", "first", "second")
    await house.until(lambda: "a" in house.channels)
    channel = house.channels["a"]
    channel.open_gate.clear()
    await house.put("a", "third")
    await house.until(lambda: channel.sending == 1)
    done = channel.taken.copy()
    stopping = asyncio.create_task(house.queues.stop(2.0))
    await asyncio.sleep(0.02)
    channel.open_gate.set()
    await stopping
    assert len(channel.taken) == len(done) + 1
    states = [delivery.state for delivery in await house.deliveries()]
    assert states.count("sent") == len(channel.taken)


async def test_a_bug_in_a_channel_loses_no_message(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    house.scripts["a"] = [ZeroDivisionError()]
    await house.put("a", "first", "second")
    await house.settled()
    assert house.titles("a") == ["first", "second"]
    assert "ZeroDivisionError" in caplog.text


async def test_a_lone_surrogate_in_a_servers_answer_stops_no_queue(house: House) -> None:
    words = "caf\ud800"
    house.scripts["a"] = [RetryLater(words, words), Permanent(words, words)]
    await house.put("a", "one", "two", "three")
    await house.settled()
    first, second, third = await house.deliveries()
    assert [delivery.state for delivery in (first, second, third)] == ["dead", "sent", "sent"]
    assert (first.attempts, first.error) == (2, "caf?: caf?")
    assert Receipt(words).id == "caf?"


async def test_an_unavailable_store_does_not_repeat_a_send(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queue_module, "STORE_RETRY_DELAY", 0.01)
    sent, failures = house.store.mark_sent, [StoreUnavailable("disk full")] * 3

    async def failing(delivery_id: int, receipt: str, **where: str) -> None:
        if failures:
            raise failures.pop()
        await sent(delivery_id, receipt, **where)

    monkeypatch.setattr(house.store, "mark_sent", failing)
    await house.put("a", "first", "second")
    await house.settled()
    assert house.titles("a") == ["first", "second"]
    assert failures == []


async def test_a_receipt_that_can_not_be_stored_does_not_repeat_a_send(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent = house.store.mark_sent

    async def failing(delivery_ids: list[int], receipt: str, **where: str) -> None:
        if receipt:
            raise ValueError("a bug")
        await sent(delivery_ids, receipt, **where)

    monkeypatch.setattr(house.store, "mark_sent", failing)
    await house.put("a", "first", "second")
    await house.settled()
    assert house.titles("a") == ["first", "second"]
    assert [delivery.state for delivery in await house.deliveries()] == ["sent", "sent"]


async def test_a_bug_after_a_send_does_not_repeat_it(
    house: House, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def failing(_health: QueueHealth) -> None:
        monkeypatch.undo()
        raise ValueError("a bug")

    monkeypatch.setattr(QueueHealth, "succeeded", failing)
    await house.put("a", "first", "second")
    house.queues.wake(["a"])
    await house.until(lambda: "a bug" in caplog.text)
    house.queues.wake(["a"])  # as ``QueueManager.run`` does every few seconds
    await house.settled()
    assert house.titles("a") == ["first", "second"]
    states = [(delivery.state, delivery.attempts) for delivery in await house.deliveries()]
    assert states == [("sent", 1), ("sent", 1)]


async def test_a_receipt_is_stored_during_stop_though_the_store_was_unavailable(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queue_module, "STORE_RETRY_DELAY", 0.01)
    sent, failures = house.store.mark_sent, [StoreUnavailable("locked")] * 5

    async def failing(delivery_ids: list[int], receipt: str, **where: str) -> None:
        if failures:
            raise failures.pop()
        await sent(delivery_ids, receipt, **where)

    await house.put("a", "first")
    await house.settled()
    monkeypatch.setattr(house.store, "mark_sent", failing)
    house.channels["a"].open_gate.clear()
    await house.put("a", "second", "third")
    await house.until(lambda: house.channels["a"].sending == 1)
    stopping = asyncio.create_task(house.queues.stop(2.0))
    await asyncio.sleep(0.02)
    house.channels["a"].open_gate.set()
    await stopping
    assert failures == []
    assert [delivery.state for delivery in await house.deliveries()] == ["sent", "sent", "waiting"]


async def test_no_send_starts_after_stop_though_its_picture_arrived(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, come = asyncio.Event(), asyncio.Event()

    async def picture(media: str) -> Picture | None:
        asked.set()
        await come.wait()
        return None

    monkeypatch.setattr(house.queues, "_context", replace(house.queues._context, pictures=picture))
    await house.put("a", "first", picture="m1")
    await asyncio.wait_for(asked.wait(), 20)
    stopping = asyncio.create_task(house.queues.stop(2.0))
    await asyncio.sleep(0.02)
    come.set()
    await stopping
    assert [delivery.state for delivery in await house.deliveries()] == ["waiting"]
    assert house.channels["a"].taken == []


async def test_messages_of_a_thread_reply_to_its_first(house: House) -> None:
    await house.put("a", "first", "second", thread="t1")
    await house.put("a", "other", thread="t2")
    await house.put("a", "none")
    await house.put("a", "third", thread="t1")
    await house.settled()
    first, second = "receipt of first", "receipt of second"
    assert house.channels["a"].threads == [
        None,
        ReplyTo(first, first, "first"),
        None,
        None,
        ReplyTo(first, second, "first"),
    ]


async def test_a_message_to_a_person_is_a_reply_and_does_not_become_part_of_the_thread(
    house: House,
) -> None:
    ada = Mention("a", "Ada")
    await house.put("a", "before", thread="t1", to=ada)
    await house.put("a", "first", thread="t1")
    await house.put("a", "mention", thread="t1", to=ada, picture="m1")
    await house.put("a", "second", thread="t1")
    await house.settled()
    first = "receipt of first"
    reply = ReplyTo(first, first, "first")
    assert house.channels["a"].threads == [None, None, reply, reply]
    assert await house.store.get_thread("a", "t1") == ThreadReceipts(
        first, "receipt of second", "first"
    )
    assert [delivery.receipt for delivery in await house.deliveries()] == [
        f"receipt of {title}" for title in ("before", "first", "mention", "second")
    ]


async def test_a_message_about_a_state_does_not_name_its_thread(house: House) -> None:
    await house.put("a", "Resolved", thread="t1", activity=True)
    await house.put("a", "The button", "Another reply", thread="t1")
    await house.settled()
    assert [reply and reply.subject for reply in house.channels["a"].threads] == [
        None,
        "",
        "The button",
    ]


async def test_a_channel_without_threads_gets_no_reply_to(house: House) -> None:
    await house.put("b", "first", "second", thread="t1")
    await house.settled()
    assert house.channels["b"].threads == [None, None]


async def test_a_missing_thread_is_started_again(house: House) -> None:
    house.scripts["a"] = ["ok", ThreadNotFound("thread_not_found")]
    await house.put("a", "first", "second", "third", thread="t1")
    await house.settled()
    second = "receipt of second"
    assert house.titles("a") == ["first", "second", "third"]
    assert house.channels["a"].threads[1:] == [None, ReplyTo(second, second, "second")]
