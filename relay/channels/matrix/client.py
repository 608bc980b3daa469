"""Calls of Matrix's client-server API.

https://spec.matrix.org/latest/client-server-api/
"""

import hashlib
import json
from typing import Any

import httpx

from relay import bounded_http
from relay.bounded_http import UnusableAnswer
from relay.channels import tls
from relay.channels.errors import error_from_exception
from relay.channels.matrix.errors import error_from_answer
from relay.channels.matrix.settings import MatrixSettings

_TIMEOUT = 15.0  # seconds per call
_MAX_ANSWER_BYTES = 1024 * 1024


class MatrixApi:
    """The client of one user of a homeserver. Its calls raise ``DeliveryError`` only."""

    def __init__(self, settings: MatrixSettings) -> None:
        self._secret = settings.access_token.reveal()
        self._homeserver = settings.homeserver
        account = f"{settings.homeserver} {self._secret}"
        self.account = hashlib.sha256(account.encode()).hexdigest()[:20]
        """A prefix for keys of values that belong to this user."""
        secure = settings.homeserver.startswith("https:")
        self._client = httpx.AsyncClient(
            headers={"Authorization": f"Bearer {self._secret}", "User-Agent": "penpot-relay"},
            timeout=_TIMEOUT,
            verify=tls.context(settings.ca_file) if secure else False,
        )

    async def close(self) -> None:
        await self._client.aclose()

    async def call(
        self, method: str, path: str, body: Any = None, *, version: str = "v3"
    ) -> dict[str, Any]:
        """``path`` is relative to ``/_matrix/client/<version>/``."""
        url = f"{self._homeserver}/_matrix/client/{version}/{path}"
        return await self._answer(method, url, json=body)

    async def upload(self, content: bytes, media_type: str, name: str) -> dict[str, Any]:
        url = f"{self._homeserver}/_matrix/media/v3/upload"
        headers = {"content-type": media_type}
        return await self._answer(
            "POST", url, params={"filename": name}, content=content, headers=headers
        )

    async def _answer(self, method: str, url: str, **arguments: Any) -> dict[str, Any]:
        limits: dict[str, Any] = {"max_bytes": _MAX_ANSWER_BYTES, "seconds": _TIMEOUT}
        try:
            response = await bounded_http.request(self._client, method, url, **limits, **arguments)
        except (httpx.RequestError, UnusableAnswer, TimeoutError, OSError) as error:
            raise error_from_exception(error, "the homeserver") from None
        answer = _parse_json(response.body)
        if response.status == 200 and isinstance(answer, dict):
            return answer
        raise error_from_answer(answer, response.status, response.headers, secret=self._secret)


def _parse_json(body: bytes) -> object:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None
