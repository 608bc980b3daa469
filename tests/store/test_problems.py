"""Dead letters, failing queues and alerts, in both engines."""

import time
from dataclasses import replace

import pytest

from relay.store import problems as problems_module
from relay.store.base import Store
from relay.store.problems import OPEN_SECONDS
from relay.store.records import NewDelivery, ValueChange
from relay.store.search import EventFilters
from tests.store.test_base import event, planned

pytestmark = pytest.mark.anyio


async def put(store: Store, queue: str, *numbers: int) -> list[int]:
    """The ids of new deliveries."""
    known = {delivery.id for delivery in await store.waiting_deliveries(queue, 99)}
    for number in numbers:
        await store.accept(event(number))
        (stored,) = await store.stored_events(1)
        await store.save_fan_out([planned(stored.id, queue)])
    waiting = await store.waiting_deliveries(queue, 99)
    return [delivery.id for delivery in waiting if delivery.id not in known]


async def age(store: Store, seconds: float) -> None:
    await store.execute(
        "UPDATE relay.deliveries SET died_at = died_at - $1 WHERE died_at > 0", seconds
    )


async def test_a_dead_letter_is_open_until_it_is_resent_dismissed_or_a_day_old(
    store: Store,
) -> None:
    problems = store.problems
    assert await problems.dead() == {}
    first, second, third = await put(store, "a", 1, 2, 3)
    (other,) = await put(store, "b", 4)
    for number, id_ in enumerate((first, second, third)):
        await store.mark_dead(id_, f"550: no {number}")
    await store.mark_dead(other, "554: spam")
    dead = await problems.dead()
    assert {queue: letters.number for queue, letters in dead.items()} == {"a": 3, "b": 1}
    assert dead["a"].last_error == "550: no 2"
    assert abs(dead["a"].last_at - time.time()) < 60
    assert list(await problems.dead(["b", "queue"])) == ["b"]

    await store.resend([first])
    assert (await problems.dead())["a"].number == 2
    assert await problems.dismiss([second, first, 999]) == [second]
    assert await problems.dismiss([second]) == []
    assert (await problems.dead())["a"].number == 1
    (entry,) = [
        entry
        for entry in await store.log(team=None, state="dead", limit=9)
        if entry.deliveries[0].id == second
    ]
    assert entry.deliveries[0].state == "dead"
    await age(store, OPEN_SECONDS - 60)
    assert set(await problems.dead()) == {"a", "b"}
    await age(store, 60)
    assert await problems.dead() == {}


async def test_all_dead_letters_are_dismissed(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(problems_module, "RESEND_BATCH_SIZE", 2)
    ids = await put(store, "a", 1, 2, 3, 4, 5) + await put(store, "b", 6)
    for id_ in ids:
        await store.mark_dead(id_, "550")
    assert await store.problems.dismiss_all([]) == []
    assert sorted(await store.problems.dismiss_all(["a", "queue"])) == ids[:5]
    assert await store.problems.dead_counts() == {"a": 5, "b": 1}
    assert await store.problems.dismiss_queue("a") == []
    assert await store.problems.dismiss_all() == ids[5:]
    assert await store.problems.dead() == {}


async def test_a_skipped_delivery_is_no_problem(store: Store) -> None:
    (id_,) = await put(store, "a", 1)
    await store.save_unfinished("a", id_, 1)
    await store.mark_skipped(id_, "no_address: Ada is not known")
    assert await store.unfinished("a") == (0, 0)
    assert await store.problems.dead() == {}
    assert not await store.problems.is_failing("a")
    page = await store.queries.events(None, EventFilters(state="skipped"))
    (row,) = page.rows
    assert [(one.state, one.error) for one in row.deliveries] == [
        ("skipped", "no_address: Ada is not known")
    ]
    (entry,) = await store.log(team=None, state="skipped", limit=9)
    details = await store.queries.event(None, entry.event.id)
    assert details is not None
    assert [one.outcome for one in details.attempts[id_]] == ["skipped"]
    assert (await store.queries.queues(["a"]))["a"].failed_at == 0.0


async def test_a_queue_fails_until_it_sends_again(store: Store) -> None:
    first, second, third = await put(store, "a", 1, 2, 3)
    await store.mark_sent([first], "r")
    assert not await store.problems.is_failing("a")
    await store.mark_dead(second, "550")
    assert await store.problems.is_failing("a")
    await store.mark_sent([third], "r")
    assert not await store.problems.is_failing("a")


async def test_alerts_are_told_from_events_of_penpot(store: Store) -> None:
    (id_,) = await put(store, "a", 1)
    await store.announce("acme", "queue-stopped", [NewDelivery("a", "alert", "m")])
    await store.announce("acme", "queue-stopped", [NewDelivery("b", "other", "m")])
    penpots, alert = await store.waiting_deliveries("a", 9)
    assert not await store.problems.is_alert(penpots.event_id)
    assert await store.problems.is_alert(alert.event_id)
    assert await store.problems.waiting_alerts("a") == [alert.id]

    for delivery in (penpots, alert):
        await store.mark_dead(delivery.id, f"550: {delivery.id}")
    unreported = await store.problems.unreported("a", 0.0)
    assert unreported is not None
    assert (unreported.number, unreported.last_error) == (1, f"550: {id_}")
    assert await store.problems.unreported("a", unreported.last_at) is None
    assert (await store.problems.dead())["a"].number == 2


async def test_alerts_move_to_another_queue(store: Store) -> None:
    await put(store, "a", 1)
    await store.announce("acme", "queue-stopped", [NewDelivery("a", "alert", "m")])
    first, alert = await store.waiting_deliveries("a", 9)
    await store.mark_failed(alert.id, "550", 2e9)
    await store.problems.move([alert.id], "a", "b")
    assert await store.waiting_deliveries("a", 9) == [first]
    (moved,) = await store.waiting_deliveries("b", 9)
    expected = replace(alert, queue="b", key=moved.key, error="550", created_at=moved.created_at)
    assert moved == expected
    assert moved.key != "alert"
    assert await store.problems.attempt_times(alert.id) is None  # those in the other queue

    await store.mark_sent([alert.id], "r")
    await store.problems.move([alert.id], "b", "a")
    assert await store.waiting_deliveries("a", 9) == [first]


async def test_the_times_of_the_attempts_of_a_delivery(store: Store) -> None:
    (id_,) = await put(store, "a", 1)
    assert await store.problems.attempt_times(id_) is None
    before = time.time()
    for _ in range(3):
        await store.mark_failed(id_, "503", 2e9)
    times = await store.problems.attempt_times(id_)
    assert times is not None
    assert before <= times.first < times.last <= time.time()
    await store.resend([id_])
    assert await store.problems.attempt_times(id_) is None


async def test_an_event_is_announced_once_for_a_change(store: Store) -> None:
    async def announce(before: str, after: str) -> bool:
        change = ValueChange("key", before, after)
        return await store.announce("acme", "x", [NewDelivery("a", after, "m")], "", change)

    assert await announce("", "one")
    assert not await announce("", "two")
    assert await announce("one", "two")
    assert not await announce("one", "three")
    value = await store.get_value("key")
    assert value is not None
    assert value.value == "two"
    assert [delivery.key for delivery in await store.waiting_deliveries("a", 9)] == ["one", "two"]
