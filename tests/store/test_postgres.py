"""PostgreSQL: several replicas on one database, and a database that goes away."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, TypeVar

import asyncpg
import pytest

from relay.store import postgres_leases, store_at
from relay.store.base import (
    FannedOut,
    LeaseLost,
    NewDelivery,
    NewEvent,
    StoreMisfit,
    StoreMissing,
    StoreUnavailable,
)
from relay.store.postgres import PostgresStore
from relay.store.postgres_intake import ACCEPT
from relay.store.postgres_leases import LASTS
from relay.store.postgres_schema import STEPS
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
    (stored,) = await store.stored(1)
    assert await store.lease("fan-out")
    new = [NewDelivery(queue, f"k{number}", "m") for number, queue in enumerate(queues)]
    await store.fanned_out([FannedOut(stored.id, "acme", "fanned-out", "", new)])
    return [delivery.id for queue in queues for delivery in await store.waiting(queue, 9)]


async def stops_beating(store: PostgresStore) -> None:
    """The replica hangs: it gives no sign of life from now on, and its time is over."""
    assert store._leases._beating is not None
    store._leases._beating.cancel()
    async with store._pool.connection() as connection:
        await connection.execute("UPDATE relay.replicas SET expires_at = now()")


async def test_a_lease_is_held_by_one_at_a_time(url: str) -> None:
    async with replica(url) as one, replica(url) as other:
        assert await one.lease("queue:a")
        assert await one.lease("queue:a")
        assert not await other.lease("queue:a")
        assert await other.lease("queue:b")
        await one.release("queue:b")
        assert not await one.lease("queue:b")
        await one.release("queue:a")
        assert await other.lease("queue:a")


async def test_who_ends_leaves_nothing_behind(url: str) -> None:
    async with replica(url) as other:
        async with replica(url) as one:
            assert await one.lease("queue:a")
        assert await other.lease("queue:a")


async def test_the_late_receipt_of_a_replica_that_hung_is_fenced_off(url: str) -> None:
    async with replica(url) as hung, replica(url) as other:
        (delivery,) = await with_delivery(hung, "a")
        assert await hung.lease("queue:a")
        await stops_beating(hung)
        await other._leases._beat()

        assert await other.lease("queue:a")
        assert await other.lease("fan-out")
        for late in (
            hung.sent([delivery], "late"),
            hung.failed(delivery, "late", 0),
            hung.dead(delivery, "late"),
            hung.bundle([delivery], "late"),
            hung.forget_thread("a", "t"),
            hung.fanned_out([FannedOut(1, "acme", "ignored", "late")]),
        ):
            with pytest.raises(LeaseLost):
                await late

        (waiting,) = await other.waiting("a", 9)
        assert (waiting.attempts, waiting.error) == (0, "")
        await other.sent([delivery], "right")
        assert not await hung.lease("queue:a")


async def test_a_lease_is_not_sure_after_a_time_without_signs_of_life(url: str) -> None:
    async with replica(url) as store:
        assert not store.lease_is_sure("queue:a")
        assert await store.lease("queue:a")
        assert store.lease_is_sure("queue:a")
        assert not store.lease_is_sure("queue:b")

        store._leases._alive_at -= LASTS
        assert not store.lease_is_sure("queue:a")
        await store._leases._beat()
        assert not store.lease_is_sure("queue:a")  # another may have had it in between
        assert await store.lease("queue:a")
        await store._leases._beat()
        assert store.lease_is_sure("queue:a")

        await store.release("queue:a")
        assert not store.lease_is_sure("queue:a")


async def test_signs_of_life_go_on_whatever_goes_wrong_with_one(
    url: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(postgres_leases, "BEAT", 0.05)
    async with replica(url) as store:
        beat, faults = store._leases._beat, [asyncpg.UndefinedTableError("x"), KeyError("y")]

        async def fails() -> None:
            if faults:
                raise faults.pop()
            await beat()

        monkeypatch.setattr(store._leases, "_beat", fails)
        begun = time.monotonic()
        while store._leases._alive_at < begun:
            await asyncio.sleep(0.05)
            assert time.monotonic() - begun < 5
        assert faults == []
    assert sum("no sign of life" in text for text in caplog.messages) == 1


async def test_a_queue_that_another_serves_is_not_busy_until_that_one_is_gone(url: str) -> None:
    async with replica(url) as one, replica(url) as other:
        await with_delivery(one, "a", "b")
        assert await one.lease("queue:a")
        assert list(await one.busy_queues()) == ["a", "b"]
        assert list(await other.busy_queues()) == ["b"]
        assert await other.waiting_queues() == {"a": 1, "b": 1}

        await stops_beating(one)
        await other._leases._beat()
        assert list(await other.busy_queues()) == ["a", "b"]


async def test_a_take_over_takes_less_than_ten_seconds(url: str) -> None:
    async with replica(url) as other:
        dead = PostgresStore(url)
        await dead.open()
        assert await dead.lease("queue:a")
        assert dead._leases._beating is not None
        dead._leases._beating.cancel()  # as by kill -9: nothing is given back
        await dead._front.close()
        await dead._pool.close()
        begun = time.monotonic()
        async with asyncio.timeout(10):
            while not await other.lease("queue:a"):  # noqa: ASYNC110 - nobody tells of it
                await asyncio.sleep(0.2)

        assert 2 < time.monotonic() - begun < 8


async def test_a_replica_that_hangs_in_the_middle_of_a_write_lets_go(url: str) -> None:
    async with replica(url) as other, replica(url) as hung:
        (delivery,) = await with_delivery(hung, "a")
        assert await hung.lease("queue:a")

        async def write() -> None:
            async with hung._pool.transaction() as connection:
                await hung._leases.require(connection, "queue:a")
                await stops_beating(hung)
                begun = time.monotonic()
                while not await taken(other, "queue:a"):
                    assert time.monotonic() - begun < 10
                await connection.execute("SELECT 1")

        with pytest.raises(StoreUnavailable):
            await write()
        await other.sent([delivery], "right")


async def taken(store: PostgresStore, name: str) -> bool:
    try:
        return await store.lease(name)
    except StoreUnavailable:
        return False


async def test_an_event_is_fanned_out_once_though_the_answer_was_lost(url: str) -> None:
    async with replica(url) as store:
        (delivery,) = await with_delivery(store, "a")
        again = [NewDelivery("a", "other", "m")]
        await store.fanned_out([FannedOut(1, "acme", "fanned-out", "", again)])

        assert [one.id for one in await store.waiting("a", 9)] == [delivery]


async def test_what_was_answered_is_never_overtaken_whichever_replica_took_it(url: str) -> None:
    """Each Penpot sends one event at a time, through any replica, and several Penpots at once."""
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
                    assert await store.lease("fan-out")
                    while batch := [
                        FannedOut(
                            one.id,
                            one.team,
                            "fanned-out",
                            deliveries=[NewDelivery("a", f"{one.team}/{one.name}", "m")],
                        )
                        for one in await store.stored(8)
                    ]:
                        await store.fanned_out(batch)
                    await store.release("fan-out")

        fanning = asyncio.create_task(fan_out())
        await asyncio.gather(*map(post, range(penpots)))
        ended.set()
        await fanning
        keys = [one.key.split("/") for one in await stores[0].waiting("a", 999)]

    for penpot in range(penpots):
        assert [int(number) for team, number in keys if team == str(penpot)] == list(range(count))


async def test_only_what_was_not_answered_can_be_overtaken(url: str) -> None:
    """A number is given out before its event is committed, so one that hangs there comes late: its
    sender has no answer, and by its own account nothing of it has happened."""
    async with replica(url) as one, replica(url) as other:
        async with one._pool.transaction() as connection:
            await connection.execute(ACCEPT, *([value] for value in event(1)))
            await other.accept(event(2))
            await other.accept(event(3))
            assert [stored.id for stored in await other.stored(9)] == [2, 3]
        assert [stored.id for stored in await other.stored(9)] == [1, 2, 3]


async def test_what_one_stores_wakes_the_others(url: str) -> None:
    events, queues = asyncio.Event(), asyncio.Queue[set[str]]()
    other = PostgresStore(url)
    other.watch(events.set, lambda names: queues.put_nowait(set(names)))
    await other.open()
    async with replica(url) as one, asyncio.timeout(5):
        while not events.is_set():  # it may begin to listen a moment later
            await one.accept(event(int(time.time() * 1000)))
            await asyncio.sleep(0.05)
        await one.announce("acme", "x", [NewDelivery("acme/ops", "k", "m")])
        assert await queues.get() == {"acme/ops"}
    await other.close()


async def test_replicas_that_start_together_make_one_schema(url: str) -> None:
    stores = [PostgresStore(url) for _ in range(4)]
    await asyncio.gather(*(store.open() for store in stores))
    await stores[0].accept(event(1))
    assert [len(await store.stored(9)) for store in stores] == [1, 1, 1, 1]
    await asyncio.gather(*(store.close() for store in stores))


async def test_a_newer_schema_is_refused_and_none_is_made_by_a_look(url: str) -> None:
    with pytest.raises(StoreMissing, match="no store of today's schema"):
        await store_at(url).open(service=False)
    async with replica(url) as store, store._pool.connection() as connection:
        await connection.execute("UPDATE relay.version SET at = $1", len(STEPS) + 1)
    with pytest.raises(StoreMisfit, match="written by a newer Relay"):
        await store_at(url).open()


async def test_connections_that_are_cut_are_made_anew_before_penpot_gives_up(url: str) -> None:
    async with replica(url) as store:
        admin = await asyncpg.connect(url)
        for number in range(20):
            if not number % 5:
                await admin.execute(CUT)
            await store.accept(event(number))
        await admin.close()
        assert len(await again(lambda: store.stored(99))) == 20


async def again(ask: Callable[[], Awaitable[T]]) -> T:
    """An answer by one of the connections that are not cut."""
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
            begun = time.monotonic()
            with pytest.raises(StoreUnavailable):
                await store.accept(event(1))
            assert time.monotonic() - begun < 3.5
        await admin.close()

        await store.accept(event(1))
        assert len(await store.stored(9)) == 1


async def test_a_pool_that_runs_dry_is_unavailable_in_time(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("relay.store.postgres_pool.MOST", 2)
    monkeypatch.setattr("relay.store.postgres_pool.PATIENCE", 0.3)
    async with replica(url) as store:
        async with store._pool.connection(), store._pool.connection():
            with pytest.raises(StoreUnavailable):
                await store.note("x")
        assert await store.note("x") is None


async def test_queues_that_crowd_hold_up_neither_intake_nor_signs_of_life(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("relay.store.postgres_pool.MOST", 1)
    async with replica(url) as store, store._pool.connection():
        begun = time.monotonic()
        await store.accept(event(1))
        await store._leases._beat()
        await store.probe()
        assert time.monotonic() - begun < 1


async def test_who_hands_an_event_over_is_answered_in_time_whatever_happens(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("relay.store.postgres_intake.IN_TIME", 0.5)
    async with replica(url) as store:
        admin = await asyncpg.connect(url)
        async with admin.transaction():
            await admin.execute("LOCK TABLE relay.events")
            begun = time.monotonic()
            answers = await asyncio.gather(
                *(store.accept(event(number)) for number in range(600)), return_exceptions=True
            )
            assert time.monotonic() - begun < 1.5
            assert {type(answer) for answer in answers} == {StoreUnavailable}
        await admin.close()

        await store.accept(event(999))
        names = await store.stored(9999)
        assert 1 <= len(names) <= 257  # what was under way may be kept, what was given up is not


async def test_a_database_that_only_reads_is_unavailable(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("relay.store.postgres_intake.IN_TIME", 0.5)
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


async def test_a_database_that_took_our_rights_is_unavailable(url: str) -> None:
    async with replica(url) as store:
        with pytest.raises(StoreUnavailable, match="InsufficientPrivilegeError"):
            await as_somebody_else(store)


async def as_somebody_else(store: PostgresStore) -> None:
    async with store._pool.transaction() as connection:
        await connection.execute("SET LOCAL ROLE pg_monitor")
        await connection.execute("SELECT FROM relay.events")


async def test_an_answer_means_on_disk_whatever_the_database_is_set_to(url: str) -> None:
    admin = await asyncpg.connect(url)
    database = await admin.fetchval("SELECT current_database()")
    await admin.execute(f"ALTER DATABASE {database} SET synchronous_commit = off")
    await admin.close()
    async with replica(url) as store, store._front.connection() as connection:
        assert await connection.fetchval("SHOW synchronous_commit") == "on"


async def test_an_upgrade_may_take_longer_than_a_statement(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with replica(url) as store:
        await store.accept(event(1))
    monkeypatch.setattr("relay.store.postgres_pool.PATIENCE", 0.5)
    monkeypatch.setattr("relay.store.postgres_schema.STEPS", (*STEPS, "SELECT pg_sleep(1.5)"))
    async with replica(url) as store:
        assert len(await store.stored(9)) == 1


async def test_no_password_is_told(caplog: pytest.LogCaptureFixture) -> None:
    with in_thread(lambda _: Answer(cut=True)) as server:
        port = server.url.rpartition(":")[2]
        for address in (f"127.0.0.1:{port}", "127.0.0.1:1", "no-such-host.invalid"):
            with pytest.raises(StoreMisfit) as caught:
                await store_at(f"postgresql://relay:hunter2@{address}/db").open()
            assert "hunter2" not in str(caught.value) + caplog.text
            assert address in str(caught.value)


async def test_text_that_postgresql_can_not_keep_loses_only_that(url: str) -> None:
    async with replica(url) as store:
        (delivery,) = await with_delivery(store, "a")
        assert await store.lease("queue:a")
        await store.failed(delivery, "a\x00b", 0)
        (found,) = await store.waiting("a", 9)
        assert found.error == "a\ufffdb"


async def test_a_backup_is_another_programs_work(url: str, tmp_path: Any) -> None:
    async with replica(url) as store:
        with pytest.raises(StoreMisfit, match="pg_dump"):
            await store.backup(tmp_path / "copy")
