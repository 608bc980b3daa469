"""Housekeeping, on a real store."""

import asyncio
import time
from pathlib import Path

import pytest

from relay.delivery import housekeeping as housekeeping_module
from relay.delivery.housekeeping import LATER, Retention
from relay.store.base import NewEvent
from relay.store.sqlite import SqliteStore

pytestmark = pytest.mark.anyio


async def test_what_is_old_goes_a_while_after_the_queues_told_of_it_and_if_the_clock_is_right(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(housekeeping_module, "EVERY", 0.01)
    store = SqliteStore(tmp_path / "relay.db")
    await store.open()
    retention, sure = 50.0, False
    for number, age in enumerate((0.0, retention + 10, retention + LATER + 10)):
        event = NewEvent("acme", "", b"", bytes([number]), f"{number}", "ignored")
        await store.accept(event._replace(received_at=time.time() - age))

    async def kept() -> list[str]:
        entries = await store.log(team=None, state=None, limit=10)
        return [entry.event.name for entry in reversed(entries)]

    housekeeping = Retention(store, retention, lambda: sure)
    running = asyncio.create_task(housekeeping.run())
    await asyncio.sleep(0.1)
    assert await kept() == ["0", "1", "2"]
    sure = True
    await asyncio.sleep(0.3)
    assert await kept() == ["0", "1"]
    housekeeping.stop()
    await running
    await store.close()
