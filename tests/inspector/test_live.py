"""The live list's event stream, without a browser."""

import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from relay.config.settings import Config
from relay.delivery.feed import ChangeFeed
from relay.inspector import live
from relay.inspector.pages import InspectorContext
from relay.messages.templates import Templates
from relay.metrics import Metrics
from relay.store.queries import EventFilters
from relay.store.records import FanOutResult, NewDelivery, NewEvent
from relay.store.sqlite import SqliteStore

pytestmark = pytest.mark.anyio


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    store = SqliteStore(tmp_path / "relay.db")
    await store.open()
    yield store
    await store.close()


async def test_a_change_by_another_replica_is_sent_once_with_the_next_keep_alive(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "KEEPALIVE_INTERVAL", 0.02)
    event = NewEvent(
        "acme", "application/json", b"{}", b"d", "create-file", "stored", "", time.time()
    )
    await store.accept(event)
    waiting = FanOutResult(1, "acme", "fanned-out", "", [NewDelivery("acme/log", "k", "{}")])
    await store.save_fan_out([waiting])
    config = Config.model_validate({"teams": {"acme": {"secret": "x" * 24}}})
    inspector = InspectorContext(
        config, store, Templates(), Metrics(), ChangeFeed(), lambda _: None
    )
    stream = live._stream(
        inspector, None, EventFilters(), 0, {1}, with_team=False, is_complete=False
    )
    assert (await anext(stream)).startswith("retry")
    assert "waiting" in await anext(stream)
    assert [await anext(stream) for _ in range(3)] == [": keep-alive\n\n"] * 3
    await store.mark_sent([1], "receipt", seconds=0.1)
    updates = [await anext(stream) for _ in range(5)]
    assert [" sent<" in update for update in updates].count(True) == 1
    await stream.aclose()


async def test_a_gap_is_reported_after_a_lost_connection_but_not_on_the_first(
    store: SqliteStore,
) -> None:
    for number in range(60):
        digest = str(number).encode()
        event = NewEvent(
            "acme", "application/json", b"{}", digest, "create-file", "stored", "", time.time()
        )
        await store.accept(event)
    config = Config.model_validate({"teams": {"acme": {"secret": "x" * 24}}})
    inspector = InspectorContext(
        config, store, Templates(), Metrics(), ChangeFeed(), lambda _: None
    )
    for seen, is_complete, gap in ((1, True, True), (1, False, False), (30, True, False)):
        stream = live._stream(inspector, None, EventFilters(), seen, set(), False, is_complete)
        updates = [await anext(stream) for _ in range(3)]
        assert any(update.startswith("event: more") for update in updates) is gap
        await stream.aclose()
