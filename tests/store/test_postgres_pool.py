"""A database that fails, and what its errors mean."""

import time

import asyncpg
import pytest

from relay.store import store_at
from relay.store.postgres import PostgresStore
from relay.store.records import (
    StoreUnavailable,
    StoreUnusable,
)
from relay.store.schema import POSTGRES_STEPS
from tests.servers.loopback import Answer, in_thread
from tests.store.replicas import CUT, event, replica, retry, with_delivery

pytestmark = pytest.mark.anyio


async def test_cut_connections_are_replaced_within_penpots_timeout(url: str) -> None:
    async with replica(url) as store:
        admin = await asyncpg.connect(url)
        for number in range(20):
            if not number % 5:
                await admin.execute(CUT)
            await store.accept(event(number))
        await admin.close()
        assert len(await retry(lambda: store.stored_events(99))) == 20


async def test_an_exhausted_pool_is_unavailable_in_time(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("relay.store.postgres_pool.MAX_CONNECTIONS", 2)
    monkeypatch.setattr("relay.store.postgres_pool.CONNECTION_TIMEOUT", 0.3)
    async with replica(url) as store:
        async with store.pool.connection(), store.pool.connection():
            with pytest.raises(StoreUnavailable):
                await store.get_value("x")
        assert await store.get_value("x") is None


async def test_busy_queues_delay_neither_intake_nor_heartbeats(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("relay.store.postgres_pool.MAX_CONNECTIONS", 1)
    async with replica(url) as store, store.pool.connection():
        started = time.monotonic()
        await store.accept(event(1))
        await store.leases._heartbeat()
        await store.probe()
        assert time.monotonic() - started < 1


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
    async with store.pool.transaction() as connection:
        await connection.execute("SET LOCAL ROLE pg_monitor")
        await connection.execute("SELECT FROM relay.events")


async def test_commits_are_synchronous_whatever_the_database_setting(url: str) -> None:
    admin = await asyncpg.connect(url)
    database = await admin.fetchval("SELECT current_database()")
    await admin.execute(f"ALTER DATABASE {database} SET synchronous_commit = off")
    await admin.close()
    async with replica(url) as store, store.intake_pool.connection() as connection:
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
