"""Alerts about queues that stop and run again."""

import asyncio
import logging
from typing import Any

import pytest

from relay.channels.base import DeliveryError, Misconfigured, Permanent, RetryLater
from relay.delivery import health
from relay.delivery import queue as queue_module
from relay.delivery.health import stopped_queues
from relay.messages.message import Content, Message
from relay.store.records import NewDelivery, StoreUnavailable
from tests.delivery.floods import House, comment

pytestmark = pytest.mark.anyio


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
        "acme", "x", [NewDelivery("acme/ops", "k", Message("T", Content("")).dumps())]
    )
    await house.settled()

    assert [message.title for _, message in house.sinks["acme/ops"].taken] == ["T"]
