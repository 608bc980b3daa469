"""The feed tells who looks what changed, and costs nothing while nobody does."""

import asyncio
import time
from collections.abc import Iterator

import pytest

import relay.delivery.feed
from relay.delivery.feed import (
    LISTENERS,
    MOST,
    PACE,
    PAUSE,
    SHARE,
    ChangeFeed,
    Listener,
    TooManyListeners,
)

pytestmark = pytest.mark.anyio


async def test_a_listener_hears_what_changed_since_the_last_time() -> None:
    feed = ChangeFeed()
    with feed.listen() as listener:
        feed.changed([1, 2])
        feed.changed([2, 3])
        assert await listener.wait(1) == {1, 2, 3}
        feed.changed()
        assert await listener.wait(1) == set()
        assert await listener.wait(0.01) is None


async def test_tidings_are_put_together_four_times_a_second() -> None:
    feed = ChangeFeed()
    with feed.listen() as listener:
        feed.changed([1])
        assert await listener.wait(1) == {1}
        started = time.monotonic()
        feed.changed([2])
        asyncio.get_running_loop().call_later(PACE / 2, feed.changed, [3])
        assert await listener.wait(1) == {2, 3}
        assert time.monotonic() - started >= PACE * 0.9


async def _second(feed: ChangeFeed, listener: Listener, *, first: int, took: float) -> float:
    """Seconds until the second tidings, after the first, of so many changes, took so long."""
    feed.changed(range(first))
    await listener.wait(1)
    started = time.monotonic()
    time.sleep(took)  # noqa: ASYNC251 - the work that they cause
    feed.changed([first])
    assert await listener.wait(1) == {first}
    return time.monotonic() - started


async def test_many_tidings_that_take_long_come_seldom_and_more_so_the_more_listen(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(relay.delivery.feed, "PAUSE", 3600.0)
    feed = ChangeFeed()
    with feed.listen() as listener, feed.listen():
        async with asyncio.timeout(60):  # more than ever so slow a machine makes of a pause of 1 s
            pause = await _second(feed, listener, first=MOST, took=0.01)
        assert pause >= 0.01 * SHARE * 2


async def test_tidings_come_at_the_latest_after_a_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relay.delivery.feed, "PAUSE", 0.4)
    feed = ChangeFeed()
    with feed.listen() as listener:
        pause = await _second(feed, listener, first=MOST, took=0.2)
        assert 0.4 <= pause < 0.2 * SHARE


async def test_few_changes_are_told_soon_though_the_first_tidings_took_long() -> None:
    feed = ChangeFeed()
    with feed.listen() as listener:
        assert await _second(feed, listener, first=2, took=0.2) < PAUSE


async def test_nobody_is_told_while_nobody_listens() -> None:
    def ids() -> Iterator[int]:
        pytest.fail("asked for what changed")
        yield 1

    feed = ChangeFeed()
    feed.changed(ids())
    with feed.listen() as listener:
        pass
    feed.changed(ids())
    assert await listener.wait(0.01) is None


async def test_memory_is_bounded_in_changes_and_in_listeners() -> None:
    feed = ChangeFeed()
    with feed.listen() as listener:
        for number in range(3 * MOST):
            feed.changed([number])
        heard = await listener.wait(1)
        assert heard is not None
        assert len(heard) <= MOST
    listening = [feed.listen() for _ in range(LISTENERS)]
    for one in listening:
        one.__enter__()
    with pytest.raises(TooManyListeners), feed.listen():
        pass


async def test_the_end_wakes_everybody() -> None:
    feed = ChangeFeed()
    with feed.listen() as listener:
        waiting = asyncio.create_task(listener.wait(10))
        await asyncio.sleep(0)
        feed.close()
        async with asyncio.timeout(10):
            await waiting
        assert listener.is_over
