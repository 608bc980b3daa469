"""The log's filters, on both engines."""

import pytest

from relay.store import log
from relay.store.base import Store
from relay.store.records import FanOutResult, NewDelivery
from tests.store.test_base import event

pytestmark = pytest.mark.anyio


async def fill(store: Store) -> list[int]:
    """Events at times 1.0, 2.0 …: three in ``a``, two in ``b``, one ignored, one not fanned out;
    returns their ids."""
    for number, name in enumerate(["x-1", "x-2", "y", "y", "x-1", "z", "y"], 1):
        team = "rnd" if number == 4 else "acme"
        await store.accept(event(number, team=team, name=name, received_at=float(number)))
    stored = await store.stored_events(10)
    for each, queues in zip(stored, ["a", "ab", "b", "a", "", ""], strict=False):
        deliveries = [NewDelivery(queue, f"{each.id} {queue}", "{}") for queue in queues]
        state = "fanned-out" if queues else "ignored"
        number = each.id - stored[0].id + 1
        result = FanOutResult(
            each.id, each.team, state, "", deliveries, person="Ada", about=f"about {number}"
        )
        if number < 7:
            await store.save_fan_out([result])
    return [each.id for each in stored]


async def numbers(store: Store, ids: list[int], **filters: object) -> list[int]:
    given = {"team": None, "state": None, "limit": 10} | filters
    entries = await store.log(**given)  # type: ignore[arg-type]
    return [ids.index(entry.event.id) + 1 for entry in entries]


async def test_the_log_has_the_beginning_of_a_body(store: Store) -> None:
    await store.accept(event(1, body=b"x" * 2000))
    await store.accept(event(2, body=b""))
    bodies = [entry.event.body for entry in await store.log(team=None, state=None, limit=10)]
    assert bodies == [b"", b"x" * 1000]


async def test_the_log_filters_events(store: Store) -> None:
    ids = await fill(store)
    for filters, wanted in (
        ({}, [7, 6, 5, 4, 3, 2, 1]),
        ({"limit": 2}, [7, 6]),
        ({"team": "rnd"}, [4]),
        ({"team": "rnd", "state": "stored"}, []),
        ({"state": "stored"}, [7]),
        ({"state": "fanned-out"}, [4, 3, 2, 1]),
        ({"state": "ignored"}, [6, 5]),
        ({"state": "waiting"}, [4, 3, 2, 1]),
        ({"queues": ["a"]}, [4, 2, 1]),
        ({"queues": ["a", "b"]}, [4, 3, 2, 1]),
        ({"queues": ["none"]}, []),
        ({"queues": ["a"], "team": "rnd"}, [4]),
        ({"queues": ["a"], "state": "sent"}, []),
        ({"queues": ["a"], "names": ["y"]}, [4]),
        ({"names": ["y"]}, [7, 4, 3]),
        ({"names": ["x-1", "z"]}, [6, 5, 1]),
        ({"names": ["x-1"], "team": "acme"}, [5, 1]),
        ({"names": []}, []),
        ({"since": 3.0, "until": 5.0}, [4, 3]),
        ({"since": 6.0}, [7, 6]),
        ({"since": 9.0}, []),
        ({"until": 1.0}, []),
        ({"until": 4.0, "queues": ["a"]}, [2, 1]),
        ({"after": ids[1], "limit": 2}, [4, 3]),
        ({"after": ids[4]}, [7, 6]),
        ({"after": ids[1], "queues": ["a"]}, [4]),
    ):
        assert await numbers(store, ids, **filters) == wanted, filters


async def test_the_log_reads_in_batches(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log, "LOG_BATCH_SIZE", 2)
    monkeypatch.setattr("relay.store.search.MAX_SCANNED_EVENTS", 3)
    ids = await fill(store)
    assert await numbers(store, ids) == [7, 6, 5, 4, 3, 2, 1]
    assert await numbers(store, ids, after=ids[0]) == [7, 6, 5, 4, 3, 2]
    assert await numbers(store, ids, after=ids[0], limit=3) == [4, 3, 2]
    assert await numbers(store, ids, state="ignored") == [6, 5]
    assert await numbers(store, ids, names=["x-1"], team="acme") == [5, 1]


async def test_an_entry_has_deliveries_and_what_the_event_was_about(store: Store) -> None:
    await fill(store)
    _, _, _, _, _, entry, _ = await store.log(team=None, state=None, limit=10)
    assert [delivery.queue for delivery in entry.deliveries] == ["a", "b"]
    assert (entry.person, entry.about) == ("Ada", "about 2")
    newest = (await store.log(team=None, state=None, limit=1))[0]
    assert (newest.event.state, newest.deliveries, newest.about) == ("stored", [], "")


async def test_event_names_are_distinct(store: Store) -> None:
    assert await store.event_names() == []
    await fill(store)
    await store.accept(event(20, name="only-stored"))
    await store.accept(event(21, name="", state="unreadable"))
    assert await store.event_names() == ["only-stored", "x-1", "x-2", "y", "z"]
