"""The search for events, on both engines: what the filters exclude, and the indexes they read."""

import pytest

from relay.store import search
from relay.store.base import Store
from relay.store.engine import Rows, Statement, Steps
from relay.store.records import FanOutResult, NewDelivery
from relay.store.search import MAX_ID, EventFilters, EventSearch
from relay.store.sqlite import SqliteStore
from tests.store.test_base import event

pytestmark = pytest.mark.anyio


async def fill(store: Store, count: int, **times: float) -> list[int]:
    """Events at times 0.0, 1.0 …, in turn for the queues a, b and both; returns their ids."""
    ids = []
    for number in range(count):
        await store.accept(event(number, received_at=times.get(f"at_{number}", float(number))))
        (stored,) = await store.stored_events(1)
        queues = ("a", "b", "ab")[number % 3]
        deliveries = [NewDelivery(queue, f"{number} {queue}", "{}") for queue in queues]
        await store.save_fan_out([FanOutResult(stored.id, "acme", "fanned-out", "", deliveries)])
        ids.append(stored.id)
    return ids


async def find(store: Store, filters: EventFilters, ids: list[int], team: str = "") -> list[int]:
    page = await store.queries.events(team or None, filters)
    return [ids.index(row.id) for row in page.rows]


async def test_an_event_is_found_by_the_queue_of_a_delivery(store: Store) -> None:
    ids = await fill(store, 7)
    assert await find(store, EventFilters(queues=["a"]), ids) == [6, 5, 3, 2, 0]
    assert await find(store, EventFilters(queues=["b"]), ids, "acme") == [5, 4, 2, 1]
    assert await find(store, EventFilters(queues=["a"]), ids, "rnd") == []
    assert await find(store, EventFilters(queues=["b", "a"]), ids) == [6, 5, 4, 3, 2, 1, 0]
    many = [f"q{number}" for number in range(search.MAX_INDEX_READS)]
    assert await find(store, EventFilters(queues=["b", *many]), ids) == [5, 4, 2, 1]


async def test_the_state_is_that_of_the_delivery_in_the_queue(store: Store) -> None:
    ids = await fill(store, 3)
    (_, in_a), (_, in_b) = [await store.waiting_deliveries(queue, 9) for queue in "ab"]
    await store.mark_dead(in_a.id, "550")
    await store.mark_sent([in_b.id], "r")
    for queue, state, wanted in (
        ("a", "dead", [2]),
        ("b", "dead", []),
        ("b", "sent", [2]),
        ("a", "sent", []),
        ("a", "waiting", [0]),
        ("b", "waiting", [1]),
        ("b", "ignored", []),
        ("b", "stored", []),
    ):
        for team in ("", "acme"):
            filters = EventFilters(state=state, queues=[queue])
            assert await find(store, filters, ids, team) == wanted, (queue, state)


async def test_an_event_is_found_by_the_time_at_which_it_was_received(store: Store) -> None:
    ids = await fill(store, 6, at_2=4.5)  # that one was stored too early, by another clock
    for since, until, wanted in (
        (3.0, None, [5, 4, 3, 2]),
        (None, 3.0, [1, 0]),
        (4.0, 5.0, [4, 2]),
        (4.5, 4.5, []),
        (4.5, 4.6, [2]),
        (5.5, None, []),
        (None, 0.0, []),
    ):
        filters = EventFilters(since=since, until=until)
        assert await find(store, filters, ids) == wanted, filters
        assert await find(store, filters, ids, "acme") == wanted, filters
        in_a = EventFilters(queues=["a"], since=since, until=until)
        assert await find(store, in_a, ids) == [id_ for id_ in wanted if id_ % 3 != 1], filters


async def test_events_that_were_not_fanned_out_have_a_time_and_no_queue(store: Store) -> None:
    for number, state in enumerate(["stored", "unreadable"]):
        await store.accept(event(number, state=state, received_at=float(number)))
    first, last = sorted(row.id for row in (await store.queries.events(None, EventFilters())).rows)
    assert await find(store, EventFilters(since=1.0), [first, last]) == [1]
    assert await find(store, EventFilters(until=1.0), [first, last]) == [0]
    assert await find(store, EventFilters(queues=["a"]), [first, last]) == []


async def test_pages_of_filtered_events_continue_in_both_directions(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search, "MAX_UNORDERED_COUNT", 1)
    ids = await fill(store, 12)
    filters = EventFilters(queues=["a"], since=2.0, until=10.0)
    wanted, seen, before = [9, 8, 6, 5, 3, 2], [], None
    while True:
        page = await store.queries.events("acme", filters, before=before, limit=2)
        seen += [ids.index(row.id) for row in page.rows]
        before = page.older
        if before is None:
            break
    assert seen == wanted
    after = ids[0]
    seen = []
    while True:
        page = await store.queries.events("acme", filters, after=after, limit=2)
        seen = [*(ids.index(row.id) for row in page.rows), *seen]
        if page.newer is None:
            break
        after = page.newer
    assert seen == wanted


async def plan(store: Store, statement: Statement) -> str:
    """How the engine runs it. PostgreSQL would read an almost empty table without an index."""
    if isinstance(store, SqliteStore):
        rows = await store.fetch(f"EXPLAIN QUERY PLAN {statement.sql}", *statement.values)
        return "\n".join(row[3] for row in rows)

    def work() -> Steps[Rows]:
        yield Statement("SET LOCAL enable_seqscan = off")
        yield Statement("SET LOCAL enable_bitmapscan = off")
        return (yield Statement(f"EXPLAIN {statement.sql}", statement.values))

    return "\n".join(line for (line,) in await store.write(work))


@pytest.mark.parametrize("store", ["sqlite", "postgresql"], indirect=True)
async def test_each_filter_reads_an_index(store: Store) -> None:
    await fill(store, 3)
    for team, filters, index in (
        (None, EventFilters(queues=["a"]), "deliveries_of_queue"),
        ("acme", EventFilters(queues=["a", "b"], since=1.0), "deliveries_of_queue"),
        (None, EventFilters(queues=["a"], state="dead"), "deliveries_dead_events"),
        (None, EventFilters(queues=["a"], state="sent"), "deliveries_of_queue"),
        (None, EventFilters(names=("x", "y")), "summaries_of_name"),
        ("acme", EventFilters(since=1.0), "summaries_of_team"),
    ):
        for ascending in (False, True):
            searched = EventSearch(team, filters, 0, MAX_ID, ascending, 51, store)
            statement = searched.summaries()
            assert statement is not None
            shown = await plan(store, statement)
            assert index in shown, (filters, shown)
            assert "SCAN summaries" not in shown, (filters, shown)
            assert "SCAN deliveries" not in shown, (filters, shown)
            assert "Seq Scan" not in shown, (filters, shown)
    shown = await plan(store, EventFilters(since=1.0, until=2.0).id_range())
    assert shown.count("events_age") == 2, shown
    assert "Seq Scan" not in shown
