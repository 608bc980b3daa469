"""The change feed: reports changed events to the inspector's live pages."""

import asyncio
import contextlib
import time
from collections.abc import Collection, Iterable, Iterator, Sized

from relay.errors import RelayError

MIN_UPDATE_INTERVAL = 0.25  # seconds between two updates of one listener
LOAD_FACTOR = 50
"""All listeners together use at most 1/50 of the service's time: each waits this many times as long
as its last update took, times the number of listeners."""
MAX_UPDATE_INTERVAL = 5.0
"""Seconds, after an update of ``MAX_CHANGES`` changes; proportionally less after a smaller one,
whose time says little."""
MAX_CHANGES = 200  # changed events that are kept for a listener; it misses the rest
MAX_LISTENERS = 100


class TooManyListeners(RelayError):
    """``MAX_LISTENERS`` are connected."""


class Listener:
    def __init__(self, listeners: Sized) -> None:
        """``listeners``: all connected listeners, this one among them."""
        self._listeners = listeners
        self._ids: set[int] = set()
        self._woken = asyncio.Event()
        self._updated_at = time.monotonic()
        self._new_count = self._update_count = 0
        """Changes since the last update, and in it."""
        self.is_over = False
        """Whether the service stops."""

    def add(self, ids: Collection[int]) -> None:
        """Changed events; empty where new ones were stored."""
        self._new_count += len(ids) or 1
        if len(self._ids) < MAX_CHANGES:
            self._ids.update(ids)
        self._woken.set()

    def end(self) -> None:
        self.is_over = True
        self._woken.set()

    async def wait(self, seconds: float) -> set[int] | None:
        """The events that changed since the last call, empty where only new ones were stored; None
        after ``seconds`` without a change. The time between two calls counts as the duration of the
        update, and delays the next one."""
        took = time.monotonic() - self._updated_at
        try:
            async with asyncio.timeout(seconds):
                await self._woken.wait()
        except TimeoutError:
            return None
        if not self.is_over:
            longest = MAX_UPDATE_INTERVAL * min(self._update_count / MAX_CHANGES, 1)
            interval = min(took * LOAD_FACTOR * len(self._listeners), longest)
            interval = max(MIN_UPDATE_INTERVAL, interval)
            await asyncio.sleep(self._updated_at + interval - time.monotonic())
        self._updated_at = time.monotonic()
        self._woken.clear()
        ids, self._ids = self._ids, set()
        self._update_count, self._new_count = self._new_count, 0
        return ids


class ChangeFeed:
    """Without listeners a change costs one comparison."""

    def __init__(self) -> None:
        self._listeners: set[Listener] = set()

    def changed(self, ids: Iterable[int] = ()) -> None:
        """Report changed events; empty where new ones were stored."""
        if self._listeners:
            changed_ids = tuple(ids)
            for listener in self._listeners:
                listener.add(changed_ids)

    @contextlib.contextmanager
    def listen(self) -> Iterator[Listener]:
        """Raises ``TooManyListeners``."""
        if len(self._listeners) >= MAX_LISTENERS:
            raise TooManyListeners
        listener = Listener(self._listeners)
        self._listeners.add(listener)
        try:
            yield listener
        finally:
            self._listeners.discard(listener)

    def close(self) -> None:
        for listener in self._listeners:
            listener.end()
