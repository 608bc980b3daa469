"""Housekeeping: what is older than the retention leaves the store, in small steps."""

import asyncio
import logging
import time
from collections.abc import Callable

from relay.delivery.pace import pause
from relay.store.base import Store, StoreUnavailable

log = logging.getLogger(__name__)

STEP = 200
"""Events that are deleted in one transaction, so that intake never waits long."""
EVERY = 600.0
"""Seconds between two rounds."""
BREATH = 0.1
"""Seconds between two steps of a round."""
LATER = 3600.0
"""Seconds that are added to the retention, and to the doubt about a clock that was set: by then the
queues have told what they gave up."""


class Retention:
    """One task that prunes."""

    def __init__(
        self, store: Store, retention: float, clock_is_sure: Callable[[], bool] = lambda: True
    ) -> None:
        """``retention`` in seconds. Nothing is pruned while ``clock_is_sure`` says that the time
        may be wrong."""
        self._store = store
        self._retention = retention
        self._clock_is_sure = clock_is_sure
        self._stop = asyncio.Event()

    def stop(self) -> None:
        """End ``run`` soon."""
        self._stop.set()

    async def run(self) -> None:
        """Prune again and again, until ``stop``."""
        while not self._stop.is_set():
            pruned = await self._prune() if self._clock_is_sure() else 0
            await pause(BREATH if pruned == STEP else EVERY, self._stop)

    async def _prune(self) -> int:
        try:
            pruned = await self._store.prune(time.time() - self._retention - LATER, STEP)
        except StoreUnavailable as error:
            log.warning("the store can't be pruned: %s", error)
            return 0
        if pruned:
            log.info("pruned %d events older than the retention", pruned)
        return pruned
