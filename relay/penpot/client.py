"""HTTP calls to Penpot's RPC API, bounded in time and size.

Paths and headers: ``rpc.clj`` and ``http/middleware.clj`` in Penpot's ``backend/src/app``.
"""

import asyncio
import re
import ssl
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from types import MappingProxyType
from typing import Any, Final, TypeVar

import httpx

from relay.penpot.assets import MAX_PICTURE_BYTES
from relay.penpot.rpc import PenpotBusy, PenpotRefused, PenpotUnexpected, RpcResponse
from relay.penpot.text import uuid

CALL_TIMEOUT = 5.0  # seconds, from the first byte sent to the last one read
MAX_ANSWER_BYTES = 8 * 1024 * 1024
MAX_CONCURRENT_CALLS = 8  # Penpot's own limit, if enabled, is 10 per profile

ASSET: Final = "asset"  # stands for the method of a download in metrics and errors

_NO_PARAMS: Final[Mapping[str, str]] = MappingProxyType({})
_PATHS = ("/api/main/methods", "/api/rpc/command")  # 2.12 and later; every version
_TOKEN_PATTERN = re.compile(r"[!-~]+")

T = TypeVar("T")


class RpcClient:
    """Calls any RPC method with an access token. All failures raise ``PenpotError``.

    Concurrent lookups of the same thing share one call. It continues, until its timeout, when one
    of the callers is cancelled.
    """

    def __init__(
        self,
        url: str,
        token: str,
        *,
        timeout: float = CALL_TIMEOUT,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        """``url`` is Penpot's public address. ``timeout`` is in seconds and covers a whole call.
        ``tls`` replaces the default certificate authorities."""
        self._url = url.rstrip("/")
        self._timeout = timeout
        self._path = _PATHS[0]
        # httpx shows an invalid header value in its error, so an invalid token is never sent.
        self._is_token = _TOKEN_PATTERN.fullmatch(token) is not None
        self._client = httpx.AsyncClient(
            headers={
                "accept": "application/json",
                "accept-encoding": "identity",  # the size limit applies to the bytes received
                "authorization": f"Token {token}" if self._is_token else "",
                "user-agent": "penpot-relay",
                "x-client": "relay",
            },
            follow_redirects=False,
            limits=httpx.Limits(
                max_connections=MAX_CONCURRENT_CALLS,
                max_keepalive_connections=MAX_CONCURRENT_CALLS,
            ),
            timeout=timeout,
            verify=(tls or True) if self._url.startswith("https:") else False,
        )
        self._pending: dict[tuple[str, ...], asyncio.Task[Any]] = {}
        self._slots = asyncio.Semaphore(MAX_CONCURRENT_CALLS)

    async def close(self) -> None:
        """Cancel pending calls and close the connections."""
        tasks = tuple(self._pending.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._client.aclose()

    async def _lookup(
        self,
        method: str,
        read: Callable[[Any], T | None],
        constants: Mapping[str, str] = _NO_PARAMS,
        **ids: str,
    ) -> T | None:
        """One lookup; None without a call if an id is not a UUID. ``constants`` are parameters
        that every call of the method has."""
        params = {name: uuid(value) for name, value in ids.items()}
        if not all(params.values()):
            return None
        key = (method, *params.values())
        task = self._pending.get(key)
        if task is None:
            task = asyncio.create_task(self._call(method, read, params | dict(constants)))
            self._pending[key] = task
            task.add_done_callback(partial(self._remove_pending, key))
        try:
            result: T | None = await asyncio.shield(task)
        except asyncio.CancelledError:
            caller = asyncio.current_task()
            if task.cancelled() and caller is not None and not caller.cancelling():
                raise PenpotBusy(f"{method} was cancelled: Relay is stopping") from None
            raise
        return result

    def _remove_pending(self, key: tuple[str, ...], task: asyncio.Task[Any]) -> None:
        del self._pending[key]
        if not task.cancelled():
            task.exception()  # mark as retrieved, in case every caller was cancelled

    async def _call(
        self, method: str, read: Callable[[Any], T | None], params: Mapping[str, Any]
    ) -> T | None:
        """One call; None if the object does not exist or the token's user may not see it."""
        response = await self._with_timeout(method, partial(self._post, method, params))
        if response.is_not_found:
            return None
        if response.status != 200:
            raise response.error(method)
        try:
            return read(response.values())
        except ValueError as error:
            raise PenpotUnexpected(f"{method} returned an unexpected body: {error}") from None

    async def _with_timeout(
        self, method: str, request: Callable[[], Awaitable[RpcResponse]]
    ) -> RpcResponse:
        if not self._is_token:
            raise PenpotRefused("the access token is empty or has characters that no token has")
        try:
            # The timeout begins after the wait for a slot, which is not Penpot's delay.
            async with self._slots, asyncio.timeout(self._timeout):
                return await request()
        except (TimeoutError, httpx.TimeoutException):
            raise PenpotBusy(f"{method}: no answer within {self._timeout:g} s") from None
        except (httpx.InvalidURL, httpx.UnsupportedProtocol):
            raise PenpotUnexpected("penpot.url is not a valid address") from None
        except httpx.HTTPError as error:
            raise PenpotBusy(f"{method}: no answer ({type(error).__name__})") from None

    async def _post(self, method: str, params: Mapping[str, Any]) -> RpcResponse:
        """The response of the first path that has the method; later calls try that path first."""
        first = self._path
        for path in sorted(_PATHS, key=lambda path: path != first):
            response = await self._fetch("POST", f"{path}/{method}", params)
            if not response.is_unknown_method:
                if response.status == 200 or response.is_not_found:
                    self._path = path
                break
        return response

    async def _fetch(
        self, verb: str, path: str, params: Mapping[str, Any] | None = None
    ) -> RpcResponse:
        """One request. Without ``params`` it is a download, with the size limit of a picture."""
        limit = MAX_PICTURE_BYTES if params is None else MAX_ANSWER_BYTES
        method = ASSET if params is None else path.rpartition("/")[2]
        async with self._client.stream(verb, self._url + path, json=params) as response:
            if response.headers.get("content-encoding", "identity") != "identity":
                raise PenpotUnexpected(f"{method} returned an encoding that was not requested")
            body = bytearray()
            async for chunk in response.aiter_raw():
                body += chunk
                if len(body) > limit:
                    raise PenpotUnexpected(f"{method} returned more than {limit} bytes")
        return RpcResponse(response.status_code, response.headers, bytes(body))
