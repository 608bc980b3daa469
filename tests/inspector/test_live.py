"""The live list's event stream, without a browser."""

import time

import pytest
from starlette.requests import Request

from relay.config.settings import Config
from relay.inspector import live
from relay.inspector.feed import ChangeFeed
from relay.inspector.pages import InspectorContext, Viewer
from relay.messages.templates import Templates
from relay.store.records import FanOutResult, NewDelivery, NewEvent
from relay.store.sqlite import SqliteStore

pytestmark = pytest.mark.anyio


def _event(digest: bytes) -> NewEvent:
    return NewEvent(
        "acme", "application/json", b"{}", digest, "create-file", "stored", "", time.time()
    )


def _list(store: SqliteStore, query: str) -> live.LiveList:
    config = Config.model_validate({"teams": {"acme": {"secret": "x" * 24}}})
    scope = {
        "type": "http",
        "headers": [],
        "query_string": query.encode(),
        "inspector": InspectorContext(config, store, Templates(), ChangeFeed(), lambda _: None),
        "viewer": Viewer(None, ("acme",), "token"),
    }
    return live.LiveList(Request(scope))


async def test_a_change_by_another_replica_is_sent_once_with_the_next_keep_alive(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "KEEPALIVE_INTERVAL", 0.02)
    await store.accept(_event(b"d"))
    waiting = FanOutResult(1, "acme", "fanned-out", "", [NewDelivery("acme/log", "k", "{}")])
    await store.save_fan_out([waiting])
    stream = _list(store, "open=1").stream()
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
        await store.accept(_event(str(number).encode()))
    for query, gap in (("seen=1", True), ("after=1", False), ("seen=30", False)):
        stream = _list(store, query).stream()
        updates = [await anext(stream) for _ in range(3)]
        assert any(update.startswith("event: more") for update in updates) is gap
        await stream.aclose()
