"""Of several replicas one runs the sync; another takes over and sends nothing twice."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
import pytest

from relay.store.postgres import PostgresStore
from tests.penpot.standin import StandIn
from tests.servers.postgres import Postgres
from tests.sync.stage import Clock, Stage, settings
from tests.sync.test_comments import HOUR, MINUTE, NEXT_POLL

pytestmark = pytest.mark.anyio


@asynccontextmanager
async def replica(url: str, penpot: StandIn, clock: Clock, folder: Path) -> AsyncIterator[Stage]:
    store = PostgresStore(url)
    await store.open()
    opened = Stage(settings(penpot.url, folder), penpot, store, clock)
    try:
        yield opened
    finally:
        await opened.close()
        await store.close()


async def test_one_replica_syncs_and_another_takes_over(
    penpot: StandIn, postgres: Postgres, tmp_path: Path
) -> None:
    url, clock = postgres.fresh(), Clock()
    async with replica(url, penpot, clock, tmp_path) as other:
        async with replica(url, penpot, clock, tmp_path) as one:
            one.hook()
            await one.pass_time(MINUTE)
            thread, _ = one.people().begin("first")
            calls = len(penpot.calls)
            await other.pass_time(NEXT_POLL)
            assert len(penpot.calls) == calls  # it has no lease
            await one.pass_time(NEXT_POLL)
            assert [text for _, text in await one.events()] == ["first"]
        one.people().reply(thread, "second")
        await other.pass_time(HOUR)
        assert [text for _, text in await other.events()] == ["first", "second"]


async def test_a_replica_that_lost_the_lease_stores_nothing_and_resets(
    penpot: StandIn, postgres: Postgres, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    url, clock = postgres.fresh(), Clock()
    async with replica(url, penpot, clock, tmp_path) as one:
        one.hook()
        await one.pass_time(MINUTE)
        one.people().begin("first")
        clock.now += HOUR
        connection = await asyncpg.connect(url)
        fetch = one.client._fetch

        async def stolen(*args: object) -> object:
            await connection.execute("UPDATE relay.leases SET owner = 'x' WHERE name = 'sync'")
            return await fetch(*args)  # type: ignore[arg-type]

        one.client._fetch = stolen  # type: ignore[assignment, method-assign]
        await one.pass_time(MINUTE)
        assert await one.bodies() == []
        assert "lease lost: another replica runs the sync" in caplog.messages
        one.client._fetch = fetch  # type: ignore[method-assign]
        await connection.execute("DELETE FROM relay.leases WHERE name = 'sync'")
        await connection.close()
        await one.pass_time(MINUTE)
        assert [text for _, text in await one.events()] == ["first"]
