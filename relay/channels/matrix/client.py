"""Calls of Matrix's client-server API.

https://spec.matrix.org/latest/client-server-api/
"""

import asyncio
import hashlib
import json
from typing import Any

import httpx

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
        return await self._answer(self._client.stream(method, url, json=body))

    async def upload(self, content: bytes, media_type: str, name: str) -> dict[str, Any]:
        url = f"{self._homeserver}/_matrix/media/v3/upload"
        headers = {"content-type": media_type}
        return await self._answer(
            self._client.stream(
                "POST", url, params={"filename": name}, content=content, headers=headers
            )
        )

    async def _answer(self, request: Any) -> dict[str, Any]:
        try:
            async with asyncio.timeout(_TIMEOUT), request as response:
                answer = _parse_json(await _read_bounded(response))
        except (httpx.RequestError, TimeoutError, OSError) as error:
            raise error_from_exception(error, "the homeserver") from None
        if response.status_code == 200 and isinstance(answer, dict):
            return answer
        raise error_from_answer(answer, response.status_code, response.headers, secret=self._secret)


async def _read_bounded(response: httpx.Response) -> bytes:
    body = bytearray()
    async for part in response.aiter_bytes():
        body += part
        if len(body) > _MAX_ANSWER_BYTES:
            raise httpx.ReadError("the answer is too long")
    return bytes(body)


def _parse_json(body: bytes) -> object:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None
