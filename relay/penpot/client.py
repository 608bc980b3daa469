"""Calls to Penpot's RPC API: bounded in time and size, with every failure told apart.

Paths and headers are those of Penpot's ``backend/src/app``: ``rpc.clj``, ``http/middleware.clj``.
"""

import asyncio
import re
import ssl
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from types import MappingProxyType
from typing import Any, Final, TypeVar

import httpx

from relay.penpot.assets import LARGEST
from relay.penpot.rpc import Answer, PenpotBusy, PenpotRefused, PenpotUnexpected
from relay.penpot.text import uuid

TIMEOUT = 5.0
"""Seconds for one call, from the first byte sent to the last one read."""
MAX_ANSWER = 8 * 1024 * 1024
"""Most bytes of an answer."""
AT_ONCE = 8
"""Most calls under way; Penpot's own limit, where it is on, is 10 per profile."""

ASSET: Final = "asset"
"""What downloads of pictures are called in metrics and errors; they are no method."""

_NOTHING_MORE: Final[Mapping[str, str]] = MappingProxyType({})
_PATHS = ("/api/main/methods", "/api/rpc/command")  # 2.12 and later; every version
_TOKEN = re.compile(r"[!-~]+")

T = TypeVar("T")


class RpcClient:
    """Calls with an access token, to any method.

    The same lookup asked for again while it is under way is one call; giving up on it leaves it to
    the others, and to its time-out. All raise ``PenpotError``.
    """

    def __init__(
        self,
        url: str,
        token: str,
        *,
        timeout: float = TIMEOUT,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        """``url`` is Penpot's public address, ``token`` an access token of one of its users.

        ``timeout`` is in seconds and for a whole call; ``tls`` replaces the default authorities.
        """
        self._url = url.rstrip("/")
        self._timeout = timeout
        self._path = _PATHS[0]
        # Anything else in a header raises errors that show it.
        self._is_token = _TOKEN.fullmatch(token) is not None
        self._client = httpx.AsyncClient(
            headers={
                "accept": "application/json",
                "accept-encoding": "identity",  # bounded as it is on the wire
                "authorization": f"Token {token}" if self._is_token else "",
                "user-agent": "penpot-relay",
                "x-client": "relay",
            },
            follow_redirects=False,
            limits=httpx.Limits(max_connections=AT_ONCE, max_keepalive_connections=AT_ONCE),
            timeout=timeout,
            verify=(tls or True) if self._url.startswith("https:") else False,
        )
        self._under_way: dict[tuple[str, ...], asyncio.Task[Any]] = {}
        self._turn = asyncio.Semaphore(AT_ONCE)

    async def close(self) -> None:
        """End what is under way and give the connections back."""
        tasks = tuple(self._under_way.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._client.aclose()

    async def _ask(
        self,
        method: str,
        read: Callable[[Any], T | None],
        more: Mapping[str, str] = _NOTHING_MORE,
        **ids: str,
    ) -> T | None:
        """One lookup; an id that is none is nothing that Penpot could have. ``more`` are parameters
        that are always the same for a method."""
        params = {name: uuid(value) for name, value in ids.items()}
        if not all(params.values()):
            return None
        key = (method, *params.values())
        task = self._under_way.get(key)
        if task is None:
            task = asyncio.create_task(self._call(method, read, params | dict(more)))
            self._under_way[key] = task
            task.add_done_callback(partial(self._forget, key))
        try:
            found: T | None = await asyncio.shield(task)
        except asyncio.CancelledError:
            caller = asyncio.current_task()
            if task.cancelled() and caller is not None and not caller.cancelling():
                raise PenpotBusy(f"{method} was given up: Relay is stopping") from None
            raise
        return found

    def _forget(self, key: tuple[str, ...], task: asyncio.Task[Any]) -> None:
        del self._under_way[key]
        if not task.cancelled():
            task.exception()  # seen, also where everyone who asked has given up

    async def _call(
        self, method: str, read: Callable[[Any], T | None], params: Mapping[str, Any]
    ) -> T | None:
        """One call; None where there is no such object, or the token's user may not."""
        answer = await self._bounded(method, partial(self._post_where_known, method, params))
        if answer.is_nothing:
            return None
        if answer.status != 200:
            raise answer.error(method)
        try:
            return read(answer.values())
        except ValueError as error:
            raise PenpotUnexpected(f"{method} was answered with something else: {error}") from None

    async def _bounded(self, method: str, work: Callable[[], Awaitable[Answer]]) -> Answer:
        """The answer, in time. Raises ``PenpotError``."""
        if not self._is_token:
            raise PenpotRefused("the access token holds characters that none has, or nothing")
        try:
            # The wait for a turn is no silence of Penpot's.
            async with self._turn, asyncio.timeout(self._timeout):
                return await work()
        except (TimeoutError, httpx.TimeoutException):
            raise PenpotBusy(f"{method}: no answer within {self._timeout:g} s") from None
        except (httpx.InvalidURL, httpx.UnsupportedProtocol):
            raise PenpotUnexpected("penpot.url is no address that can be called") from None
        except httpx.HTTPError as error:
            raise PenpotBusy(f"{method}: no answer ({type(error).__name__})") from None

    async def _post_where_known(self, method: str, params: Mapping[str, Any]) -> Answer:
        """The answer of the path that knows the method, which is the first to try from then on."""
        first = self._path
        for path in sorted(_PATHS, key=lambda path: path != first):
            answer = await self._post(path, method, params)
            if not answer.is_of_no_method:
                if answer.status == 200 or answer.is_nothing:
                    self._path = path
                break
        return answer

    async def _post(self, path: str, method: str, params: Mapping[str, Any]) -> Answer:
        return await self._fetch("POST", f"{path}/{method}", params)

    async def _fetch(self, verb: str, path: str, params: Mapping[str, Any] | None = None) -> Answer:
        """One request, of which no more is read than an answer may have."""
        most = LARGEST if params is None else MAX_ANSWER
        what = ASSET if params is None else path.rpartition("/")[2]
        async with self._client.stream(verb, self._url + path, json=params) as answer:
            if answer.headers.get("content-encoding", "identity") != "identity":
                raise PenpotUnexpected(f"{what} was answered in an encoding that was not asked for")
            body = bytearray()
            async for chunk in answer.aiter_raw():
                body += chunk
                if len(body) > most:
                    raise PenpotUnexpected(f"{what} was answered with more than {most} bytes")
        return Answer(answer.status_code, answer.headers, bytes(body))
