"""Pictures in Matrix: uploaded once, then shown by their ``mxc`` URI.

https://spec.matrix.org/latest/client-server-api/#content-repository
"""

import asyncio
import hashlib
import logging

from relay.channels.base import DeliveryError, KeyValueStore, RetryLater
from relay.channels.matrix.client import MatrixApi
from relay.channels.matrix.content import Image
from relay.messages.message import Picture

UPLOAD_TIMEOUT = 2.0  # seconds
UPLOAD_TTL = 30 * 24 * 3600.0  # seconds

_log = logging.getLogger(__name__)


class MatrixMedia:
    """Uploads each picture once per homeserver and ``UPLOAD_TTL``."""

    def __init__(self, api: MatrixApi, kv: KeyValueStore) -> None:
        self._api = api
        self._kv = kv
        self._warned: set[str] = set()

    async def image(self, picture: Picture, alt_text: str) -> Image | None:
        """None where the picture can't be uploaded in time."""
        try:
            async with asyncio.timeout(UPLOAD_TIMEOUT):
                uri = await self._uri(picture)
        except TimeoutError:
            self._warn("the upload takes too long")
            return None
        except DeliveryError as error:
            self._warn(str(error))
            return None
        return Image(uri, alt_text[:200], picture.width, picture.height)

    async def _uri(self, picture: Picture) -> str:
        digest = hashlib.sha256(picture.content).hexdigest()[:40]
        key = f"matrix-media/{self._api.account}/{digest}"
        uri = await self._kv.get(key, UPLOAD_TTL)
        if not uri:
            answer = await self._api.upload(
                picture.content, picture.type, f"thumbnail.{picture.extension}"
            )
            uri = str(answer.get("content_uri", ""))
            if not uri.startswith("mxc://"):
                raise RetryLater("answer", "the homeserver returned no URI of the picture")
            await self._kv.put(key, uri)
        return uri

    def _warn(self, reason: str) -> None:
        if reason not in self._warned:
            self._warned.add(reason)
            _log.warning("Matrix gets messages without pictures: %s", reason)
