"""Statements on both engines: the columns of records, and rows as parameters."""

import pytest

from relay.store.base import Store
from relay.store.engine import (
    DELIVERY_COLUMNS,
    EVENT_COLUMNS,
    INSERT_EVENTS_SQL,
    Parameters,
    Statement,
    Steps,
)
from relay.store.records import Delivery, StoredEvent
from tests.store.test_base import event, one_delivery

pytestmark = pytest.mark.anyio


async def test_columns_are_in_the_order_of_the_records(store: Store) -> None:
    delivery_id = await one_delivery(store)
    (row,) = await store.fetch(f"SELECT {DELIVERY_COLUMNS} FROM relay.deliveries")
    delivery = Delivery(*row)
    assert (delivery.id, delivery.queue, delivery.state) == (delivery_id, "queue", "waiting")
    (row,) = await store.fetch(f"SELECT {EVENT_COLUMNS} FROM relay.events WHERE id = $1", 1)
    stored = StoredEvent(*row)
    assert (stored.id, stored.team, stored.state) == (1, "acme", "fanned-out")


def test_parameters_return_their_placeholders() -> None:
    values = Parameters()
    assert [values.add("a"), values.add_all([1, 2])] == ["$1", "$2, $3"]
    assert values == ["a", 1, 2]


@pytest.mark.parametrize("count", [0, 1, 2, 200])
async def test_a_statement_runs_for_each_row(store: Store, count: int) -> None:
    events = [event(number, state="unreadable") for number in range(count)]
    sql = "UPDATE relay.events SET reason = $2 WHERE id = ANY($1::int8[]) RETURNING id, reason"

    def work() -> Steps[int]:
        yield Statement(INSERT_EVENTS_SQL, rows=events)
        ids = yield Statement("SELECT id FROM relay.events ORDER BY id")
        rows = yield Statement(sql, ("why",), [tuple(row) for row in ids])
        assert [tuple(row) for row in sorted(rows)] == [(id_, "why") for (id_,) in ids]
        return len(rows)

    assert await store.write(work) == count
    read = "SELECT id FROM relay.events WHERE id = ANY($1::int8[]) AND state = $2"
    rows = await store.fetch(read, "unreadable", rows=[(id_,) for id_ in range(1, count + 1)])
    assert len(rows) == count


async def test_work_that_fails_writes_nothing(store: Store) -> None:
    def work() -> Steps[None]:
        yield Statement(INSERT_EVENTS_SQL, rows=[event(1)])
        raise KeyError("x")

    with pytest.raises(KeyError):
        await store.write(work)
    assert await store.stored_events(10) == []


async def test_each_statement_of_the_inspector_has_its_rows(store: Store) -> None:
    await store.accept(event(1))
    results = await store.fetch_for_inspector(
        Statement("SELECT count(*) FROM relay.events"),
        Statement("SELECT team FROM relay.events WHERE id = $1", (1,)),
    )
    assert [[tuple(row) for row in rows] for rows in results] == [[(1,)], [("acme",)]]
