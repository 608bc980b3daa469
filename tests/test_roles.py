"""Each role does and tells of its own half, and of no other."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

from relay import app
from relay.config import PenpotSettings
from relay.delivery.fanout import FanOut
from relay.role import Role
from relay.store.base import StoreUnavailable
from relay.store.sqlite import SqliteStore
from tests.sync.stage import settings

pytestmark = pytest.mark.anyio


@pytest.fixture(autouse=True)
def _own_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the tests have loaded is not to be left alone for ever."""
    monkeypatch.setattr(app, "leave_what_is_loaded_alone", lambda: None)


@asynccontextmanager
async def running(folder: Path, role: Role) -> AsyncIterator[httpx.AsyncClient]:
    config = settings("", folder, penpot=PenpotSettings(url="https://penpot.example"))
    built = app.build(config, role)
    async with (
        built.router.lifespan_context(built),
        httpx.AsyncClient(
            transport=httpx.ASGITransport(built), base_url="http://relay.example"
        ) as client,
    ):
        yield client


@asynccontextmanager
async def opened(folder: Path) -> AsyncIterator[SqliteStore]:
    store = SqliteStore(folder / "relay.db")
    await store.open()
    try:
        yield store
    finally:
        await store.close()


@pytest.mark.parametrize("role", Role)
async def test_a_store_that_can_not_be_written_is_told_in_each_role(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, role: Role
) -> None:
    async with running(tmp_path, role) as client:
        assert (await client.get("/readyz")).status_code == 200

        async def fails(_: SqliteStore) -> None:
            raise StoreUnavailable("the disk is full")

        with monkeypatch.context() as broken:
            broken.setattr(SqliteStore, "probe", fails)
            answer = await client.get("/readyz")
            assert (answer.status_code, answer.text) == (
                503,
                "the store can't be written: the disk is full\n",
            )
            assert (await client.get("/healthz")).status_code == 200
        assert (await client.get("/readyz")).status_code == 200


@pytest.mark.parametrize("role", Role)
async def test_a_half_that_has_ended_is_told_in_the_roles_that_run_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, role: Role, caplog: pytest.LogCaptureFixture
) -> None:
    async def ends(_: FanOut) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(FanOut, "run", ends)
    async with running(tmp_path, role) as client:
        await asyncio.sleep(0.05)
        answer = await client.get("/readyz")
        told = "fan-out has ended: restart Relay" in caplog.messages

    if role is Role.INTAKE:
        assert (answer.status_code, told) == (200, False)
    else:
        assert (answer.status_code, answer.text) == (503, "not running: fan-out\n")
        assert told


@pytest.mark.parametrize("role", Role)
async def test_who_only_takes_events_leaves_what_the_watch_knows(
    tmp_path: Path, role: Role
) -> None:
    """Its config may have no token, while that of the half that delivers has one."""
    async with opened(tmp_path) as store:
        await store.keep_note("watch/acme", "{}")
    async with running(tmp_path, role):
        pass
    async with opened(tmp_path) as store:
        assert (await store.note("watch/acme") is not None) == (role is Role.INTAKE)
