"""Attempts that have no result yet, in both engines."""

import pytest

from relay.store.base import Store
from relay.store.records import INTERRUPTED
from tests.store.test_base import event, one_delivery, planned

pytestmark = pytest.mark.anyio


async def test_attempts_are_counted_until_they_have_a_result(store: Store) -> None:
    await store.accept(event(1))
    await store.accept(event(2))
    for stored in await store.stored_events(10):
        await store.save_fan_out([planned(stored.id, "a")])
    first, second = [delivery.id for delivery in await store.waiting_deliveries("a", 10)]
    assert await store.unfinished("a") == (0, 0)
    await store.save_unfinished("a", first, 1)
    await store.save_unfinished("a", first, 2, interrupted=True)
    assert await store.unfinished("a") == (first, 2)
    assert await store.unfinished("b") == (0, 0)
    (delivery, _) = await store.waiting_deliveries("a", 10)
    assert (delivery.attempts, delivery.error) == (1, INTERRUPTED)
    await store.mark_failed(first, "timeout", 1e9)
    assert await store.unfinished("a") == (0, 0)
    await store.save_unfinished("a", first, 1)
    await store.mark_sent([first], "receipt", next_id=second)
    assert await store.unfinished("a") == (second, 1)
    await store.mark_dead(second, "interrupted")
    assert await store.unfinished("a") == (0, 0)
    details = await store.queries.event(None, delivery.event_id)
    assert details is not None
    attempts = [(one.number, one.outcome, one.detail) for one in details.attempts[first]]
    assert attempts == [
        (1, "failed", INTERRUPTED),
        (2, "failed", "timeout"),
        (3, "sent", "receipt"),
    ]


async def test_a_digest_that_is_split_has_no_attempts(store: Store) -> None:
    delivery_id = await one_delivery(store)
    await store.set_digest([delivery_id], "digest")
    await store.save_unfinished("queue", delivery_id, 5)
    await store.set_digest([delivery_id], "")
    assert await store.unfinished("queue") == (0, 0)
