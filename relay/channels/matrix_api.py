"""Calls of Matrix's client-server API.

https://spec.matrix.org/latest/client-server-api/
"""

import asyncio
import hashlib
import json
from typing import Any

import httpx

from relay.channels import tls
from relay.channels.failures import from_network
from relay.channels.matrix_errors import failure
from relay.config import MatrixSettings

_TIMEOUT = 15.0  # seconds for a whole call
_LONGEST_ANSWER = 1024 * 1024


class MatrixApi:
    """One user of a homeserver. Whatever goes wrong leaves as ``Failure``."""

    def __init__(self, settings: MatrixSettings) -> None:
        self._secret = settings.access_token.reveal()
        self._homeserver = settings.homeserver
        account = f"{settings.homeserver} {self._secret}"
        self.account = hashlib.sha256(account.encode()).hexdigest()[:20]
        """Tells what is remembered for this user from what is for others."""
        secure = settings.homeserver.startswith("https:")
        self._client = httpx.AsyncClient(
            headers={"Authorization": f"Bearer {self._secret}", "User-Agent": "penpot-relay"},
            timeout=_TIMEOUT,
            verify=tls.context(settings.ca_file) if secure else False,
        )

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def call(
        self, method: str, path: str, body: Any = None, *, version: str = "v3"
    ) -> dict[str, Any]:
        """One call, ``path`` below ``/_matrix/client/v3/``: the JSON object that
        was answered. Raises ``Failure``."""
        url = f"{self._homeserver}/_matrix/client/{version}/{path}"
        return await self._answer(self._client.stream(method, url, json=body))

    async def upload(self, content: bytes, kind: str, name: str) -> dict[str, Any]:
        """Give the homeserver a file of the media type ``kind``. Raises ``Failure``."""
        url = f"{self._homeserver}/_matrix/media/v3/upload"
        headers = {"content-type": kind}
        return await self._answer(
            self._client.stream(
                "POST", url, params={"filename": name}, content=content, headers=headers
            )
        )

    async def _answer(self, request: Any) -> dict[str, Any]:
        try:
            async with asyncio.timeout(_TIMEOUT), request as response:
                answer = _decoded(await _read(response))
        except (httpx.RequestError, TimeoutError, OSError) as error:
            raise from_network(error, "the homeserver") from None
        if response.status_code == 200 and isinstance(answer, dict):
            return answer
        raise failure(answer, response.status_code, response.headers, secret=self._secret)


async def _read(response: httpx.Response) -> bytes:
    body = bytearray()
    async for part in response.aiter_bytes():
        body += part
        if len(body) > _LONGEST_ANSWER:
            raise httpx.ReadError("longer than any answer of a homeserver")
    return bytes(body)


def _decoded(body: bytes) -> object:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None
