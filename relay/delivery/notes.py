"""What channels remember, kept in the store."""

import logging
import time

from relay.store.base import Store, StoreUnavailable

log = logging.getLogger(__name__)


class StoredKeyValues:
    """``relay.channels.base.Notes`` in the store. A store that is away costs no message: what can't
    be read is not known, and what can't be kept is forgotten."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def get(self, key: str, age: float) -> str | None:
        """See ``Notes``."""
        try:
            note = await self._store.note(key)
        except StoreUnavailable as error:
            log.warning("a note can't be read: %s", error)
            return None
        return None if note is None or time.time() - note.at > age else note.value

    async def keep(self, key: str, value: str) -> None:
        """See ``Notes``."""
        try:
            await self._store.keep_note(key, value)
        except StoreUnavailable as error:
            log.warning("a note can't be kept: %s", error)
