"""PostgreSQL: intake, and several replicas on one database."""

import asyncio
import time
from contextlib import AsyncExitStack
from typing import Any

import asyncpg
import pytest

from relay.store import store_at
from relay.store.engine import INSERT_EVENTS_SQL
from relay.store.postgres import PostgresStore
from relay.store.records import (
    FanOutResult,
    NewDelivery,
    StoreMissing,
    StoreUnavailable,
    StoreUnusable,
)
from relay.store.schema import POSTGRES_STEPS
from tests.store.replicas import event, replica

pytestmark = pytest.mark.anyio


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
        async with one.pool.transaction() as connection:
            await connection.execute(INSERT_EVENTS_SQL, *([value] for value in event(1)))
            await other.accept(event(2))
            await other.accept(event(3))
            assert [stored.id for stored in await other.stored_events(9)] == [2, 3]
        assert [stored.id for stored in await other.stored_events(9)] == [1, 2, 3]


async def test_replicas_that_start_together_create_one_schema(url: str) -> None:
    stores = [PostgresStore(url) for _ in range(4)]
    await asyncio.gather(*(store.open() for store in stores))
    await stores[0].accept(event(1))
    assert [len(await store.stored_events(9)) for store in stores] == [1, 1, 1, 1]
    await asyncio.gather(*(store.close() for store in stores))


async def test_a_newer_schema_is_refused_and_a_command_creates_none(url: str) -> None:
    with pytest.raises(StoreMissing, match="no store of this schema"):
        await store_at(url).open(service=False)
    async with replica(url) as store, store.pool.connection() as connection:
        sql = "INSERT INTO relay.schema_steps VALUES ($1, 'x')"
        await connection.execute(sql, len(POSTGRES_STEPS) + 1)
    with pytest.raises(StoreUnusable, match="written by a newer Relay"):
        await store_at(url).open()


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


async def test_backup_refers_to_pg_dump(url: str, tmp_path: Any) -> None:
    async with replica(url) as store:
        with pytest.raises(StoreUnusable, match="pg_dump"):
            await store.backup(tmp_path / "copy")
