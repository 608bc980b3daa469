"""The events and deliveries that wait, in both engines."""

import pytest

from relay.store import backlog
from relay.store.base import Store
from relay.store.records import FanOutResult, NewDelivery
from tests.store.test_base import event, planned

pytestmark = pytest.mark.anyio


async def test_the_teams_with_stored_events_are_listed_in_turn(store: Store) -> None:
    assert await store.stored_teams("", 10) == {}
    for number, team in enumerate(["b", "a", "c", "a", "b"]):
        await store.accept(event(number, team=team, body=b"x" * (number + 1)))
    assert await store.stored_teams("", 10) == {"a": 2, "b": 1, "c": 3}
    assert list(await store.stored_teams("", 2)) == ["a", "b"]
    assert await store.stored_teams("b", 10) == {"c": 3}
    assert await store.stored_teams("c", 10) == {}
    of_a = [stored.id for stored in await store.stored_events(10, "a")]
    await store.save_fan_out([planned(of_a[0])])
    assert await store.stored_teams("", 1) == {"a": 4}
    await store.save_fan_out([planned(of_a[1])])
    assert await store.stored_teams("", 10) == {"b": 1, "c": 3}


async def test_a_teams_stored_events_have_at_most_so_many_bytes(store: Store) -> None:
    for number, size in enumerate((100, 100, 300, 1)):
        await store.accept(event(number, body=b"x" * size))
        await store.accept(event(number, team="rnd"))

    async def sizes(limit: int, max_bytes: int | None = None) -> list[int]:
        stored = await store.stored_events(limit, "acme", max_bytes)
        assert {each.team for each in stored} <= {"acme"}
        return [len(each.body) for each in stored]

    assert await sizes(9) == [100, 100, 300, 1]
    assert await sizes(9, 501) == [100, 100, 300, 1]
    assert await sizes(9, 499) == [100, 100]
    assert await sizes(1, 499) == [100]
    assert await sizes(9, 99) == []
    assert await store.stored_events(9, "gone", 99) == []


async def test_the_next_deliveries_have_a_limited_length_together(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise a queue's batch of large messages would take the memory of the whole service."""
    monkeypatch.setattr(backlog, "MAX_MESSAGES_LENGTH", 100)
    for number, text in enumerate(("é" * 60, "b" * 41, "c", "d" * 101, "e")):
        await store.accept(event(number))
        new = [NewDelivery(queue, f"{number}-{queue}", text) for queue in ("a", "b")]
        await store.save_fan_out([FanOutResult(number + 1, "acme", "fanned-out", "", new)])

    async def next_texts(limit: int) -> list[str]:
        waiting = await store.waiting_deliveries("a", limit)
        if waiting:
            await store.mark_sent([delivery.id for delivery in waiting], "x")
        return [delivery.message[0] for delivery in waiting]

    assert await next_texts(10) == ["é", "b"]
    assert await next_texts(1) == ["c"]
    assert await next_texts(10) == ["d"]
    assert await next_texts(10) == ["e"]
    assert await next_texts(10) == []
    assert len(await store.waiting_deliveries("b", 10)) == 2


async def test_the_members_of_a_digest_are_read_whatever_their_number(store: Store) -> None:
    for number in range(6):
        await store.accept(event(number))
        new = [NewDelivery(queue, f"{number}-{queue}", "text") for queue in ("a", "b")]
        await store.save_fan_out([FanOutResult(number + 1, "acme", "fanned-out", "", new)])
    first, second, _, fourth, fifth, _ = await store.waiting_deliveries("a", 9)
    await store.set_digest([first.id, second.id, fourth.id], "key")
    await store.set_digest([fifth.id], "other key")
    await store.set_digest([one.id for one in await store.waiting_deliveries("b", 9)], "key of b")
    await store.mark_sent([second.id], "x")
    members = await store.digest_members("a", "key")
    assert [(one.id, one.digest) for one in members] == [(first.id, "key"), (fourth.id, "key")]
    assert await store.digest_members("b", "key") == []
