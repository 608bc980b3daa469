"""Uploads of pictures to a chat."""

import asyncio
import hashlib
import logging
from collections.abc import Awaitable, Callable

from relay.channels.base import DeliveryError, KeyValueStore
from relay.messages.message import Picture

UPLOAD_TIMEOUT = 2.0  # seconds

_log = logging.getLogger(__name__)


class PictureUploads:
    """Uploads each picture once per account and ``ttl`` seconds. A message is sent without a
    picture that fails; the log has each reason once."""

    def __init__(
        self,
        kind: str,
        account: str,
        upload: Callable[[Picture], Awaitable[str]],
        kv: KeyValueStore,
        ttl: float,
    ) -> None:
        """``account`` is a hash that differs for each token; ``upload`` returns the server's id."""
        self._kind = kind
        self._prefix = f"{kind.lower()}-picture/{account}/"
        self._upload = upload
        self._kv = kv
        self._ttl = ttl
        self._warned: set[str] = set()

    async def upload(self, picture: Picture) -> str:
        """The server's id of the picture; empty where the upload fails or takes too long."""
        try:
            async with asyncio.timeout(UPLOAD_TIMEOUT):
                key = self._key(picture)
                uploaded = await self._kv.get(key, self._ttl)
                if not uploaded:
                    uploaded = await self._upload(picture)
                    await self._kv.put(key, uploaded)
                return uploaded
        except TimeoutError:
            self.warn("the upload takes too long")
        except DeliveryError as error:
            self.warn(str(error))
        return ""

    async def forget(self, picture: Picture, reason: str) -> None:
        """The server does not show the picture: upload it again the next time."""
        await self._kv.put(self._key(picture), "")
        self.warn(reason)

    def warn(self, reason: str) -> None:
        if reason not in self._warned:
            self._warned.add(reason)
            _log.warning("%s gets messages without pictures: %s", self._kind, reason)

    def _key(self, picture: Picture) -> str:
        return self._prefix + hashlib.sha256(picture.content).hexdigest()[:40]
