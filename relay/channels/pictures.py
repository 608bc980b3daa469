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


class UploadAttempts:
    """A message is sent without a picture that fails, but waits where the server limits the rate.
    The log has each reason once."""

    def __init__(self, kind: str) -> None:
        self._kind = kind
        self._warned: set[str] = set()
        self._limited, self._limited_since = "", 0.0  # the last picture that was

    async def run(self, picture: Picture, upload: Awaitable[str]) -> str:
        """The result of ``upload``, the server's id; empty where it fails or takes too long.

        Raises ``RetryLater`` where the server limits the rate, for ``MAX_WAIT`` at most."""
        try:
            async with asyncio.timeout(UPLOAD_TIMEOUT):
                return await upload
        except TimeoutError:
            self.warn("the upload takes too long")
        except DeliveryError as error:
            if self._may_wait(_digest(picture), error):
                raise
            self.warn(str(error))
        return ""

    def _may_wait(self, digest: str, error: DeliveryError) -> bool:
        is_limit = error.retry_after is not None or error.reason == "ratelimited"
        if not (is_limit and isinstance(error, RetryLater)):
            return False
        now = time.monotonic()
        if self._limited != digest:
            self._limited, self._limited_since = digest, now
        return now - self._limited_since + (error.retry_after or 0.0) <= MAX_WAIT

    def warn(self, reason: str) -> None:
        if reason not in self._warned:
            self._warned.add(reason)
            _log.warning("%s gets messages without pictures: %s", self._kind, reason)


class PictureUploads:
    """Uploads each picture once per account and ``ttl`` seconds."""

    def __init__(
        self,
        kind: str,
        account: str,
        upload: Callable[[Picture], Awaitable[str]],
        kv: KeyValueStore,
        ttl: float,
    ) -> None:
        """``account`` is a hash that differs for each token; ``upload`` returns the server's id."""
        self._attempts = UploadAttempts(kind)
        self._prefix = f"{kind.lower()}-picture/{account}/"
        self._upload = upload
        self._kv = kv
        self._ttl = ttl

    async def upload(self, picture: Picture) -> str:
        """As ``UploadAttempts.run``."""
        return await self._attempts.run(picture, self._uploaded(picture))

    async def _uploaded(self, picture: Picture) -> str:
        key = self._key(picture)
        uploaded = await self._kv.get(key, self._ttl)
        if not uploaded:
            uploaded = await self._upload(picture)
            await self._kv.put(key, uploaded)
        return uploaded

    async def forget(self, picture: Picture, reason: str) -> None:
        """The server does not show the picture: upload it again the next time."""
        await self._kv.put(self._key(picture), "")
        self.warn(reason)

    def warn(self, reason: str) -> None:
        self._attempts.warn(reason)

    def _key(self, picture: Picture) -> str:
        return self._prefix + _digest(picture)


def _digest(picture: Picture) -> str:
    return hashlib.sha256(picture.content).hexdigest()[:40]
