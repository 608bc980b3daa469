"""The manager of all queues: leases, polls, its end."""

import asyncio
import time
from typing import Any

import pytest

from relay.channels.base import Misconfigured, Permanent, Receipt, RetryLater
from relay.delivery import queues as queues_module
from relay.delivery.queue_context import QueueSettings
from relay.delivery.queues import QueueManager
from relay.messages.message import Content, Mention, Message
from relay.store.records import Delivery, FanOutResult, NewDelivery
from tests.delivery.scripted import House, Scripted, queue_context
from tests.servers.postgres import Postgres
from tests.store.replicas import event, replica

pytestmark = pytest.mark.anyio


async def test_stop_waits_no_longer_than_its_grace(house: House) -> None:
    await house.put("a", "first")
    await house.settled()
    house.channels["a"].open_gate.clear()
    await house.put("a", "second")
    await house.until(lambda: house.channels["a"].sending == 1)
    started = time.monotonic()
    await house.queues.stop(0.1)
    assert time.monotonic() - started < 2
    assert [delivery.state for delivery in await house.deliveries()] == ["sent", "waiting"]


async def test_nothing_is_sent_after_the_lease_is_lost(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A queue reads ahead: while it hangs, another replica may send the same deliveries."""
    monkeypatch.setattr(house.store, "holds_lease", lambda _: len(house.titles("a")) != 1)
    leases = []
    lease = house.store.acquire_lease

    async def counted(name: str) -> bool:
        leases.append(name)
        return await lease(name)

    monkeypatch.setattr(house.store, "acquire_lease", counted)
    await house.put("a", "first", "second", "third")
    await asyncio.sleep(0.1)
    assert house.titles("a") == ["first"]
    (_, second, _) = await house.deliveries()
    await house.store.mark_sent([second.id], "from another replica")

    monkeypatch.setattr(house.store, "holds_lease", lambda _: True)
    house.queues.wake(["a"])
    await house.settled()
    assert house.titles("a") == ["first", "third"]
    assert leases.count("queue:a") >= 2


async def test_who_lost_the_lease_no_longer_exports_the_queue_as_stopped(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    def exports(value: float) -> bool:
        text = house.queues._context.metrics.text().decode()
        return f'relay_queue_stopped{{queue="a"}} {value}' in text

    house.scripts["a"] = [Misconfigured("revoked", "the token was revoked")] * 10_000
    await house.put("a", "first")
    await house.until(lambda: exports(1.0))
    monkeypatch.setattr(house.store, "holds_lease", lambda _: False)
    house.queues.wake(["a"])
    await house.until(lambda: exports(0.0))


async def test_deliveries_resent_by_another_process_are_polled(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queues_module, "POLL_INTERVAL", 0.02)
    house.scripts["a"] = [Permanent("invalid_blocks")]
    await house.put("a", "first")
    await house.settled()
    running = asyncio.create_task(house.queues.run())
    await house.store.resend_dead()
    await house.settled()
    assert house.titles("a") == ["first"]
    await house.queues.stop(1.0)
    await running


async def test_waiting_queues_do_not_read_the_store_until_a_delivery_is_resent(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queues_module, "POLL_INTERVAL", 0.02)
    asked: list[str] = []
    waiting = house.store.waiting_deliveries

    async def counted(queue: str, limit: int) -> list[Delivery]:
        asked.append(queue)
        return await waiting(queue, limit)

    for queue in ("a", "b"):
        house.scripts[queue] = [Misconfigured("invalid_auth", retry_after=250.0)]
        await house.put(queue, "first")
    running = asyncio.create_task(house.queues.run())
    async with asyncio.timeout(20):
        while [delivery.attempts for delivery in await house.deliveries()] != [1, 1]:  # noqa: ASYNC110
            await asyncio.sleep(0.002)
    await asyncio.sleep(0.1)
    monkeypatch.setattr(house.store, "waiting_deliveries", counted)
    await asyncio.sleep(0.3)
    assert asked == []
    first, _ = await house.deliveries()
    await house.store.resend([first.id])
    await house.until(lambda: house.titles("a") == ["first"])
    assert "b" not in asked
    await house.queues.stop(1.0)
    await running


async def test_stop_does_not_wait_for_a_retry_delay(house: House) -> None:
    house.scripts["a"] = [RetryLater("ratelimited", retry_after=250.0)]
    await house.put("a", "first")
    await house.until(lambda: "a" in house.channels)
    await asyncio.sleep(0.1)
    started = time.monotonic()
    await house.queues.stop(5.0)
    assert time.monotonic() - started < 4


async def test_deliveries_of_a_removed_channel_are_kept_and_logged(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    await house.put("gone", "first")
    running = asyncio.create_task(house.queues.run())
    await house.until(lambda: "wait for queue gone, which is not in the config" in caplog.text)
    await house.queues.stop(1.0)
    await running
    assert await house.store.waiting_queues() == {"gone": 1}


async def test_two_replicas_that_release_at_once_send_each_held_message_once(
    postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queues_module, "SHARED_POLL_INTERVAL", 0.02)
    url, number, sent = postgres.fresh(), 60, []

    class Wall(Scripted):
        async def send(self, message: Message, *_: Any) -> Receipt:
            sent.append(message.full.body)
            return Receipt("receipt")

    def held(queue: str, id_: int, until: float) -> NewDelivery:
        to = Mention(str(id_ % 3))  # 20 messages each, which a digest shows
        message = Message("title", Content(f"{queue} number {id_} end"), to=to)
        return NewDelivery(queue, f"{queue} {id_}", message.dumps(), held_until=until)

    async with replica(url) as one, replica(url) as other:
        for count in range(number):
            await one.accept(event(count + 1))
        stored, until = await one.stored_events(number), time.time() + 1.0
        assert await one.acquire_lease("fan-out")
        await one.save_fan_out(
            [
                FanOutResult(
                    each.id, "acme", "fanned-out", "", [held(q, each.id, until) for q in "abc"]
                )
                for each in stored
            ]
        )
        settings = {queue: QueueSettings(lambda: Wall(iter(()))) for queue in "abc"}
        managers = [QueueManager(settings, queue_context(store)) for store in (one, other)]
        running = [asyncio.create_task(manager.run()) for manager in managers]
        async with asyncio.timeout(60):
            while await one.holds.counts() or await one.waiting_queues():  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        await asyncio.gather(*(manager.stop(5.0) for manager in managers))
        await asyncio.gather(*running)
    texts = "\n".join(sent)
    counts = [texts.count(f"{queue} number {each.id} end") for queue in "abc" for each in stored]
    assert counts == [1] * (3 * number)
