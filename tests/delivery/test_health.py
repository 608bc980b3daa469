"""Alerts about queues that stop and run again."""

import asyncio
import logging
from dataclasses import replace
from typing import Any

import pytest

from relay.channels.base import DeliveryError, Gone, Misconfigured, Permanent, RetryLater
from relay.delivery import health
from relay.delivery import queue as queue_module
from relay.delivery.alerts import stop_key
from relay.delivery.health import QueueHealth, resume, stopped_queues, suspended_queues
from relay.metrics import Metrics
from relay.store.records import StoreUnavailable
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
        "⚠️ Messages to **a** have stopped: the bot is not in *#a*: invite it with /invite "
        "(not_in_channel). They wait and are sent once this is fixed.",
        "✅ Messages to **a** are sent again.",
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
        "⚠️ Messages to **a** have stopped",
        "✅ Messages to **a** are sent again.",
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

    async def away(*given: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls % 3:
            raise StoreUnavailable("disk full")
        return await write(*given)

    monkeypatch.setattr(house.store, method, away)
    house.sink.refusals = [Misconfigured("revoked")] * 3
    house.sink.open.set()
    await house.put([comment(0)])
    await house.settled()
    assert [alert.partition(":")[0] for alert in await house.alerts(2)] == [
        "⚠️ Messages to **a** have stopped",
        "✅ Messages to **a** are sent again.",
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
    (dead,) = await house.alerts(1)
    assert dead.startswith("⚠️ **A message** to **a** could not be delivered: 550.")


async def test_the_channel_for_alerts_gets_none_about_itself(house: House) -> None:
    house.sinks["acme/ops"].refusals = [Misconfigured("revoked")] * 3
    await house.put([comment(0)], "acme/ops")
    await house.settled()

    assert [message.title for _, message in house.sinks["acme/ops"].taken] == ["T0"]
    assert len(await house.alerts(2, "acme/next")) == 2


async def test_a_pause_that_the_server_asks_for_delays_no_alert(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next attempt is an hour later; the queue stops by time alone, also after a restart."""
    monkeypatch.setattr(health, "STOP_TIMEOUT", 0.4)
    house.sink.refusals = [RetryLater("ratelimited", "slow down", retry_after=3600.0)]
    house.sink.open.set()
    await house.put([comment(0)])
    house.queues.wake(["acme/a"])
    async with asyncio.timeout(20):
        while not await waiting_error(house):  # noqa: ASYNC110 - no event to wait for
            await asyncio.sleep(0.002)
    assert await house.alerts(0) == []
    await house.queues.stop(1.0)
    house.start()

    assert await house.alerts(1) == [
        "⚠️ Messages to **a** have stopped: slow down (ratelimited). They wait and are sent once "
        "this is fixed."
    ]
    assert (await stopped_queues(house.store, house.sinks))["acme/a"][1] == "ratelimited: slow down"
    assert len(house.sink.attempted) == 1


async def test_a_stopped_queue_that_waits_is_in_the_metric_after_a_restart(house: House) -> None:
    house.sink.refusals = [Misconfigured("revoked", retry_after=3600.0)]
    house.sink.open.set()
    await house.put([comment(0)])
    house.queues.wake(["acme/a"])
    await house.alerts(1)
    await house.queues.stop(1.0)
    house.metrics = Metrics()
    house.start()
    house.queues.wake(["acme/a"])
    async with asyncio.timeout(20):
        while 'relay_queue_stopped{queue="acme/a"} 1.0' not in house.metrics.text().decode():  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    assert len(house.sink.attempted) == 1
    assert len(await house.alerts(1)) == 1


async def waiting_error(house: House) -> str:
    waiting = await house.store.waiting_deliveries("acme/a", 1)
    return waiting[0].error if waiting else ""


async def test_failures_before_a_restart_count(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    house.sink.refusals = [RetryLater("connect", retry_after=0.05)]
    house.sink.open.set()
    await house.put([comment(0)])
    house.queues.wake(["acme/a"])
    async with asyncio.timeout(20):
        while not await waiting_error(house):  # noqa: ASYNC110 - no event to wait for
            await asyncio.sleep(0.002)
    await house.queues.stop(1.0)
    (delivery,) = await house.store.waiting_deliveries("acme/a", 1)
    times = await house.store.problems.attempt_times(delivery.id)
    assert times is not None
    again = QueueHealth("acme/a", house.queues._context.alerts, house.store, Metrics())
    again.resumes(times._replace(first=times.first - health.STOP_TIMEOUT))
    assert again.seconds_to_stop == 0
    again.forget()
    again.resumes(None)
    assert again.seconds_to_stop == health.STOP_TIMEOUT


async def test_without_a_channel_that_works_the_alert_waits_for_one(house: House) -> None:
    gone = Misconfigured("revoked", "the token was revoked")
    for name in ("acme/ops", "acme/next"):
        await house.store.put_value(stop_key(name), "revoked: all of them")
    house.sink.refusals = [gone] * 100_000
    house.sink.open.set()
    await house.put([comment(0)])
    house.queues.wake(["acme/a"])
    async with asyncio.timeout(20):
        while len(house.sink.attempted) < 3:  # noqa: ASYNC110 - no event to wait for
            await asyncio.sleep(0.002)
    assert await house.alerts(0, "acme/next") == []

    await house.store.put_value(stop_key("acme/next"), "")
    (alert,) = await house.alerts(1, "acme/next")
    assert alert.startswith("⚠️ Messages to **a** have stopped: the token was revoked (revoked).")
    house.sink.refusals.clear()
    assert (await house.alerts(2, "acme/next"))[1] == "✅ Messages to **a** are sent again."
    assert await house.alerts(0) == []


def with_fingerprint(house: House, fingerprint: str) -> None:
    """Of the settings of channel a, before its queue starts."""
    settings = house.queues._settings
    assert isinstance(settings, dict)
    settings["acme/a"] = replace(settings["acme/a"], fingerprint=fingerprint)


GONE = Gone("http-410", "it wants no further messages")


@pytest.fixture
async def suspended(house: House, monkeypatch: pytest.MonkeyPatch) -> House:
    """Its channel a answered once that it wants no further messages."""
    monkeypatch.setattr(queue_module, "SUSPENSION_POLL_INTERVAL", 0.01)
    with_fingerprint(house, "one")
    house.sink.refusals = [GONE]
    house.sink.open.set()
    await house.put([comment(0), comment(1)])
    (alert,) = await house.alerts(1)
    assert alert.startswith("⚠️ Messages to **a** have stopped: it wants no further messages")
    await asyncio.sleep(0.3)  # its usual delays are shorter
    assert len(house.sink.attempted) == 1
    assert await suspended_queues(house.store, house.sinks) == {"acme/a"}
    return house


async def test_a_suspended_queue_waits_also_after_a_restart(suspended: House) -> None:
    await suspended.queues.stop(1.0)
    suspended.metrics = Metrics()
    suspended.start()
    with_fingerprint(suspended, "one")
    suspended.queues.wake(["acme/a"])
    await asyncio.sleep(0.3)
    assert len(suspended.sink.attempted) == 1
    assert 'relay_queue_stopped{queue="acme/a"} 1.0' in suspended.metrics.text().decode()
    assert await suspended.store.waiting_queues() == {"acme/a": 2}


async def test_other_settings_resume_a_queue(suspended: House) -> None:
    await suspended.queues.stop(1.0)
    suspended.start()
    with_fingerprint(suspended, "two")
    await suspended.settled()
    assert (await suspended.alerts(2))[1] == "✅ Messages to **a** are sent again."
    assert [message.title for _, message in suspended.sink.taken] == ["T0", "T1"]
    assert await suspended_queues(suspended.store, suspended.sinks) == set()


async def test_a_person_resumes_a_queue(suspended: House) -> None:
    await resume(suspended.store, "acme/a")
    await suspended.settled()
    assert [message.title for _, message in suspended.sink.taken] == ["T0", "T1"]


async def test_a_delivery_that_is_resent_resumes_its_queue(suspended: House) -> None:
    (delivery, _) = await suspended.store.waiting_deliveries("acme/a", 2)
    await suspended.store.resend([delivery.id])
    await suspended.settled()
    assert [message.title for _, message in suspended.sink.taken] == ["T0", "T1"]
    assert len(set(suspended.sink.attempted)) == 3, "under a new key"


async def test_a_queue_that_is_refused_again_is_suspended_again_without_another_alert(
    suspended: House,
) -> None:
    suspended.sink.refusals = [GONE]
    await resume(suspended.store, "acme/a")
    suspended.queues.wake(["acme/a"])
    async with asyncio.timeout(20):
        while len(suspended.sink.attempted) < 2:  # noqa: ASYNC110 - no event to wait for
            await asyncio.sleep(0.002)
    await asyncio.sleep(0.1)
    assert await suspended_queues(suspended.store, suspended.sinks) == {"acme/a"}
    assert len(await suspended.alerts(1)) == 1
    assert len(suspended.sink.attempted) == 2
