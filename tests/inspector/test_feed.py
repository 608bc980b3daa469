"""The change feed of the inspector's live pages."""

import asyncio
import time
from collections.abc import Iterator

import pytest

import relay.inspector.feed
from relay.inspector.feed import (
    LOAD_FACTOR,
    MAX_CHANGES,
    MAX_LISTENERS,
    MAX_UPDATE_INTERVAL,
    MIN_UPDATE_INTERVAL,
    ChangeFeed,
    Listener,
    TooManyListeners,
)

pytestmark = pytest.mark.anyio


async def test_a_listener_gets_the_changes_since_its_last_update() -> None:
    feed = ChangeFeed()
    with feed.listen() as listener:
        feed.changed([1, 2])
        feed.changed([2, 3])
        assert await listener.wait(1) == {1, 2, 3}
        feed.changed()
        assert await listener.wait(1) == set()
        assert await listener.wait(0.01) is None


async def test_changes_are_combined_into_four_updates_a_second() -> None:
    feed = ChangeFeed()
    with feed.listen() as listener:
        feed.changed([1])
        assert await listener.wait(1) == {1}
        started = time.monotonic()
        feed.changed([2])
        asyncio.get_running_loop().call_later(MIN_UPDATE_INTERVAL / 2, feed.changed, [3])
        assert await listener.wait(1) == {2, 3}
        assert time.monotonic() - started >= MIN_UPDATE_INTERVAL * 0.9


async def _second_update(feed: ChangeFeed, listener: Listener, *, first: int, took: float) -> float:
    """Seconds until the second update, when the first has ``first`` changes and takes ``took``."""
    feed.changed(range(first))
    await listener.wait(1)
    started = time.monotonic()
    time.sleep(took)  # noqa: ASYNC251 - the work of an update
    feed.changed([first])
    assert await listener.wait(1) == {first}
    return time.monotonic() - started


async def test_the_interval_grows_with_the_update_time_and_the_listeners(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(relay.inspector.feed, "MAX_UPDATE_INTERVAL", 3600.0)
    feed = ChangeFeed()
    with feed.listen() as listener, feed.listen():
        async with asyncio.timeout(60):  # ample on a slow machine
            pause = await _second_update(feed, listener, first=MAX_CHANGES, took=0.01)
        assert pause >= 0.01 * LOAD_FACTOR * 2


async def test_the_interval_has_a_maximum(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relay.inspector.feed, "MAX_UPDATE_INTERVAL", 0.4)
    feed = ChangeFeed()
    with feed.listen() as listener:
        pause = await _second_update(feed, listener, first=MAX_CHANGES, took=0.2)
        assert 0.4 <= pause < 0.2 * LOAD_FACTOR


async def test_few_changes_are_reported_soon_after_a_slow_update() -> None:
    feed = ChangeFeed()
    with feed.listen() as listener:
        assert await _second_update(feed, listener, first=2, took=0.2) < MAX_UPDATE_INTERVAL


async def test_without_listeners_nothing_is_read() -> None:
    def ids() -> Iterator[int]:
        pytest.fail("asked for what changed")
        yield 1

    feed = ChangeFeed()
    feed.changed(ids())
    with feed.listen() as listener:
        pass
    feed.changed(ids())
    assert await listener.wait(0.01) is None


async def test_changes_and_listeners_are_bounded() -> None:
    feed = ChangeFeed()
    with feed.listen() as listener:
        for number in range(3 * MAX_CHANGES):
            feed.changed([number])
        ids = await listener.wait(1)
        assert ids is not None
        assert len(ids) <= MAX_CHANGES
    listening = [feed.listen() for _ in range(MAX_LISTENERS)]
    for context in listening:
        context.__enter__()
    with pytest.raises(TooManyListeners), feed.listen():
        pass


async def test_close_wakes_all_listeners() -> None:
    feed = ChangeFeed()
    with feed.listen() as listener:
        waiting = asyncio.create_task(listener.wait(10))
        await asyncio.sleep(0)
        feed.close()
        async with asyncio.timeout(10):
            await waiting
        assert listener.is_over
