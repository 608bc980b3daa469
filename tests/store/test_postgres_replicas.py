"""Leases, heartbeats and notifications of replicas."""

import asyncio
import time

import asyncpg
import pytest

from relay.store import postgres_replicas
from relay.store.postgres import PostgresStore
from relay.store.postgres_pool import run
from relay.store.postgres_replicas import LEASE_TTL, PostgresLeases, boot_clock
from relay.store.records import (
    FanOutResult,
    LeaseLost,
    NewDelivery,
    StoreUnavailable,
)
from tests.servers.postgres import Postgres
from tests.store.replicas import event, replica, stop_heartbeats, with_delivery

pytestmark = pytest.mark.anyio


@pytest.fixture(params=["direct", "pooled"])
def url(request: pytest.FixtureRequest, postgres: Postgres) -> str:
    """Of an empty database, also behind a pooler in transaction mode."""
    url = postgres.fresh()
    if request.param == "pooled":
        url = request.getfixturevalue("transaction_pooler")(url)
    return url


async def test_a_lease_is_held_by_one_at_a_time(url: str) -> None:
    async with replica(url) as one, replica(url) as other:
        assert await one.acquire_lease("queue:a")
        assert await one.acquire_lease("queue:a")
        assert not await other.acquire_lease("queue:a")
        assert await other.acquire_lease("queue:b")
        await one.release_lease("queue:b")
        assert not await one.acquire_lease("queue:b")
        await one.release_lease("queue:a")
        assert await other.acquire_lease("queue:a")


async def test_a_closed_store_releases_its_leases(url: str) -> None:
    async with replica(url) as other:
        async with replica(url) as one:
            assert await one.acquire_lease("queue:a")
        assert await other.acquire_lease("queue:a")


async def test_late_writes_of_a_replica_that_lost_its_lease_are_refused(url: str) -> None:
    async with replica(url) as hung, replica(url) as other:
        (delivery,) = await with_delivery(hung, "a")
        assert await hung.acquire_lease("queue:a")
        await stop_heartbeats(hung)
        await other.leases._heartbeat()

        assert await other.acquire_lease("queue:a")
        assert await other.acquire_lease("fan-out")
        for late in (
            hung.mark_sent([delivery], "late"),
            hung.mark_failed(delivery, "late", 0),
            hung.mark_dead(delivery, "late"),
            hung.set_digest([delivery], "late"),
            hung.delete_thread("a", "t"),
            hung.save_fan_out([FanOutResult(1, "acme", "ignored", "late")]),
        ):
            with pytest.raises(LeaseLost):
                await late

        (waiting,) = await other.waiting_deliveries("a", 9)
        assert (waiting.attempts, waiting.error) == (0, "")
        await other.mark_sent([delivery], "right")
        assert not await hung.acquire_lease("queue:a")


async def test_a_lease_is_not_held_after_heartbeats_lapsed(url: str) -> None:
    async with replica(url) as store:
        assert not store.holds_lease("queue:a")
        assert await store.acquire_lease("queue:a")
        assert store.holds_lease("queue:a")
        assert not store.holds_lease("queue:b")

        store.leases._last_heartbeat -= LEASE_TTL
        assert not store.holds_lease("queue:a")
        await store.leases._heartbeat()
        assert not store.holds_lease("queue:a")  # another replica may have held it meanwhile
        assert await store.acquire_lease("queue:a")
        await store.leases._heartbeat()
        assert store.holds_lease("queue:a")

        await store.release_lease("queue:a")
        assert not store.holds_lease("queue:a")


async def test_a_lease_is_not_held_after_the_machine_was_suspended(url: str) -> None:
    suspended = 0.0
    async with replica(url) as store:
        leases = PostgresLeases(store.pool, store.intake_pool, lambda: time.monotonic() + suspended)
        await leases.open()
        assert await leases.acquire("queue:a")
        assert leases.holds("queue:a")
        suspended = LEASE_TTL
        assert not leases.holds("queue:a")
        await leases._heartbeat()
        assert not leases.holds("queue:a")  # another replica may have held it meanwhile
        await leases.close()


def test_the_clock_of_leases_counts_suspension() -> None:
    before = time.clock_gettime(time.CLOCK_BOOTTIME)
    assert before <= boot_clock() <= time.clock_gettime(time.CLOCK_BOOTTIME)


