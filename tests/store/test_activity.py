"""Activity lines, on both engines."""

import time
from collections.abc import Sequence
from dataclasses import replace

import pytest

from relay.store import activity
from relay.store.activity import REPLACED
from relay.store.base import Store
from relay.store.records import Delivery, FanOutResult, LineUpdate, NewDelivery, NewEvent
from relay.store.search import EventFilters
from relay.store.usage import EVENT_OVERHEAD_BYTES

pytestmark = pytest.mark.anyio

LINE = "activity:2026-03-09:file:f1"


def update(
    number: int, *, held_until: float = 0.0, is_edit: bool = False, line: str = LINE
) -> LineUpdate:
    """Of the line's event with this number."""
    held_with = line if held_until else ""
    sent = f'"edit {number}"' if is_edit else f'"text {number}"'
    new = NewDelivery("a", f"{line} {number}", sent, line, "", held_until, held_with)
    return LineUpdate("a", line, f"counts {number}", f'"text {number}"', new, is_edit)


async def put(store: Store, *updates: LineUpdate) -> Sequence[FanOutResult]:
    """One event each, in one transaction."""
    for number in range(len(updates)):
        digest = b"%d %d" % (time.time_ns(), number)
        await store.accept(NewEvent("acme", "", b"{}", digest, "x", received_at=time.time()))
    stored = await store.stored_events(len(updates))
    return await store.save_fan_out(
        [
            FanOutResult(event.id, "acme", "fanned-out", lines=[each])
            for event, each in zip(stored, updates, strict=True)
        ]
    )


async def deliveries(store: Store) -> list[Delivery]:
    entries = await store.log(team=None, state=None, limit=100)
    return sorted((one for entry in entries for one in entry.deliveries), key=lambda one: one.id)


async def texts(store: Store) -> list[tuple[str, str]]:
    return [(one.state, one.message) for one in await deliveries(store)]


async def test_a_held_line_takes_the_latest_text(store: Store) -> None:
    (first,) = await put(store, update(1, held_until=2e9))
    (second,) = await put(store, update(2, held_until=2e9))
    assert await texts(store) == [("held", '"text 2"')]
    assert await store.activity.counts([("a", LINE), ("b", LINE)]) == {("a", LINE): "counts 2"}
    assert (first.counted, second.counted) == ({}, {"a": first.event_id})
    page = await store.queries.events(None, EventFilters())
    assert [row.counted for row in page.rows] == [{"a": first.event_id}, {}]
    assert [row.state for row in page.rows] == ["fanned-out", "fanned-out"]


async def test_events_of_one_transaction_form_one_delivery(store: Store) -> None:
    first, *others = await put(store, *(update(number, held_until=2e9) for number in (1, 2, 3)))
    assert await texts(store) == [("held", '"text 3"')]
    assert [each.counted for each in others] == [{"a": first.event_id}] * 2

    await put(store, update(1, line="l2"), update(2, line="l2", is_edit=True))
    assert (await texts(store))[1:] == [("waiting", '"text 2"')]
    *others, last = await put(store, *(update(n, line="l2", is_edit=True) for n in (3, 4, 5)))
    assert (await texts(store))[2:] == [("waiting", '"edit 5"')]
    assert [each.counted for each in others] == [{"a": last.event_id}] * 2


async def test_an_event_after_the_release_has_a_delivery_of_its_own(store: Store) -> None:
    await put(store, update(1, held_until=1000.0))
    assert len(await store.holds.release(1000.0)) == 1
    (late,) = await put(store, update(2, held_until=1000.0))
    assert await texts(store) == [("waiting", '"text 1"'), ("held", '"text 2"')]
    assert late.counted == {}


async def test_lines_of_several_queues_and_subjects_do_not_mix(store: Store) -> None:
    one, two = update(1, held_until=2e9), update(1, held_until=2e9, line="other")
    queue_b = replace(one, queue="b", delivery=replace(one.delivery, queue="b", key="of b"))
    await put(store, one, two, queue_b)
    await put(store, update(2, held_until=2e9))
    assert [(one.queue, one.message) for one in await deliveries(store)] == [
        ("a", '"text 2"'),
        ("a", '"text 1"'),
        ("b", '"text 1"'),
    ]


async def test_what_was_stored_already_is_not_written_again(store: Store) -> None:
    (first,) = await put(store, update(1, held_until=2e9))
    again = FanOutResult(first.event_id, "acme", "fanned-out", lines=[update(7, held_until=2e9)])
    await store.save_fan_out([again])
    assert await texts(store) == [("held", '"text 1"')]
    assert await store.activity.counts([("a", LINE)]) == {("a", LINE): "counts 1"}


async def test_only_the_latest_waiting_edit_of_a_line_stays(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(activity, "DROP_BATCH_SIZE", 2)
    for number in range(1, 5):
        await put(store, update(number, is_edit=True))
    await put(store, update(1, is_edit=True, line="other"))
    dropped = await store.activity.drop_replaced("a", LINE)
    dropped += await store.activity.drop_replaced("a", LINE)
    assert await store.activity.drop_replaced("a", LINE) == []
    *replaced, latest, other = await deliveries(store)
    assert [one.event_id for one in replaced] == dropped
    assert {(one.state, one.error) for one in replaced} == {("skipped", REPLACED)}
    assert (latest.message, latest.state, other.state) == ('"edit 4"', "waiting", "waiting")
    details = await store.queries.event(None, replaced[0].event_id)
    assert details is not None
    assert [one.detail for one in details.attempts[replaced[0].id]] == [REPLACED]


async def test_a_text_that_grows_counts_to_its_team(store: Store) -> None:
    first = update(1, held_until=2e9)
    (event,) = await put(store, first)
    before = await store.usage.by_team({})
    await put(store, replace(update(2, held_until=2e9), message="x" * 500))
    after = await store.usage.by_team({})
    body = len(b"{}") + EVENT_OVERHEAD_BYTES
    assert after["acme"] - before["acme"] == body + 500 - len(first.message)
    await store.mark_sent([one.id for one in await deliveries(store)], "")
    await store.prune(time.time() + 60, 10)
    assert await store.usage.by_team({}) == {"acme": 0}
    assert event.counted == {}


async def test_old_counts_are_pruned(store: Store) -> None:
    await put(store, update(1, held_until=2e9))
    await store.prune(time.time() - 60, 10)
    assert await store.activity.counts([("a", LINE)])
    await store.prune(time.time() + 60, 10)
    assert await store.activity.counts([("a", LINE)]) == {}
