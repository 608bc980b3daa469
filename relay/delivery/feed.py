"""The feed: tells those who look at the inspector which events changed."""

import asyncio
import contextlib
import time
from collections.abc import Collection, Iterable, Iterator, Sized

PACE = 0.25
"""Seconds between two tidings for one listener, at the least."""
SHARE = 50
"""All listeners together take one part in so many of the service's time: each pauses so many times
as long as its tidings took, for each who listens."""
PAUSE = 5.0
"""Seconds between two tidings at the most, after some of ``MOST`` changes; fewer after fewer: what
few changes take is little, and the first ones may only have been slow to begin."""
MOST = 200
"""Changed events that are remembered for a listener; it misses what goes beyond."""
LISTENERS = 100
"""So many may listen."""


class TooManyListeners(Exception):
    """As many listen as may."""


class Listener:
    """One who looks."""

    def __init__(self, listeners: Sized) -> None:
        """``listeners``: all who look, this one among them."""
        self._listeners = listeners
        self._ids: set[int] = set()
        self._woken = asyncio.Event()
        self._told = time.monotonic()
        self._heard = self._last = 0
        """Changes since the last tidings, and in them."""
        self.is_over = False
        """Whether the service stops."""

    def add(self, ids: Collection[int]) -> None:
        """These events changed, or, if there are none, new ones came."""
        self._heard += len(ids) or 1
        if len(self._ids) < MOST:
            self._ids.update(ids)
        self._woken.set()

    def end(self) -> None:
        """Nothing more is told."""
        self.is_over = True
        self._woken.set()

    async def wait(self, seconds: float) -> set[int] | None:
        """The events that changed since the last time, and maybe none where new ones came; None
        where nothing did in so many seconds. What the caller did since the last time is taken for
        the tidings' work; the next ones come ``PACE`` after the last, or later if they were many
        and took long."""
        took = time.monotonic() - self._told
        try:
            async with asyncio.timeout(seconds):
                await self._woken.wait()
        except TimeoutError:
            return None
        if not self.is_over:
            most = PAUSE * min(self._last / MOST, 1)
            pause = max(PACE, min(took * SHARE * len(self._listeners), most))
            await asyncio.sleep(self._told + pause - time.monotonic())
        self._told = time.monotonic()
        self._woken.clear()
        ids, self._ids = self._ids, set()
        self._last, self._heard = self._heard, 0
        return ids


class ChangeFeed:
    """Costs a comparison for each change while nobody listens."""

    def __init__(self) -> None:
        self._listeners: set[Listener] = set()

    def changed(self, ids: Iterable[int] = ()) -> None:
        """These events changed, or, if there are none, new ones were stored."""
        if self._listeners:
            told = tuple(ids)
            for listener in self._listeners:
                listener.add(told)

    @contextlib.contextmanager
    def listen(self) -> Iterator[Listener]:
        """Listen until the context ends. Raises ``TooManyListeners``."""
        if len(self._listeners) >= LISTENERS:
            raise TooManyListeners
        listener = Listener(self._listeners)
        self._listeners.add(listener)
        try:
            yield listener
        finally:
            self._listeners.discard(listener)

    def close(self) -> None:
        """The service stops: let nobody wait."""
        for listener in self._listeners:
            listener.end()
