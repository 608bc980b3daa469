"""Housekeeping: what is older than the retention leaves the store, in small steps."""

import asyncio
import logging
import time

from relay.delivery.pace import pause
from relay.store.base import Store, StoreUnavailable

log = logging.getLogger(__name__)

STEP = 200
"""Events that are deleted in one transaction, so that intake never waits long."""
EVERY = 600.0
"""Seconds between two rounds."""
BREATH = 0.1
"""Seconds between two steps of a round."""


class Housekeeping:
    """One task that prunes."""

    def __init__(self, store: Store, retention: float) -> None:
        """``retention`` in seconds."""
        self._store = store
        self._retention = retention
        self._stop = asyncio.Event()

    def stop(self) -> None:
        """End ``run`` soon."""
        self._stop.set()

    async def run(self) -> None:
        """Prune again and again, until ``stop``."""
        while not self._stop.is_set():
            try:
                pruned = await self._store.prune(time.time() - self._retention, STEP)
            except StoreUnavailable as error:
                log.warning("the store can't be pruned: %s", error)
                pruned = 0
            if pruned:
                log.info("pruned %d events older than the retention", pruned)
            await pause(BREATH if pruned == STEP else EVERY, self._stop)
