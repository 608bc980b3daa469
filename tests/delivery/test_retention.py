"""Retention on a real store."""

import asyncio
import time
from pathlib import Path

import pytest

from relay.delivery import retention as housekeeping_module
from relay.delivery.retention import GRACE_SECONDS, Retention
from relay.store.records import NewEvent
from relay.store.sqlite import SqliteStore

pytestmark = pytest.mark.anyio


async def test_old_events_are_deleted_after_the_grace_time_if_the_clock_is_trusted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(housekeeping_module, "PRUNE_INTERVAL", 0.01)
    store = SqliteStore(tmp_path / "relay.db")
    await store.open()
    retention, trusted = 50_000.0, False
    for number, age in enumerate((0.0, retention + 10, retention + GRACE_SECONDS + 10)):
        event = NewEvent("acme", "", b"", bytes([number]), f"{number}", "unreadable")
        await store.accept(event._replace(received_at=time.time() - age))

    async def kept() -> list[str]:
        entries = await store.log(team=None, state=None, limit=10)
        return [entry.event.name for entry in reversed(entries)]

    task = Retention(store, retention, lambda: trusted)
    running = asyncio.create_task(task.run())
    await asyncio.sleep(0.1)
    assert await kept() == ["0", "1", "2"]
    trusted = True
    await asyncio.sleep(0.3)
    assert await kept() == ["0", "1"]
    task.stop()
    await running
    await store.close()


async def test_the_space_of_deleted_events_is_returned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(housekeeping_module, "BATCH_DELAY", 0.001)
    store = SqliteStore(tmp_path / "relay.db")
    await store.open()
    for number in range(8):
        body = b"x" * 2_000_000
        await store.accept(NewEvent("acme", "", body, bytes([number]), f"{number}", "unreadable"))
    task = Retention(store, 50.0)
    running = asyncio.create_task(task.run())
    async with asyncio.timeout(60):
        while (await store.fetch("PRAGMA page_count"))[0][0] > 500:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    task.stop()
    await running
    await store.close()
    assert (tmp_path / "relay.db").stat().st_size < 2_000_000
