"""Pictures in Matrix: uploaded once, then shown by their ``mxc`` address.

https://spec.matrix.org/latest/client-server-api/#content-repository
"""

import asyncio
import hashlib
import logging

from relay.channels.base import Failure, KeyValueStore
from relay.channels.matrix_api import MatrixApi
from relay.channels.matrix_content import Image
from relay.picture import Picture

BUDGET = 2.0
"""Seconds that a message waits for its picture, at the most."""
LASTS = 30 * 24 * 3600.0
"""Seconds for which a picture that was uploaded is shown again."""

_log = logging.getLogger(__name__)


class MatrixMedia:
    """The pictures of one homeserver."""

    def __init__(self, api: MatrixApi, notes: KeyValueStore) -> None:
        self._api = api
        self._notes = notes
        self._told: set[str] = set()

    async def image(self, picture: Picture, words: str) -> Image | None:
        """The picture as a message shows it; None where it can't be uploaded in time. ``words``
        stand for who can't see it."""
        try:
            async with asyncio.timeout(BUDGET):
                uri = await self._uri(picture)
        except TimeoutError:
            self._tell("the upload takes too long")
            return None
        except Failure as failure:
            self._tell(str(failure))
            return None
        return Image(uri, words[:200], picture.width, picture.height)

    async def _uri(self, picture: Picture) -> str:
        digest = hashlib.sha256(picture.content).hexdigest()[:40]
        key = f"matrix-media/{self._api.account}/{digest}"
        uri = await self._notes.get(key, LASTS)
        if not uri:
            answer = await self._api.upload(
                picture.content, picture.type, f"thumbnail.{picture.extension}"
            )
            uri = str(answer.get("content_uri", ""))
            if not uri.startswith("mxc://"):
                raise Failure("retry", "answer", "the homeserver told no address of the picture")
            await self._notes.keep(key, uri)
        return uri

    def _tell(self, why: str) -> None:
        if why not in self._told:
            self._told.add(why)
            _log.warning("Matrix gets messages without pictures: %s", why)
