"""Deletes events older than the retention from the store, in small transactions, and returns their
space to the file system."""

import asyncio
import logging
import time
from collections.abc import Callable

from relay.delivery.backoff import pause
from relay.store.base import Store
from relay.store.records import StoreUnavailable

log = logging.getLogger(__name__)

PRUNE_BATCH_SIZE = 200  # events in one transaction, so that intake never waits long
PRUNE_INTERVAL = 600.0  # seconds
BATCH_DELAY = 0.1  # seconds between two batches
GRACE_SECONDS = 3600.0
"""Added to the retention, and to the time for which a changed clock is not trusted: the queues
mark expired deliveries dead before their events are deleted."""


class Retention:
    """The task that deletes old events."""

    def __init__(
        self, store: Store, retention: float, clock_is_trusted: Callable[[], bool] = lambda: True
    ) -> None:
        """``retention`` in seconds. Nothing is deleted while ``clock_is_trusted`` is false."""
        self._store = store
        self._retention = retention
        self._clock_is_trusted = clock_is_trusted
        self._stop = asyncio.Event()

    def stop(self) -> None:
        self._stop.set()

    async def run(self) -> None:
        while not self._stop.is_set():
            pruned = await self._prune() if self._clock_is_trusted() else 0
            has_more = pruned == PRUNE_BATCH_SIZE or await self._shrink()
            await pause(BATCH_DELAY if has_more else PRUNE_INTERVAL, self._stop)

    async def _prune(self) -> int:
        try:
            before = time.time() - self._retention - GRACE_SECONDS
            pruned = await self._store.prune(before, PRUNE_BATCH_SIZE)
        except StoreUnavailable as error:
            log.warning("the store can't delete old events: %s", error)
            return 0
        if pruned:
            log.info("deleted %d events older than the retention", pruned)
        return pruned

    async def _shrink(self) -> bool:
        """One step; whether there is more."""
        try:
            return await self._store.shrink()
        except StoreUnavailable as error:
            log.warning("the store can't be shrunk: %s", error)
            return False
