"""PostgreSQL: several replicas on one database, and a database that fails."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, TypeVar

import asyncpg
import pytest

from relay.store import postgres_replicas, store_at
from relay.store.engine import INSERT_ALL_EVENTS_SQL
from relay.store.postgres import PostgresStore
from relay.store.postgres_pool import run
from relay.store.postgres_replicas import LEASE_TTL
from relay.store.records import (
    FanOutResult,
    LeaseLost,
    NewDelivery,
    NewEvent,
    StoreMissing,
    StoreUnavailable,
    StoreUnusable,
)
from relay.store.schema import POSTGRES_STEPS
from tests.servers.loopback import Answer, in_thread
from tests.servers.postgres import Postgres

T = TypeVar("T")

pytestmark = pytest.mark.anyio
CUT = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
    " WHERE application_name = 'relay' AND datname = current_database()"
)


@pytest.fixture
def url(postgres: Postgres) -> str:
    return postgres.fresh()


@asynccontextmanager
async def replica(url: str) -> AsyncIterator[PostgresStore]:
    store = PostgresStore(url)
    await store.open()
    try:
        yield store
    finally:
        await store.close()


def event(number: int, **changes: Any) -> NewEvent:
    digest = number.to_bytes(24, "big")
    fields = {"team": "acme", "content_type": "c", "body": b"b", "digest": digest, "name": "n"}
    return NewEvent(**(fields | {"received_at": time.time()} | changes))


async def with_delivery(store: PostgresStore, *queues: str) -> list[int]:
    await store.accept(event(1))
    (stored,) = await store.stored_events(1)
    assert await store.acquire_lease("fan-out")
    new = [NewDelivery(queue, f"k{number}", "m") for number, queue in enumerate(queues)]
    await store.save_fan_out([FanOutResult(stored.id, "acme", "fanned-out", "", new)])
    return [
        delivery.id for queue in queues for delivery in await store.waiting_deliveries(queue, 9)
    ]


async def stop_heartbeats(store: PostgresStore) -> None:
    """The replica hangs: its heartbeats end and its leases expire."""
    assert store.engine.leases._heartbeat_task is not None
    store.engine.leases._heartbeat_task.cancel()
    async with store.engine.pool.connection() as connection:
        await connection.execute("UPDATE relay.replicas SET expires_at = now()")


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
        await other.engine.leases._heartbeat()

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

        store.engine.leases._last_heartbeat -= LEASE_TTL
        assert not store.holds_lease("queue:a")
        await store.engine.leases._heartbeat()
        assert not store.holds_lease("queue:a")  # another replica may have held it meanwhile
        assert await store.acquire_lease("queue:a")
        await store.engine.leases._heartbeat()
        assert store.holds_lease("queue:a")

        await store.release_lease("queue:a")
        assert not store.holds_lease("queue:a")


async def test_heartbeats_continue_after_any_error(
    url: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(postgres_replicas, "HEARTBEAT_INTERVAL", 0.05)
    async with replica(url) as store:
        beat, faults = (
            store.engine.leases._heartbeat,
            [asyncpg.UndefinedTableError("x"), KeyError("y")],
        )

        async def fails() -> None:
            if faults:
                raise faults.pop()
            await beat()

        monkeypatch.setattr(store.engine.leases, "_heartbeat", fails)
        started = time.monotonic()
        while store.engine.leases._last_heartbeat < started:
            await asyncio.sleep(0.05)
            assert time.monotonic() - started < 5
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
        await other.engine.leases._heartbeat()
        assert list(await other.busy_queues()) == ["a", "b"]


async def test_a_take_over_takes_less_than_ten_seconds(url: str) -> None:
    async with replica(url) as other:
        dead = PostgresStore(url)
        await dead.open()
        assert await dead.acquire_lease("queue:a")
        assert dead.engine.leases._heartbeat_task is not None
        dead.engine.leases._heartbeat_task.cancel()  # as by kill -9: no lease is released
        await dead.engine.intake_pool.close()
        await dead.engine.pool.close()
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
            async with hung.engine.pool.transaction() as connection:
                await run(connection, hung.engine.require_lease("queue:a"))
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


async def test_accepted_events_keep_their_order_across_replicas(url: str) -> None:
    """Several Penpots send concurrently; each sends one event at a time, to any replica."""
    penpots, count = 6, 40
    async with AsyncExitStack() as stack:
        stores = [await stack.enter_async_context(replica(url)) for _ in range(3)]
        ended = asyncio.Event()

        async def post(penpot: int) -> None:
            for number in range(count):
                digest = (penpot * count + number).to_bytes(24, "big")
                store = stores[(penpot + number * 7) % 3]
                await store.accept(event(0, digest=digest, team=str(penpot), name=str(number)))

        async def fan_out() -> None:
            last = False
            while not last:
                last = ended.is_set()
                for store in stores:
                    assert await store.acquire_lease("fan-out")
                    while batch := [
                        FanOutResult(
                            one.id,
                            one.team,
                            "fanned-out",
                            deliveries=[NewDelivery("a", f"{one.team}/{one.name}", "m")],
                        )
                        for one in await store.stored_events(8)
                    ]:
                        await store.save_fan_out(batch)
                    await store.release_lease("fan-out")

        fanning = asyncio.create_task(fan_out())
        await asyncio.gather(*map(post, range(penpots)))
        ended.set()
        await fanning
        keys = [one.key.split("/") for one in await stores[0].waiting_deliveries("a", 999)]

    for penpot in range(penpots):
        assert [int(number) for team, number in keys if team == str(penpot)] == list(range(count))


async def test_only_an_event_without_an_answer_can_be_overtaken(url: str) -> None:
    """PostgreSQL assigns an id before the commit. An event whose commit is delayed gets a smaller
    id than events that were accepted before it, but its sender has no answer yet."""
    async with replica(url) as one, replica(url) as other:
        async with one.engine.pool.transaction() as connection:
            await connection.execute(INSERT_ALL_EVENTS_SQL, *([value] for value in event(1)))
            await other.accept(event(2))
            await other.accept(event(3))
            assert [stored.id for stored in await other.stored_events(9)] == [2, 3]
        assert [stored.id for stored in await other.stored_events(9)] == [1, 2, 3]


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


async def test_replicas_that_start_together_create_one_schema(url: str) -> None:
    stores = [PostgresStore(url) for _ in range(4)]
    await asyncio.gather(*(store.open() for store in stores))
    await stores[0].accept(event(1))
    assert [len(await store.stored_events(9)) for store in stores] == [1, 1, 1, 1]
    await asyncio.gather(*(store.close() for store in stores))


async def test_a_newer_schema_is_refused_and_a_command_creates_none(url: str) -> None:
    with pytest.raises(StoreMissing, match="no store of this schema"):
        await store_at(url).open(service=False)
    async with replica(url) as store, store.engine.pool.connection() as connection:
        sql = "INSERT INTO relay.schema_steps VALUES ($1, 'x')"
        await connection.execute(sql, len(POSTGRES_STEPS) + 1)
    with pytest.raises(StoreUnusable, match="written by a newer Relay"):
        await store_at(url).open()


async def test_cut_connections_are_replaced_within_penpots_timeout(url: str) -> None:
    async with replica(url) as store:
        admin = await asyncpg.connect(url)
        for number in range(20):
            if not number % 5:
                await admin.execute(CUT)
            await store.accept(event(number))
        await admin.close()
        assert len(await retry(lambda: store.stored_events(99))) == 20


async def retry(ask: Callable[[], Awaitable[T]]) -> T:
    """Retry until a connection works."""
    while True:
        try:
            return await ask()
        except StoreUnavailable:
            await asyncio.sleep(0.05)


async def test_a_database_that_hangs_is_unavailable_in_time(url: str) -> None:
    async with replica(url) as store:
        admin = await asyncpg.connect(url)
        async with admin.transaction():
            await admin.execute("LOCK TABLE relay.events")
            started = time.monotonic()
            with pytest.raises(StoreUnavailable):
                await store.accept(event(1))
            assert time.monotonic() - started < 3.5
        await admin.close()

        await store.accept(event(1))
        assert len(await store.stored_events(9)) == 1


async def test_an_exhausted_pool_is_unavailable_in_time(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("relay.store.postgres_pool.MAX_CONNECTIONS", 2)
    monkeypatch.setattr("relay.store.postgres_pool.CONNECTION_TIMEOUT", 0.3)
    async with replica(url) as store:
        async with store.engine.pool.connection(), store.engine.pool.connection():
            with pytest.raises(StoreUnavailable):
                await store.get_value("x")
        assert await store.get_value("x") is None


async def test_busy_queues_delay_neither_intake_nor_heartbeats(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("relay.store.postgres_pool.MAX_CONNECTIONS", 1)
    async with replica(url) as store, store.engine.pool.connection():
        started = time.monotonic()
        await store.accept(event(1))
        await store.engine.leases._heartbeat()
        await store.probe()
        assert time.monotonic() - started < 1


async def test_accept_returns_in_time_while_the_database_hangs(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("relay.store.postgres.ACCEPT_TIMEOUT", 0.5)
    async with replica(url) as store:
        admin = await asyncpg.connect(url)
        async with admin.transaction():
            await admin.execute("LOCK TABLE relay.events")
            started = time.monotonic()
            answers = await asyncio.gather(
                *(store.accept(event(number)) for number in range(600)), return_exceptions=True
            )
            assert time.monotonic() - started < 1.5
            assert {type(answer) for answer in answers} == {StoreUnavailable}
        await admin.close()

        await store.accept(event(999))
        names = await store.stored_events(9999)
        assert 1 <= len(names) <= 257  # at most the batch in progress may be stored


async def test_a_read_only_database_is_unavailable(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("relay.store.postgres.ACCEPT_TIMEOUT", 0.5)
    async with replica(url) as store:
        admin = await asyncpg.connect(url)
        database = await admin.fetchval("SELECT current_database()")
        await admin.execute(f"ALTER DATABASE {database} SET default_transaction_read_only = on")
        await admin.execute(CUT)
        with pytest.raises(StoreUnavailable, match="ReadOnlySQLTransactionError"):
            await store.accept(event(1))
        await admin.execute("SET default_transaction_read_only = off")
        await admin.execute(f"ALTER DATABASE {database} RESET default_transaction_read_only")
        await admin.execute(CUT)
        await admin.close()
        await store.accept(event(2))


async def test_missing_privileges_are_unavailable(url: str) -> None:
    async with replica(url) as store:
        with pytest.raises(StoreUnavailable, match="InsufficientPrivilegeError"):
            await as_another_role(store)


async def as_another_role(store: PostgresStore) -> None:
    async with store.engine.pool.transaction() as connection:
        await connection.execute("SET LOCAL ROLE pg_monitor")
        await connection.execute("SELECT FROM relay.events")


async def test_commits_are_synchronous_whatever_the_database_setting(url: str) -> None:
    admin = await asyncpg.connect(url)
    database = await admin.fetchval("SELECT current_database()")
    await admin.execute(f"ALTER DATABASE {database} SET synchronous_commit = off")
    await admin.close()
    async with replica(url) as store, store.engine.intake_pool.connection() as connection:
        assert await connection.fetchval("SHOW synchronous_commit") == "on"


async def test_an_upgrade_may_exceed_the_statement_timeout(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with replica(url) as store:
        await store.accept(event(1))
    monkeypatch.setattr("relay.store.postgres_pool.CONNECTION_TIMEOUT", 0.5)
    monkeypatch.setattr(
        "relay.store.schema.POSTGRES_STEPS", (*POSTGRES_STEPS, "SELECT pg_sleep(1.5)")
    )
    async with replica(url) as store:
        assert len(await store.stored_events(9)) == 1


async def test_no_error_contains_the_password(caplog: pytest.LogCaptureFixture) -> None:
    with in_thread(lambda _: Answer(cut=True)) as server:
        port = server.url.rpartition(":")[2]
        for address in (f"127.0.0.1:{port}", "127.0.0.1:1", "no-such-host.invalid"):
            with pytest.raises(StoreUnusable) as caught:
                await store_at(f"postgresql://relay:hunter2@{address}/db").open()
            assert "hunter2" not in str(caught.value) + caplog.text
            assert address in str(caught.value)


async def test_nul_characters_are_replaced(url: str) -> None:
    async with replica(url) as store:
        (delivery,) = await with_delivery(store, "a")
        assert await store.acquire_lease("queue:a")
        await store.mark_failed(delivery, "a\x00b", 0)
        (waiting,) = await store.waiting_deliveries("a", 9)
        assert waiting.error == "a\ufffdb"


async def test_backup_refers_to_pg_dump(url: str, tmp_path: Any) -> None:
    async with replica(url) as store:
        with pytest.raises(StoreUnusable, match="pg_dump"):
            await store.backup(tmp_path / "copy")
