"""The key-value store of channels, kept in Relay's store."""

import logging
import time

from relay.store.base import Store, StoreUnavailable

log = logging.getLogger(__name__)


class StoredKeyValues:
    """``relay.channels.base.KeyValueStore`` in the store. An unavailable store costs no message:
    a read finds nothing, and a write is lost."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def get(self, key: str, age: float) -> str | None:
        try:
            stored = await self._store.get_value(key)
        except StoreUnavailable as error:
            log.warning("the store can't read a channel's value: %s", error)
            return None
        return None if stored is None or time.time() - stored.at > age else stored.value

    async def put(self, key: str, value: str) -> None:
        try:
            await self._store.put_value(key, value)
        except StoreUnavailable as error:
            log.warning("the store can't write a channel's value: %s", error)
