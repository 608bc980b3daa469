"""Calls of Matrix's client-server API.

https://spec.matrix.org/latest/client-server-api/
"""

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlsplit

import httpx

from relay import bounded_http
from relay.bounded_http import UnusableAnswer
from relay.channels import tls
from relay.channels.base import DeliveryError, RetryLater, short_hash
from relay.channels.errors import error_from_exception
from relay.channels.matrix import discovery
from relay.channels.matrix.errors import ADDRESS_KEY, NO_ACCESS_ERRORS, error_from_answer
from relay.channels.matrix.settings import MatrixSettings, is_server_name
from relay.config.types import host_and_port
from relay.messages.message import Picture
from relay.proxy_variables import through_proxy

_TIMEOUT = 15.0  # seconds per call
_LIMITS: dict[str, int] = {"max_bytes": 1024 * 1024, "max_values": 50_000}


class MatrixApi:
    """The client of one user of a homeserver. Its calls raise ``DeliveryError`` only."""

    def __init__(self, settings: MatrixSettings) -> None:
        self._secret = settings.access_token.reveal()
        self.homeserver = settings.homeserver
        self._base = "" if is_server_name(settings.homeserver) else settings.homeserver
        self._base_is_fresh = bool(self._base)
        self.through_proxy = through_proxy(self._base or f"https://{settings.homeserver}")
        self.account = short_hash(f"{settings.homeserver} {self._secret}")
        """A prefix for keys of values that belong to this user."""
        # Not the token, which is for the homeserver only: the client also reads its address.
        self._client = bounded_http.open_client(
            headers={"User-Agent": "penpot-relay"},
            timeout=_TIMEOUT,
            verify=tls.context(settings.ca_file),
        )

    async def close(self) -> None:
        await self._client.aclose()

    async def call(
        self,
        method: str,
        *path: str,
        body: Any = None,
        version: str = "v3",
        **query: str | int | list[str],
    ) -> dict[str, Any]:
        """``path`` has the names below ``/_matrix/client/<version>/``."""
        names = "/".join(quote(name, safe="") for name in path)
        url = f"/_matrix/client/{version}/{names}"
        return await self._answer(method, url, json=body, params=query or None)

    async def state(
        self, room: str, kind: str, key: str = "", **query: str
    ) -> dict[str, Any] | None:
        """The content of a state event, or with ``format="event"`` all of it. Empty where there is
        none; None where the user may not read it."""
        try:
            return await self.call("GET", "rooms", room, "state", kind, key, **query)
        except DeliveryError as error:
            if error.reason not in NO_ACCESS_ERRORS:
                raise
            return None if error.reason == "M_FORBIDDEN" else {}

    async def whoami(self) -> str:
        return str((await self.call("GET", "account", "whoami")).get("user_id", ""))

    async def base_url(self) -> str:
        """Where the homeserver is. A server name is resolved again after an error that the
        homeserver did not send, but its last address stays in use while that fails."""
        if not self._base_is_fresh:
            try:
                self._base = await discovery.base_url(self._client, self.homeserver)
                self._base_is_fresh = True
            except DeliveryError:
                if not self._base:
                    raise
        return self._base

    async def delegated_url(self) -> str:
        """The base URL that the host of the configured one names instead, or empty."""
        if is_server_name(self.homeserver):
            return ""
        try:
            host = urlsplit(self.homeserver).netloc
            url = await discovery.documented_url(self._client, host)
        except DeliveryError:
            return ""
        return "" if url == self.homeserver else url

    async def upload(self, picture: Picture) -> str:
        """The ``mxc`` URI: https://spec.matrix.org/latest/client-server-api/#content-repository"""
        url = "/_matrix/media/v3/upload"
        headers, name = {"content-type": picture.type}, f"thumbnail.{picture.extension}"
        answer = await self._answer(
            "POST", url, params={"filename": name}, content=picture.content, headers=headers
        )
        uri = str(answer.get("content_uri", ""))
        if not uri.startswith("mxc://"):
            raise RetryLater("answer", "the homeserver returned no URI of the picture")
        return uri

    async def _answer(
        self, method: str, path: str, *, headers: Mapping[str, str] | None = None, **arguments: Any
    ) -> dict[str, Any]:
        arguments |= {"seconds": _TIMEOUT, **_LIMITS}
        headers = {"Authorization": f"Bearer {self._secret}"} | dict(headers or {})
        url = await self.base_url() + path
        try:
            response = await bounded_http.request(
                self._client, method, url, headers=headers, **arguments
            )
        except (httpx.RequestError, UnusableAnswer, TimeoutError, OSError) as error:
            self._doubt_address()
            server = f"the homeserver at {host_and_port(url)}{self.through_proxy}"
            raise error_from_exception(error, server, key=ADDRESS_KEY, url=url) from None
        answer = _parse_json(response.body)
        if response.status == 200 and isinstance(answer, dict):
            return answer
        refusal = error_from_answer(answer, response.status, response.headers, secret=self._secret)
        if not refusal.reason.startswith("M_"):
            self._doubt_address()
        raise refusal

    def _doubt_address(self) -> None:
        self._base_is_fresh = not is_server_name(self.homeserver)


def _parse_json(body: bytes) -> object:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None
