"""Uploads of pictures to a chat."""

import asyncio
import hashlib
import logging
import time
from collections.abc import Awaitable, Callable

from relay.channels.base import DeliveryError, KeyValueStore, RetryLater
from relay.messages.message import Picture

UPLOAD_TIMEOUT = 2.0  # seconds
MAX_WAIT = 60.0  # seconds, for a server that limits the rate of uploads: it may do so for a day

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
        self._limited, self._limited_since = "", 0.0  # the last picture that was

    async def upload(self, picture: Picture) -> str:
        """The server's id of the picture; empty where the upload fails or takes too long.

        Raises ``RetryLater`` where the server limits the rate, for ``MAX_WAIT`` at most."""
        key = self._key(picture)
        try:
            async with asyncio.timeout(UPLOAD_TIMEOUT):
                uploaded = await self._kv.get(key, self._ttl)
                if not uploaded:
                    uploaded = await self._upload(picture)
                    await self._kv.put(key, uploaded)
                return uploaded
        except TimeoutError:
            self.warn("the upload takes too long")
        except DeliveryError as error:
            if self._may_wait(key, error):
                raise
            self.warn(str(error))
        return ""

    def _may_wait(self, key: str, error: DeliveryError) -> bool:
        is_limit = error.retry_after is not None or error.reason == "ratelimited"
        if not (is_limit and isinstance(error, RetryLater)):
            return False
        now = time.monotonic()
        if self._limited != key:
            self._limited, self._limited_since = key, now
        return now - self._limited_since + (error.retry_after or 0.0) <= MAX_WAIT

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
