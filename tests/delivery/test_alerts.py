"""Alerts: each to the first channel of the team that works."""

import asyncio

import pytest

from relay.channels.base import Misconfigured, Permanent
from relay.delivery.alerts import stop_key
from relay.delivery.health import stopped_queues
from tests.delivery.floods import House, comment

pytestmark = pytest.mark.anyio

GONE = Misconfigured("not_in_channel", "the bot is not in the channel")
SPAM = Permanent("554", "refuses the mail's content")
ABOUT_A = "⚠️ Messages to **a** have stopped"


async def fail(house: House, error: Misconfigured | Permanent, number: int = 0) -> None:
    """A message to ``acme/a``, which refuses it from now on."""
    house.sink.refusals = [error] * 100_000
    house.sink.open.set()
    await house.put([comment(number)])
    house.queues.wake(["acme/a"])


async def test_an_alert_passes_over_a_stopped_channel(house: House) -> None:
    await house.store.put_value(stop_key("acme/ops"), "revoked")
    await fail(house, GONE)
    (alert,) = await house.alerts(1, "acme/next")
    assert alert.startswith(ABOUT_A)
    assert house.sinks["acme/ops"].attempted == []


async def test_an_alert_passes_over_a_channel_that_refused_its_last_message(house: House) -> None:
    """Until that one sends a message, or a person dismisses it."""
    house.alert_queues = ("acme/a", "acme/ops")
    house.start()
    await fail(house, SPAM)
    (alert,) = await house.alerts(1)
    assert alert.startswith("⚠️ **A message** to **a** could not be delivered")

    assert await house.store.problems.is_failing("acme/a")
    await house.store.problems.dismiss_queue("acme/a")
    assert not await house.store.problems.is_failing("acme/a")


async def test_an_alert_leaves_a_channel_that_stops(house: House) -> None:
    """It is the first message there, so nothing was known of it before."""
    house.sinks["acme/ops"].refusals = [GONE] * 100_000
    await fail(house, GONE)
    (alert,) = await house.alerts(1, "acme/next")
    assert alert.startswith(ABOUT_A)
    assert set(await stopped_queues(house.store, house.sinks)) == {"acme/a", "acme/ops"}
    assert await house.store.waiting_deliveries("acme/ops", 9) == []
    assert 'relay_queue_stopped{queue="acme/ops"} 1.0' in house.metrics.text().decode()


async def test_waiting_alerts_leave_a_channel_that_stops_with_a_message_before_them(
    house: House,
) -> None:
    house.sinks["acme/ops"].open.clear()
    house.sinks["acme/ops"].refusals = [GONE] * 100_000
    await house.put([comment(0)], "acme/ops")
    house.queues.wake(["acme/ops"])
    async with asyncio.timeout(20):
        while not house.sinks["acme/ops"].attempted:  # noqa: ASYNC110 - no event to wait for
            await asyncio.sleep(0.002)
    await fail(house, GONE, 1)
    async with asyncio.timeout(20):
        while len(await house.store.waiting_deliveries("acme/ops", 9)) < 2:  # noqa: ASYNC110
            await asyncio.sleep(0.002)
    house.sinks["acme/ops"].open.set()

    alerts = await house.alerts(2, "acme/next")
    assert sorted(alert.partition(":")[0] for alert in alerts) == [
        ABOUT_A,
        "⚠️ Messages to **ops** have stopped",
    ]
    (waiting,) = await house.store.waiting_deliveries("acme/ops", 9)
    assert waiting.key == "key 0"


async def test_a_refused_alert_goes_to_the_next_channel(house: House) -> None:
    house.sinks["acme/ops"].refusals = [SPAM] * 100_000
    await fail(house, GONE)
    (alert,) = await house.alerts(1, "acme/next")
    assert alert.startswith(ABOUT_A)
    assert await house.store.problems.dead() == {}
    async with asyncio.timeout(20):
        while await house.store.waiting_deliveries("acme/next", 9):  # noqa: ASYNC110
            await asyncio.sleep(0.002)
    (entry, _) = await house.store.log(team=None, state=None, limit=9)
    (delivery,) = entry.deliveries
    assert (delivery.queue, delivery.state, delivery.attempts) == ("acme/next", "sent", 1)


@pytest.mark.parametrize("error", [GONE, SPAM])
async def test_an_alert_causes_no_alert(
    house: House, error: Misconfigured | Permanent, caplog: pytest.LogCaptureFixture
) -> None:
    """Log, doctor and metrics report what happened to it."""
    for name in ("acme/ops", "acme/next"):
        house.sinks[name].refusals = [error] * 100_000
    await fail(house, GONE)
    async with asyncio.timeout(20):
        while not house.sinks["acme/next"].attempted:
            house.queues.wake(house.sinks)
            await asyncio.sleep(0.002)
    await asyncio.sleep(0.3)
    names = [entry.event.name for entry in await house.store.log(team=None, state=None, limit=99)]
    assert names == ["queue-stopped", "x"]
    assert "acme/next" in caplog.text
    dead = await house.store.problems.dead()
    stopped = await stopped_queues(house.store, house.sinks)
    assert "acme/next" in (dead if error is SPAM else stopped)
    if error is SPAM:  # one attempt, though the alert might have gone to a further channel
        (entry, _) = await house.store.log(team=None, state=None, limit=9)
        assert [delivery.attempts for delivery in entry.deliveries] == [1]


async def test_a_channel_for_alerts_that_stopped_with_an_alert_is_reported_with_a_message(
    house: House,
) -> None:
    house.sinks["acme/ops"].refusals = [GONE] * 100_000
    await fail(house, GONE)
    assert len(await house.alerts(1, "acme/next")) == 1
    await house.put([comment(1)], "acme/ops")
    alerts = await house.alerts(2, "acme/next")
    assert alerts[1].startswith("⚠️ Messages to **ops** have stopped")
