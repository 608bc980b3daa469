"""The conformance suite of both engines."""

import asyncio
import contextlib
import sqlite3
import time
from pathlib import Path

import anyio
import pytest

from relay.store.base import Store
from relay.store.records import (
    FanOutResult,
    NewDelivery,
    NewEvent,
    QueueHead,
    ShownMessage,
    StoreUnavailable,
    StoreUnusable,
    ThreadReceipts,
    suspension_key,
)
from relay.store.sqlite import SqliteStore

pytestmark = pytest.mark.anyio


sqlite_only = pytest.mark.parametrize("store", ["sqlite"], indirect=True)


def event(number: int, team: str = "acme", **changes: object) -> NewEvent:
    fields = {
        "team": team,
        "content_type": "application/json",
        "body": b'{"name": "x"}',
        "digest": number.to_bytes(24, "big"),
        "name": "create-file",
        "received_at": time.time(),
    }
    return NewEvent(**(fields | changes))  # type: ignore[arg-type]


def planned(event_id: int, *queues: str, team: str = "acme") -> FanOutResult:
    deliveries = [NewDelivery(queue, f"key-{event_id}-{queue}", f"to {queue}") for queue in queues]
    return FanOutResult(event_id, team, "fanned-out" if queues else "ignored", "", deliveries)


async def test_stored_events_are_in_the_order_of_arrival(store: Store) -> None:
    for number in (3, 1, 2):
        await store.accept(event(number, body=str(number).encode()))
    assert [stored.body for stored in await store.stored_events(10)] == [b"3", b"1", b"2"]
    assert [stored.body for stored in await store.stored_events(2)] == [b"3", b"1"]


async def test_equal_bodies_of_a_team_are_stored_once(store: Store) -> None:
    await store.accept(event(1))
    await store.accept(event(1))
    await store.accept(event(1, team="rnd"))
    assert [stored.team for stored in await store.stored_events(10)] == ["acme", "rnd"]


async def test_an_unreadable_body_is_stored_and_not_fanned_out(store: Store) -> None:
    await store.accept(event(1, state="unreadable", reason="not JSON", body=b"\xff\x00"))
    assert await store.stored_events(10) == []
    (entry,) = await store.log(team=None, state="unreadable", limit=10)
    assert (entry.event.reason, entry.event.body) == ("not JSON", b"\xff\x00")
    assert entry.event.truncated_from == 0


async def test_of_a_truncated_body_the_received_bytes_are_known(store: Store) -> None:
    await store.accept(event(1, state="unreadable", body=b"x" * 5000).truncated())
    (entry,) = await store.log(team=None, state="unreadable", limit=10)
    details = await store.queries.event(None, entry.event.id)
    assert details is not None
    assert (details.event.body, details.event.truncated_from) == (b"x" * 4096, 5000)
    assert entry.event.truncated_from == 5000


async def test_a_fan_out_moves_events_into_queues(store: Store) -> None:
    for number in (1, 2, 3):
        await store.accept(event(number))
    first, second, third = [stored.id for stored in await store.stored_events(10)]
    await store.save_fan_out([planned(first, "a", "b"), planned(second, "a"), planned(third)])
    assert await store.stored_events(10) == []
    assert await store.waiting_queues() == {"a": 2, "b": 1}
    assert [delivery.event_id for delivery in await store.waiting_deliveries("a", 10)] == [
        first,
        second,
    ]
    heads = {queue: (await store.waiting_deliveries(queue, 1))[0] for queue in ("a", "b")}
    await store.mark_failed(heads["b"].id, "timeout", 2e9)
    assert await store.busy_queues() == {
        "a": QueueHead(heads["a"].id, 0.0),
        "b": QueueHead(heads["b"].id, 2e9),
    }
    assert len(await store.waiting_deliveries("a", 1)) == 1
    states = [entry.event.state for entry in await store.log(team="acme", state=None, limit=10)]
    assert states == ["ignored", "fanned-out", "fanned-out"]


async def one_delivery(store: Store) -> int:
    await store.accept(event(1))
    (stored,) = await store.stored_events(1)
    await store.save_fan_out([planned(stored.id, "queue")])
    (delivery,) = await store.waiting_deliveries("queue", 1)
    return delivery.id