async def test_heartbeats_continue_after_any_error(
    url: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(postgres_replicas, "HEARTBEAT_INTERVAL", 0.05)
    async with replica(url) as store:
        beat, faults = (
            store.leases._heartbeat,
            [asyncpg.UndefinedTableError("x"), KeyError("y")],
        )

        async def fails() -> None:
            if faults:
                raise faults.pop()
            await beat()

        monkeypatch.setattr(store.leases, "_heartbeat", fails)
        started = boot_clock()
        while store.leases._last_heartbeat < started:
            await asyncio.sleep(0.05)
            assert boot_clock() - started < 5
        assert faults == []
    assert sum("heartbeat failed" in text for text in caplog.messages) == 1


async def test_a_queue_of_another_replica_is_not_busy_until_its_lease_expires(url: str) -> None:
    async with replica(url) as one, replica(url) as other:
        await with_delivery(one, "a", "b")
        assert await one.acquire_lease("queue:a")
        assert list(await one.busy_queues()) == ["a", "b"]
        assert list(await other.busy_queues()) == ["b"]
        assert await other.waiting_queues() == {"a": 1, "b": 1}

        await stop_heartbeats(one)
        await other.leases._heartbeat()
        assert list(await other.busy_queues()) == ["a", "b"]


async def test_a_take_over_takes_less_than_ten_seconds(url: str) -> None:
    async with replica(url) as other:
        dead = PostgresStore(url)
        await dead.open()
        assert await dead.acquire_lease("queue:a")
        assert dead.leases._heartbeat_task is not None
        dead.leases._heartbeat_task.cancel()  # as by kill -9: no lease is released
        await dead.intake_pool.close()
        await dead.pool.close()
        started = time.monotonic()
        async with asyncio.timeout(10):
            while not await other.acquire_lease("queue:a"):  # noqa: ASYNC110 - there is no notification of it
                await asyncio.sleep(0.2)

        assert 2 < time.monotonic() - started < 8


async def test_a_replica_that_hangs_during_a_write_releases_its_locks(url: str) -> None:
    async with replica(url) as other, replica(url) as hung:
        (delivery,) = await with_delivery(hung, "a")
        assert await hung.acquire_lease("queue:a")

        async def write() -> None:
            async with hung.pool.transaction() as connection:
                await run(connection, hung.require_lease("queue:a"))
                await stop_heartbeats(hung)
                started = time.monotonic()
                while not await acquired(other, "queue:a"):
                    assert time.monotonic() - started < 10
                await connection.execute("SELECT 1")

        with pytest.raises(StoreUnavailable):
            await write()
        await other.mark_sent([delivery], "right")


async def acquired(store: PostgresStore, name: str) -> bool:
    try:
        return await store.acquire_lease(name)
    except StoreUnavailable:
        return False


@pytest.mark.parametrize("url", ["direct"], indirect=True)
async def test_replicas_notify_each_other(url: str) -> None:
    events, queues = asyncio.Event(), asyncio.Queue[set[str]]()
    other = PostgresStore(url)
    other.listen(events.set, lambda names: queues.put_nowait(set(names)))
    await other.open()
    async with replica(url) as one, asyncio.timeout(5):
        while not events.is_set():  # the listener may connect a moment later
            await one.accept(event(int(time.time() * 1000)))
            await asyncio.sleep(0.05)
        await one.announce("acme", "x", [NewDelivery("acme/ops", "k", "m")])
        assert await queues.get() == {"acme/ops"}
    await other.close()


@pytest.mark.parametrize("url", ["pooled"], indirect=True)
async def test_behind_a_pooler_replicas_poll_for_events_of_others(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres_replicas, "CHANGE_POLL_INTERVAL", 0.05)
    polled = asyncio.Event()
    other = PostgresStore(url)
    other.listen(polled.set, lambda _: None)
    await other.open()
    async with replica(url) as one, asyncio.timeout(20):
        await polled.wait()
        for number in range(3):  # also after an error
            await one.accept(event(number))
            await polled.wait()
            await asyncio.sleep(0.2)
            polled.clear()
            await asyncio.sleep(0.2)
            assert not polled.is_set()  # nothing changed
            async with one.pool.connection() as connection:
                await connection.execute("ALTER TABLE relay.events RENAME TO elsewhere")
            await asyncio.sleep(0.1)
            async with one.pool.connection() as connection:
                await connection.execute("ALTER TABLE relay.elsewhere RENAME TO events")
    await other.close()
