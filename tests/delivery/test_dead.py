"""Reports of dead letters: at once, then hourly with their number."""

import asyncio
import time

import pytest

from relay.channels.base import NoAddress, Permanent
from relay.delivery import dead as dead_module
from relay.delivery import queue as queue_module
from relay.delivery.dead import DEAD, describe, parsed_error, report_dead_letters
from relay.store.problems import DeadLetters
from relay.store.records import StoreUnavailable
from tests.delivery.floods import House, comment

pytestmark = pytest.mark.anyio

SPAM = Permanent("554", "the mail server refuses *spam*")
END = "`relay log --state dead` and the inspector list what is dead: resend or dismiss it there."
LOST = "⚠️ **A message** to **a** could not be delivered:"
ONE = f"{LOST} the mail server refuses *spam* (554). {END}"


async def die(house: House, *numbers: int) -> None:
    house.sink.refusals = [SPAM] * len(numbers)
    house.sink.open.set()
    for number in numbers:
        await house.put([comment(number)])
    await house.settled()


async def age(house: House, seconds: float) -> None:
    """As if the last report was that much earlier."""
    await house.store.execute(
        "UPDATE relay.key_values SET at = at - $2, value = value WHERE key = $1",
        "dead/acme/a",
        seconds,
    )


async def report(house: House) -> None:
    await report_dead_letters("acme/a", house.store, house.queues._context.alerts)


async def test_the_first_dead_letter_is_reported_at_once_and_later_ones_hourly(
    house: House,
) -> None:
    await die(house, 0)
    assert await house.alerts(1) == [ONE]
    await die(house, 1, 2, 3)
    await report(house)
    assert len(await house.alerts(1)) == 1

    await age(house, dead_module.REPORT_INTERVAL)
    await report(house)
    await report(house)
    assert await house.alerts(2) == [
        ONE,
        "⚠️ **3 messages** to **a** could not be delivered. The last one: the mail server refuses "
        f"*spam* (554). {END}",
    ]
    await age(house, dead_module.REPORT_INTERVAL)
    await report(house)
    assert len(await house.alerts(2)) == 2


async def test_the_service_reports_what_no_queue_has_reported(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process ended after the message had died; or the hour has passed."""

    async def interrupted(*_: object) -> None:
        return

    await die(house)
    monkeypatch.setattr(queue_module, "report_dead_letters", interrupted)
    await die(house, 0, 1)
    monkeypatch.undo()
    assert await house.alerts(0) == []
    running = asyncio.create_task(house.queues.run())
    (alert,) = await house.alerts(1)
    assert alert.startswith("⚠️ **2 messages** to **a**")
    text = house.metrics.text().decode()
    assert 'relay_queue_dead{queue="acme/a"} 2.0' in text
    assert 'relay_queue_dead{queue="acme/ops"} 0.0' in text
    await house.queues.stop(1.0)
    await running


async def test_two_replicas_send_one_report(house: House) -> None:
    await die(house, 0)
    await house.alerts(1)
    await die(house, 1)
    await age(house, dead_module.REPORT_INTERVAL)
    await asyncio.gather(*(report(house) for _ in range(5)))
    assert len(await house.alerts(2)) == 2


async def test_an_unavailable_store_neither_loses_nor_repeats_a_report(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("relay.delivery.queue.STORE_RETRY_DELAY", 0.01)
    announce, failures = house.store.announce, [StoreUnavailable("disk full")] * 3

    async def away(*given: object) -> bool:
        if failures:
            raise failures.pop()
        return await announce(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(house.store, "announce", away)
    await die(house, 0)
    assert await house.alerts(1) == [ONE]
    assert failures == []


async def test_a_clock_that_was_set_back_hides_no_dead_letter(house: House) -> None:
    await die(house, 0)
    await house.alerts(1)
    await house.store.put_value("dead/acme/a", repr(time.time() + 1e6))
    await age(house, -1e6)
    await die(house, 1)
    assert len(await house.alerts(2)) == 2


async def test_the_only_channel_reports_its_dead_letter_once_it_works(house: House) -> None:
    house.alert_queues = ("acme/a",)
    house.start()
    await die(house, 0)
    assert [
        entry.event.name for entry in await house.store.log(team=None, state=None, limit=9)
    ] == ["x"]
    await die(house)
    await house.put([comment(1)])
    await house.settled()
    await report(house)
    await house.settled()
    assert [message.event or message.title for _, message in house.sink.taken] == ["T1", DEAD]


async def test_a_person_without_an_address_is_skipped_and_not_dead(house: House) -> None:
    missing = NoAddress("no_address", "Ada is not known in Slack")
    house.sink.refusals = [None, missing, None]
    house.sink.open.set()
    await house.put([comment(0)])
    await house.put([comment(1)])
    await house.put([comment(2)])
    await house.settled()
    entries = await house.store.log(team=None, state=None, limit=9)
    deliveries = [entry.deliveries[0] for entry in reversed(entries)]
    assert [one.state for one in deliveries] == ["sent", "skipped", "sent"]
    assert deliveries[1].error == "no_address: Ada is not known in Slack"
    assert [message.title for _, message in house.sink.taken] == ["T0", "T2"]
    assert await house.alerts(0) == []
    assert await house.store.problems.dead() == {}
    stats = (await house.store.queries.queues(["acme/a"]))["acme/a"]
    assert (stats.error, stats.failed_at) == ("", 0.0)
    metrics = house.metrics.text().decode()
    skipped = 'relay_deliveries_skipped_total{queue="acme/a",reason="no_address"} 1.0'
    assert skipped in metrics
    assert "relay_send_failures_total{" not in metrics

    house.sink.refusals = [missing]
    await house.put([comment(3)])
    await house.settled()
    assert not house.queues._queues["acme/a"].is_sending

    await house.store.resend([deliveries[1].id])
    await house.settled()
    assert house.sink.taken[-1][1].title == "T1"


def test_an_error_is_read_back_from_its_text() -> None:
    for error in (SPAM, Permanent("550"), Permanent("5", "a: b: c")):
        again = parsed_error(str(error))
        assert (again.reason, again.detail) == (error.reason, error.detail)


def test_the_number_of_dead_letters_is_described() -> None:
    assert describe(DeadLetters(1, 0.0, "550")) == "a message is dead: 550"
    text = "1,200 messages are dead, the last one: 550: no"
    assert describe(DeadLetters(1200, 0.0, "550: no")) == text