async def test_an_event_is_fanned_out_once_even_if_the_answer_was_lost(store: Store) -> None:
    delivery_id = await one_delivery(store)
    again = [NewDelivery("queue", "other", "m")]
    await store.save_fan_out([FanOutResult(1, "acme", "ignored", "again", again)])
    assert [delivery.id for delivery in await store.waiting_deliveries("queue", 10)] == [
        delivery_id
    ]
    (entry,) = await store.log(team=None, state=None, limit=10)
    assert (entry.event.state, entry.event.reason) == ("fanned-out", "")


async def test_a_batch_of_stored_events_is_limited_in_bytes(store: Store) -> None:
    for number in range(4):
        await store.accept(event(number, body=b"x" * 3 * 1024 * 1024))
    await store.accept(event(4))
    ids = [stored.id for stored in await store.stored_events(10)]
    assert len(ids) == 2
    await store.save_fan_out([planned(id_) for id_ in ids])
    assert [len(stored.body) for stored in await store.stored_events(10)] == [3 * 1024 * 1024] * 2
    assert [stored.id for stored in await store.stored_events(1)] == [ids[-1] + 1]


async def test_stored_events_are_empty_only_if_there_is_none(store: Store) -> None:
    for number in range(20):
        await store.accept(event(number))
    *ids, last = [stored.id for stored in await store.stored_events(20)]
    found: list[int] = []

    async def read() -> None:
        while found[-1:] != [last]:
            found.append((await store.stored_events(1))[0].id)

    async with anyio.create_task_group() as group:
        group.start_soon(read)
        for id_ in ids:
            await store.save_fan_out([planned(id_)])
    assert found == sorted(found)


async def test_a_sent_delivery_keeps_its_receipt(store: Store) -> None:
    await store.mark_sent([await one_delivery(store)], "$event")
    assert await store.waiting_queues() == {}
    assert await store.busy_queues() == {}
    (entry,) = await store.log(team=None, state="sent", limit=10)
    (delivery,) = entry.deliveries
    assert (delivery.state, delivery.receipt, delivery.attempts) == ("sent", "$event", 1)


async def test_a_failed_delivery_waits_with_its_next_attempt_and_error(store: Store) -> None:
    delivery_id = await one_delivery(store)
    await store.mark_failed(delivery_id, "timeout", 1e9)
    await store.mark_failed(delivery_id, "refused", 2e9)
    (delivery,) = await store.waiting_deliveries("queue", 1)
    assert (delivery.attempts, delivery.error, delivery.next_at) == (2, "refused", 2e9)


async def test_a_dead_delivery_is_re_queued_under_a_new_key(store: Store) -> None:
    delivery_id = await one_delivery(store)
    await store.mark_dead(delivery_id, "msg_too_long")
    assert await store.waiting_deliveries("queue", 1) == []
    assert await store.resend_dead() == [delivery_id]
    (delivery,) = await store.waiting_deliveries("queue", 1)
    assert delivery.attempts == 0
    assert delivery.key != f"key-{delivery.event_id}-queue"
    await store.mark_sent([delivery_id], "")
    assert await store.resend([delivery_id, 999]) == [delivery_id]


async def test_a_delivery_that_is_resent_resumes_its_queue_only(store: Store) -> None:
    delivery_id = await one_delivery(store)
    for queue in ("queue", "other"):
        await store.put_value(suspension_key(queue), "fingerprint")
    await store.resend([999])
    assert await store.get_value(suspension_key("queue")) is not None
    await store.resend([delivery_id])
    assert await store.get_value(suspension_key("queue")) is None
    assert await store.get_value(suspension_key("other")) is not None


