"""Each role runs and reports only its own tasks; routes, and what is set for the process."""

import asyncio
import gc
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

from relay import app
from relay.config.settings import PenpotSettings, Role
from relay.delivery.fanout import FanOut
from relay.store.records import StoreUnavailable
from relay.store.sqlite import SqliteStore
from tests.sync.stage import settings

pytestmark = pytest.mark.anyio
tune_process = app.tune_process
PYTHONS_SWITCH_INTERVAL = sys.getswitchinterval()


@pytest.fixture(autouse=True)
def _untuned(monkeypatch: pytest.MonkeyPatch) -> None:
    """Do not freeze the tests' objects, nor change how their threads run."""
    monkeypatch.setattr(app, "tune_process", lambda: None)


@asynccontextmanager
async def running(folder: Path, role: Role) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the admin listener; ``hook`` in its URL is the host of the other."""
    config = settings("", folder, penpot=PenpotSettings(url="https://penpot.example"))
    built = app.build(config, role)
    async with (
        built.hook.router.lifespan_context(built.hook),
        httpx.AsyncClient(
            transport=httpx.ASGITransport(built.admin),
            mounts={"http://hook": httpx.ASGITransport(built.hook)},
            base_url="http://relay.example",
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
async def test_an_unwritable_store_is_reported_in_each_role(
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
async def test_an_ended_task_is_reported_in_the_roles_that_run_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, role: Role, caplog: pytest.LogCaptureFixture
) -> None:
    async def ends(_: FanOut) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(FanOut, "run", ends)
    async with running(tmp_path, role) as client:
        await asyncio.sleep(0.05)
        answer = await client.get("/readyz")
        is_reported = "fan-out has ended: restart Relay" in caplog.messages

    if role is Role.INTAKE:
        assert (answer.status_code, is_reported) == (200, False)
    else:
        assert (answer.status_code, answer.text) == (503, "not running: fan-out\n")
        assert is_reported


@pytest.mark.parametrize("role", Role)
async def test_role_intake_keeps_the_sync_state(tmp_path: Path, role: Role) -> None:
    """Its config may lack the token that the delivering replicas have."""
    async with opened(tmp_path) as store:
        await store.put_value("sync/acme", "{}")
    async with running(tmp_path, role):
        pass
    async with opened(tmp_path) as store:
        assert (await store.get_value("sync/acme") is not None) == (role is Role.INTAKE)


async def test_a_hook_with_a_slash_at_its_end_is_not_redirected(tmp_path: Path) -> None:
    """The location of a redirect would repeat the secret."""
    async with running(tmp_path, Role.ALL) as client:
        answer = await client.post("http://hook/hooks/acme/a-secret-of-24-characters/")
        text = (await client.get("/metrics")).text
    assert (answer.status_code, "location" in answer.headers) == (404, False)
    assert "relay_events_total" in text


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
@pytest.mark.parametrize("path", ["/", "/metrics", "/readyz", "/inspector", "/inspector/login"])
async def test_the_hooks_listener_serves_hooks_and_its_health_only(
    tmp_path: Path, method: str, path: str
) -> None:
    async with running(tmp_path, Role.ALL) as client:
        assert (await client.request(method, f"http://hook{path}")).status_code == 404
        assert (await client.get("http://hook/healthz")).text == "ok\n"


def test_collections_do_not_walk_what_exists_at_the_start() -> None:
    try:
        tune_process()
        assert gc.get_freeze_count() > 10_000
    finally:
        gc.unfreeze()
        sys.setswitchinterval(PYTHONS_SWITCH_INTERVAL)


def test_threads_are_switched_sooner_than_by_default() -> None:
    """A thread that converts a message keeps the event loop waiting for one interval."""
    try:
        tune_process()
        assert sys.getswitchinterval() == pytest.approx(PYTHONS_SWITCH_INTERVAL / 5)
    finally:
        gc.unfreeze()
        sys.setswitchinterval(PYTHONS_SWITCH_INTERVAL)
