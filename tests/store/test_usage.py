"""The bytes of each team, in both engines."""

import time

import pytest

from relay.store import usage
from relay.store.base import Store
from relay.store.records import FanOutResult, NewDelivery
from relay.store.usage import DELIVERY_OVERHEAD_BYTES, EVENT_OVERHEAD_BYTES
from tests.store.test_base import event

pytestmark = pytest.mark.anyio


def fanned_out(event_id: int, team: str, *messages: str) -> FanOutResult:
    new = [NewDelivery("a", f"{event_id} {text}", text) for text in messages]
    return FanOutResult(event_id, team, "fanned-out" if new else "ignored", "", new)


@pytest.mark.parametrize("events", [1, 2, 3, usage.SUM_BATCH_SIZE])
async def test_a_team_uses_its_bodies_and_messages(
    store: Store, events: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(usage, "SUM_BATCH_SIZE", events)
    assert await store.usage.by_team({}) == {}
    await store.accept(event(1, body=b"x" * 1000, received_at=1.0))
    await store.accept(event(1, body=b"x" * 1000, received_at=1.0))  # equal: stored once
    await store.accept(event(2, body=b"x" * 10, received_at=2.0))
    await store.accept(event(3, "rnd", body=b"", received_at=3.0))
    await store.accept(event(4, "rnd", body=b"?" * 7, state="unreadable", received_at=4.0))
    stored = {"acme": 1010 + 2 * EVENT_OVERHEAD_BYTES, "rnd": 7 + 2 * EVENT_OVERHEAD_BYTES}
    assert await store.usage.by_team({}) == stored
    first, second, third = await store.stored_events(10)
    results = [
        fanned_out(first.id, "acme", "m" * 100, "n" * 200),
        fanned_out(second.id, "acme"),
        FanOutResult(third.id, "rnd", "unreadable", "a bug"),
    ]
    for _ in range(2):  # an earlier call may have committed although its answer was lost
        await store.save_fan_out(results)
    expected = stored | {"acme": stored["acme"] + 300 + 2 * DELIVERY_OVERHEAD_BYTES}
    assert await store.usage.by_team({}) == expected


async def test_a_waiting_event_counts_with_its_messages(store: Store) -> None:
    for number, size in enumerate((10, 10_000, 20_000, 5)):
        state = "unreadable" if size == 5 else "stored"
        await store.accept(event(number, body=b"x" * size, received_at=1.0, state=state))
    sizes = usage.event_bytes(10, 3) + usage.event_bytes(10_000, 3) + usage.event_bytes(20_000, 3)
    assert await store.usage.by_team({"acme": 3}) == {"acme": sizes + usage.event_bytes(5, 0)}
    assert usage.event_bytes(20_000, 3) == usage.event_bytes(10_000, 3) + 10_000


async def test_a_notice_counts_as_well(store: Store) -> None:
    await store.announce("acme", "own", [NewDelivery("a", "k", "m" * 50)])
    expected = {"acme": EVENT_OVERHEAD_BYTES + DELIVERY_OVERHEAD_BYTES + 50}
    assert await store.usage.by_team({}) == expected


async def test_what_is_pruned_is_free(store: Store) -> None:
    for number in range(4):
        await store.accept(event(number, body=b"x" * 100, received_at=1.0 + number))
    await store.accept(event(8, state="unreadable", received_at=1.0))
    await store.save_fan_out(
        [fanned_out(one.id, "acme", "m" * 10) for one in await store.stored_events(10)]
    )
    for delivery in await store.waiting_deliveries("a", 10):
        await store.mark_sent([delivery.id], "")
    assert await store.prune(3.5, 10) == 4
    one = 100 + EVENT_OVERHEAD_BYTES + 10 + DELIVERY_OVERHEAD_BYTES
    assert await store.usage.by_team({}) == {"acme": one}
    await store.prune(time.time(), 10)
    assert await store.usage.by_team({}) == {"acme": 0}


async def test_the_disk_space_grows_with_the_events(store: Store) -> None:
    before = await store.disk_space()
    await store.accept(event(1, body=bytes(range(256)) * 16_000))
    after = await store.disk_space()
    assert after.used > before.used
    if not store.shared:
        assert after.free is not None
        assert after.total is not None
        assert 0 < after.free < after.total