async def test_dead_deliveries_are_re_queued_in_batches_queue_by_queue(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("relay.store.base.RESEND_BATCH_SIZE", 3)
    for number in range(5):
        await store.accept(event(number))
    ids = [stored.id for stored in await store.stored_events(10)]
    await store.save_fan_out([planned(id_, "b", "a") for id_ in ids])
    queues = [[one.id for one in await store.waiting_deliveries(queue, 10)] for queue in ("a", "b")]
    for id_ in (dead := queues[0] + queues[1]):
        await store.mark_dead(id_, "msg_too_long")
    steps: list[list[int]] = []
    resend = store.resend

    async def step(delivery_ids: list[int]) -> list[int]:
        steps.append(delivery_ids)
        result = await resend(delivery_ids)
        await store.mark_dead(result[0], "failed again")
        return result

    monkeypatch.setattr(store, "resend", step)
    assert await store.resend_dead() == sorted(dead)
    assert steps == [dead[:3], dead[3:5], dead[5:8], dead[8:]]
    assert sum((await store.waiting_queues()).values()) == 6


async def test_only_the_dead_deliveries_of_some_queues_are_re_queued(store: Store) -> None:
    for number in range(3):
        await store.accept(event(number))
    ids = [stored.id for stored in await store.stored_events(10)]
    await store.save_fan_out([planned(id_, "a", "b", "queue") for id_ in ids])
    for queue in ("a", "b", "queue"):
        for delivery in await store.waiting_deliveries(queue, 10):
            await store.mark_dead(delivery.id, "msg_too_long")
    assert await store.problems.dead_counts() == {"a": 3, "b": 3, "queue": 3}
    assert await store.problems.dead_counts(["a", "c"]) == {"a": 3}
    assert await store.resend_dead([]) == []
    assert await store.resend_dead(["c"]) == []
    queued = await store.resend_dead(["a", "queue"])
    assert len(queued) == 6
    assert await store.waiting_queues() == {"a": 3, "queue": 3}
    assert await store.problems.dead_counts() == {"b": 3}


async def test_the_first_sent_message_is_the_root_of_a_thread(store: Store) -> None:
    await store.accept(event(1))
    (stored,) = await store.stored_events(1)
    new = [NewDelivery("a", "k1", "m"), NewDelivery("a", "k2", "m")]
    await store.save_fan_out([FanOutResult(stored.id, "acme", "fanned-out", "", new)])
    assert await store.get_thread("a", "t") is None
    first, second = await store.waiting_deliveries("a", 10)
    await store.mark_sent([first.id], "r1", queue="a", thread="t", subject="First")
    assert await store.get_thread("a", "t") == ThreadReceipts("r1", "r1", "First")
    await store.mark_sent([second.id], "r2", queue="a", thread="t", subject="Second")
    assert await store.get_thread("a", "t") == ThreadReceipts("r1", "r2", "First")
    assert await store.get_thread("b", "t") is None
    await store.mark_sent([first.id], "r3", queue="a", thread="u")
    await store.mark_sent([second.id], "r4", queue="a", thread="u", subject="Third")
    assert await store.get_thread("a", "u") == ThreadReceipts("r3", "r4", "Third")
    await store.delete_thread("a", "t")
    assert await store.get_thread("a", "t") is None


async def test_shown_messages_lists_the_deliveries_of_a_thread(store: Store) -> None:
    for number in range(3):
        await store.accept(event(number))
    ids = [stored.id for stored in await store.stored_events(10)]
    first = [NewDelivery(queue, f"k{queue}", "m", "t") for queue in ("a", "b")]
    reply = [NewDelivery("a", "k3", "m", "t", "c")]
    others = [NewDelivery("a", "k4", "m", "u", "c"), NewDelivery("a", "k5", "m")]
    for id_, new in zip(ids, (first, reply, others), strict=True):
        await store.save_fan_out([FanOutResult(id_, "acme", "fanned-out", "", new)])
    one, two, *_ = [delivery.id for delivery in await store.waiting_deliveries("a", 10)]
    assert await store.shown_messages("a", "t") == [
        ShownMessage(one, "", "waiting", ""),
        ShownMessage(two, "c", "waiting", ""),
    ]
    await store.mark_sent([one], "r1")
    await store.set_digest([two], "digest")
    await store.mark_sent([two], "r2")
    assert await store.shown_messages("a", "t") == [
        ShownMessage(one, "", "sent", "r1"),
        ShownMessage(two, "c", "sent", ""),
    ]
    assert len(await store.shown_messages("b", "t")) == 1
    assert await store.shown_messages("a", "") == []
    await store.announce("acme", "own", [NewDelivery("a", "k6", "m", "t", "d")])
    assert [shown.comment for shown in await store.shown_messages("a", "t")] == ["", "c", "d"]
    await store.prune(time.time() + 1, 10)
    assert await store.shown_messages("a", "t") == []


async def test_the_deliveries_of_a_digest_are_sent_together(store: Store) -> None:
    for number in range(3):
        await store.accept(event(number))
        (stored,) = await store.stored_events(1)
        await store.save_fan_out([planned(stored.id, "a")])
    first, second, third = [delivery.id for delivery in await store.waiting_deliveries("a", 10)]
    await store.set_digest([first, second], "digest")
    assert [one.digest for one in await store.waiting_deliveries("a", 10)] == [
        "digest",
        "digest",
        "",
    ]
    await store.mark_sent([first, second], "receipt")
    assert [one.id for one in await store.waiting_deliveries("a", 10)] == [third]
    sent = [one for entry in await store.log(team=None, state="sent", limit=9)
            for one in entry.deliveries]  # fmt: skip
    assert {(one.id, one.receipt) for one in sent} == {(first, "receipt"), (second, "receipt")}
    assert await store.resend([first]) == [first]
    assert (await store.waiting_deliveries("a", 1))[0].digest == ""


async def test_announce_stores_an_event_with_deliveries(store: Store) -> None:
    await store.announce("acme", "queue-broken", [NewDelivery("acme/ops", "k", "m")])
    await store.announce("acme", "queue-broken", [NewDelivery("acme/ops", "l", "m")])
    assert await store.stored_events(10) == []
    assert [one.key for one in await store.waiting_deliveries("acme/ops", 10)] == ["k", "l"]
    newest, _ = await store.log(team="acme", state="fanned-out", limit=10)
    assert (newest.event.name, newest.event.body) == ("queue-broken", b"")


async def test_values_have_the_time_of_their_last_write(store: Store) -> None:
    assert await store.get_value("a") is None
    started = time.time()
    await store.put_value("a", "one")
    await store.put_value("a", "two")
    stored = await store.get_value("a")
    assert stored is not None
    assert stored.value == "two"
    assert started <= stored.at <= time.time()
    assert await store.get_value("b") is None


async def test_a_new_value_replaces_none(store: Store) -> None:
    await asyncio.gather(*(store.put_new_value("a", text) for text in ("one", "two", "three")))
    first = await store.get_value("a")
    assert first is not None
    assert first.value in ("one", "two", "three")
    await store.put_new_value("a", "four")
    assert await store.get_value("a") == first


@sqlite_only
async def test_a_backup_is_complete_and_replaces_no_file(store: Store, tmp_path: Path) -> None:
    await store.accept(event(1))
    copy = tmp_path / "copy.db"
    await store.backup(copy)
    await store.accept(event(2))
    with contextlib.closing(sqlite3.connect(copy)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert connection.execute("SELECT count(*) FROM events").fetchone() == (1,)
    assert copy.stat().st_mode & 0o777 == 0o600
    with pytest.raises(StoreUnusable, match="File exists"):
        await store.backup(copy)
    other = SqliteStore(copy)
    await other.open()
    assert len(await other.stored_events(10)) == 1
    await other.close()


async def test_facts_are_stored_by_team_and_replaced(store: Store) -> None:
    ada, bob = ("person", "1"), ("person", "2")
    for name in ("Ada", "Ada Lovelace"):
        await store.save_fan_out([FanOutResult(0, "acme", "ignored", facts={ada: name})])
    assert await store.facts("acme", [ada, bob]) == {ada: "Ada Lovelace"}
    assert await store.facts("rnd", [ada]) == {}


async def test_prune_deletes_old_events_in_batches_but_none_re_queued(store: Store) -> None:
    for number in range(5):
        await store.accept(event(number, received_at=1000.0 + number))
    await store.accept(event(9))
    ids = [stored.id for stored in await store.stored_events(10)]
    await store.save_fan_out([planned(id_, "queue") for id_ in ids])
    for delivery in await store.waiting_deliveries("queue", 10):
        await store.mark_sent([delivery.id], "")
    (oldest, *_) = (await store.log(team=None, state=None, limit=10))[::-1]
    await store.resend([oldest.deliveries[0].id])
    assert await store.prune(2000.0, 3) == 3
    assert await store.prune(2000.0, 3) == 1
    assert await store.prune(2000.0, 3) == 0
    left = [entry.event.id for entry in await store.log(team=None, state=None, limit=10)]
    assert left == [ids[5], ids[0]]


async def test_an_event_in_state_stored_is_never_pruned(store: Store) -> None:
    await store.accept(event(1, received_at=1.0))
    assert await store.prune(time.time(), 10) == 0
    assert len(await store.stored_events(10)) == 1


async def test_a_reopened_store_has_its_events(path: Path) -> None:
    for _ in range(2):
        store = SqliteStore(path)
        await store.open()
        await store.accept(event(1))
        assert len(await store.stored_events(10)) == 1
        await store.close()


@sqlite_only
async def test_another_process_can_read_and_re_queue_beside_the_service(
    store: Store, path: Path
) -> None:
    delivery_id = await one_delivery(store)
    await store.mark_dead(delivery_id, "x")
    beside = SqliteStore(path)
    await beside.open(service=False)
    assert await beside.resend_dead() == [delivery_id]
    await beside.close()
    assert await store.waiting_queues() == {"queue": 1}


@sqlite_only
async def test_a_second_service_is_refused(store: Store, path: Path) -> None:
    with pytest.raises(StoreUnusable, match="in use by another `relay serve`"):
        await SqliteStore(path).open()


async def test_a_file_that_is_not_a_database_is_refused(path: Path) -> None:
    path.parent.mkdir()
    path.write_bytes(b"this is not a database" * 100)
    with pytest.raises(StoreUnusable, match=r"not a database: store\.url names another file"):
        await SqliteStore(path).open()


@sqlite_only
async def test_a_locked_file_is_unavailable_and_nothing_is_written(
    store: Store, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreUnavailable, match="locked"):
        await store.accept(event(1))
    with pytest.raises(StoreUnavailable):
        await store.probe()
    other.execute("ROLLBACK")
    other.close()
    await store.probe()
    assert await store.stored_events(10) == []


@sqlite_only
async def test_a_corrupt_file_is_unavailable(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise sqlite3.DatabaseError("database disk image is malformed")

    monkeypatch.setattr("relay.store.sqlite.SqliteWriter._work", broken)
    monkeypatch.setattr("relay.store.sqlite._execute", broken)
    with pytest.raises(StoreUnavailable, match="malformed"):
        await store.accept(event(1))
    with pytest.raises(StoreUnavailable, match="malformed"):
        await store.resend([1])
    with pytest.raises(StoreUnavailable, match="malformed"):
        await store.stored_events(1)
    monkeypatch.undo()
    await store.accept(event(1))


async def open_beside(path: Path) -> None:
    for _ in range(20):
        beside = SqliteStore(path)
        with contextlib.suppress(StoreUnusable):
            await beside.open(service=False)
            await beside.close()


async def test_a_store_is_created_while_others_open_it(path: Path) -> None:
    for number in range(10):
        fresh = path.with_name(f"{number}.db")
        service = SqliteStore(fresh)
        async with anyio.create_task_group() as group:
            group.start_soon(open_beside, fresh)
            group.start_soon(open_beside, fresh)
            await service.open()
        await service.close()


@sqlite_only
async def test_a_failing_job_does_not_fail_its_batch(store: Store) -> None:
    async def bad() -> None:
        with pytest.raises(sqlite3.IntegrityError):
            await store.accept(event(1, body=None))

    async with anyio.create_task_group() as group:
        for number in range(2, 9):
            group.start_soon(store.accept, event(number))
        group.start_soon(bad)
        for number in range(9, 20):
            group.start_soon(store.accept, event(number))
    assert len(await store.stored_events(100)) == 18
