"""Held deliveries, on both engines."""

import time

import pytest

from relay.store import holds
from relay.store.base import Store
from relay.store.records import Delivery, FanOutResult, NewDelivery, NewEvent
from relay.store.search import EventFilters

pytestmark = pytest.mark.anyio


async def put(store: Store, *deliveries: NewDelivery, received_at: float = 0.0) -> None:
    """One event with one delivery each, in one transaction."""
    for new in deliveries:
        digest = f"{time.time()} {new.key}".encode()
        received_at = received_at or time.time()
        await store.accept(
            NewEvent("acme", "application/json", b"{}", digest, "x", received_at=received_at)
        )
    stored = await store.stored_events(len(deliveries))
    await store.save_fan_out(
        [
            FanOutResult(event.id, "acme", "fanned-out", deliveries=[new])
            for event, new in zip(stored, deliveries, strict=True)
        ]
    )


def held(key: str, until: float, group: str = "", queue: str = "a") -> NewDelivery:
    return NewDelivery(queue, key, "{}", group, held_until=until, held_with=group)


async def states(store: Store) -> dict[str, str]:
    return {one.key: one.state for one in await everything(store)}


async def everything(store: Store) -> list[Delivery]:
    entries = await store.log(team=None, state=None, limit=100)
    return sorted((one for entry in entries for one in entry.deliveries), key=lambda one: one.id)


async def test_a_held_delivery_waits_for_its_time(store: Store) -> None:
    await put(
        store, held("k1", 1000.0), NewDelivery("a", "k2", "{}"), held("k3", 1000.5, queue="b")
    )
    assert await states(store) == {"k1": "held", "k2": "waiting", "k3": "held"}
    assert await store.waiting_queues() == {"a": 1}
    assert await store.holds.counts() == {"a": 1, "b": 1}
    assert [one.key for one in await store.waiting_deliveries("a", 9)] == ["k2"]

    assert await store.holds.release(999.9) == []
    assert await store.holds.counts() == {"a": 1, "b": 1}
    (released,) = await store.holds.release(1000.0)
    assert released.queue == "a"
    assert await store.holds.release(1000.4) == []
    assert await states(store) == {"k1": "waiting", "k2": "waiting", "k3": "held"}
    first, second = await store.waiting_deliveries("a", 9)
    assert (first.key, first.held_until, first.created_at) == ("k1", 1000.0, 1000.0)
    assert (second.key, second.held_until) == ("k2", 0.0)


async def test_many_are_released_in_batches_in_order(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(holds, "RELEASE_BATCH_SIZE", 2)
    await put(store, *[held(f"k{number}", 100.0 + number // 3) for number in range(5)])
    sizes = []
    while released := await store.holds.release(200.0):
        sizes.append(len(released))
        keys = [one.key for one in await store.waiting_deliveries("a", 9)]
        assert keys == [f"k{number}" for number in range(sum(sizes))]
    assert sizes == [2, 2, 1]


async def test_an_urgent_delivery_takes_its_group_along(store: Store) -> None:
    await put(store, held("k1", 5e9, "t1"), held("k2", 5e9, "t2"), held("k3", 5e9, "t1", "b"))
    urgent = NewDelivery("a", "k5", "{}", "t1", held_with="t1", is_urgent=True)
    await put(store, held("k4", 5e9, "t1"), urgent, held("k6", 5e9, "t1"))
    assert await states(store) == {
        "k1": "waiting",
        "k2": "held",
        "k3": "held",
        "k4": "waiting",
        "k5": "waiting",
        "k6": "held",
    }
    waiting = await store.waiting_deliveries("a", 9)
    assert [one.key for one in waiting] == ["k1", "k4", "k5"]
    assert [one.held_until for one in waiting] == [0.0, 0.0, 0.0]  # no part of a digest
    assert all(abs(one.created_at - time.time()) < 60 for one in waiting)


async def test_a_queue_replaces_drops_and_releases_what_is_held(store: Store) -> None:
    await put(store, held("k1", 5e9, "t1"), held("k2", 5e9, "t1"), held("k3", 5e9, "t1"))
    first, second, third = await store.holds.messages("a", "t1")
    assert first.message == "{}"
    await store.holds.replace(first.delivery_id, '"new"')
    await store.mark_skipped(second.delivery_id, "deleted")
    assert [one.delivery_id for one in await store.holds.messages("a", "t1")] == [
        first.delivery_id,
        third.delivery_id,
    ]
    assert await store.holds.messages("b", "t1") == []
    await store.holds.release_group("a", "t1")
    waiting = await store.waiting_deliveries("a", 9)
    assert [(one.key, one.message) for one in waiting] == [("k1", '"new"'), ("k3", "{}")]


async def test_the_held_messages_of_people_are_found_with_those_of_their_thread(
    store: Store,
) -> None:
    groups = ["t1", "t1 ada", "t1x", "t2 t1", "", "t1 bob", "t_ bob", "t1x ada"]
    await put(store, *[held(f"k{number}", 5e9, group) for number, group in enumerate(groups)])
    group_of = dict(zip([one.id for one in await everything(store)], groups, strict=True))
    for group, expected in {"t1": ["t1", "t1 ada", "t1 bob"], "t_": ["t_ bob"], "": []}.items():
        found = await store.holds.messages("a", group)
        assert [group_of[one.delivery_id] for one in found] == expected
    await store.holds.release_group("a", "t1")
    assert [one.key for one in await store.waiting_deliveries("a", 9)] == ["k0"]


async def test_a_waiting_delivery_can_be_held_as_if_it_was_not_attempted(store: Store) -> None:
    await put(store, NewDelivery("a", "k1", "{}", "t1"))
    (delivery,) = await store.waiting_deliveries("a", 9)
    await store.mark_failed(delivery.id, "busy", 1e9)
    await store.save_unfinished("a", delivery.id, 1)
    await store.holds.hold(delivery.id, '"line"', 2e9, "t1")
    (now,) = await everything(store)
    assert (now.state, now.message, now.held_until) == ("held", '"line"', 2e9)
    assert (now.attempts, now.next_at, now.error) == (0, 0.0, "")
    assert await store.unfinished("a") == (0, 0)
    assert await store.waiting_queues() == {}


async def test_a_resent_delivery_is_not_held(store: Store) -> None:
    await put(store, held("k1", 5e9, "t1"))
    (delivery,) = await everything(store)
    assert await store.resend([delivery.id]) == [delivery.id]
    (waiting,) = await store.waiting_deliveries("a", 9)
    assert waiting.held_until == 0.0


async def test_retention_keeps_what_is_held_and_what_was_released_lately(store: Store) -> None:
    await put(store, held("k1", 1000.0), held("k2", 3000.0), held("k3", 4000.0), received_at=10.0)
    await store.holds.release(3000.0)
    assert await store.prune(2000.0, 100) == 1
    assert await states(store) == {"k2": "waiting", "k3": "held"}


async def test_the_inspector_lists_and_counts_what_is_held(store: Store) -> None:
    await put(store, held("k1", 3000.0), held("k2", 2000.0), NewDelivery("a", "k3", "{}"))
    page = await store.queries.events(None, EventFilters(state="held"))
    assert [[one.state for one in row.deliveries] for row in page.rows] == [["held"], ["held"]]
    assert page.rows[0].deliveries[0].held_until == 2000.0
    assert all(row.is_open for row in page.rows)
    stats = (await store.queries.queues(["a"]))["a"]
    assert (stats.waiting, stats.held, stats.held_until) == (1, 2, 2000.0)
    assert len(await store.log(team=None, state="held", limit=9)) == 2
