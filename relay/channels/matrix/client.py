"""Calls of Matrix's client-server API.

https://spec.matrix.org/latest/client-server-api/
"""

import json
from typing import Any
from urllib.parse import quote

import httpx

from relay import bounded_http
from relay.bounded_http import UnusableAnswer
from relay.channels import tls
from relay.channels.base import RetryLater, short_hash
from relay.channels.errors import error_from_exception
from relay.channels.matrix.errors import error_from_answer
from relay.channels.matrix.settings import MatrixSettings
from relay.messages.message import Picture
from relay.proxy_variables import through_proxy

_TIMEOUT = 15.0  # seconds per call
_MAX_ANSWER_BYTES = 1024 * 1024


class MatrixApi:
    """The client of one user of a homeserver. Its calls raise ``DeliveryError`` only."""

    def __init__(self, settings: MatrixSettings) -> None:
        self._secret = settings.access_token.reveal()
        self._homeserver = settings.homeserver
        self.through_proxy = through_proxy(settings.homeserver)
        self.account = short_hash(f"{settings.homeserver} {self._secret}")
        """A prefix for keys of values that belong to this user."""
        self._client = bounded_http.open_client(
            headers={"Authorization": f"Bearer {self._secret}", "User-Agent": "penpot-relay"},
            timeout=_TIMEOUT,
            verify=tls.context(settings.ca_file),
        )

    async def close(self) -> None:
        await self._client.aclose()

    async def call(
        self, method: str, *path: str, body: Any = None, version: str = "v3", **query: str | int
    ) -> dict[str, Any]:
        """``path`` has the names below ``/_matrix/client/<version>/``."""
        names = "/".join(quote(name, safe="") for name in path)
        url = f"{self._homeserver}/_matrix/client/{version}/{names}"
        return await self._answer(method, url, json=body, params=query or None)

    async def whoami(self) -> str:
        return str((await self.call("GET", "account", "whoami")).get("user_id", ""))

    async def room_id(self, alias: str) -> str:
        return str((await self.call("GET", "directory", "room", alias)).get("room_id", ""))

    async def upload(self, picture: Picture) -> str:
        """The ``mxc`` URI: https://spec.matrix.org/latest/client-server-api/#content-repository"""
        url = f"{self._homeserver}/_matrix/media/v3/upload"
        headers, name = {"content-type": picture.type}, f"thumbnail.{picture.extension}"
        answer = await self._answer(
            "POST", url, params={"filename": name}, content=picture.content, headers=headers
        )
        uri = str(answer.get("content_uri", ""))
        if not uri.startswith("mxc://"):
            raise RetryLater("answer", "the homeserver returned no URI of the picture")
        return uri

    async def _answer(self, method: str, url: str, **arguments: Any) -> dict[str, Any]:
        limits: dict[str, Any] = {"max_bytes": _MAX_ANSWER_BYTES, "seconds": _TIMEOUT}
        try:
            response = await bounded_http.request(self._client, method, url, **limits, **arguments)
        except (httpx.RequestError, UnusableAnswer, TimeoutError, OSError) as error:
            server = f"the homeserver{self.through_proxy}"
            raise error_from_exception(error, server) from None
        answer = _parse_json(response.body)
        if response.status == 200 and isinstance(answer, dict):
            return answer
        raise error_from_answer(answer, response.status, response.headers, secret=self._secret)


def _parse_json(body: bytes) -> object:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None
