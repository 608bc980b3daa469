"""HTTP calls to Penpot's RPC API, bounded in time and size.

Paths and headers: ``rpc.clj`` and ``http/middleware.clj`` in Penpot's ``backend/src/app``.
"""

import asyncio
import json
import math
import re
import ssl
import struct
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from copy import copy
from functools import partial
from types import MappingProxyType
from typing import Any, Final, NamedTuple, Self, TypeVar, cast
from urllib.parse import parse_qsl

import httpx

from relay import bounded_http
from relay.bounded_http import UnusableAnswer
from relay.penpot.calls import (
    AnswerCache,
    CallPolicy,
    PenpotBusy,
    PenpotError,
    PenpotPaused,
    PenpotRefused,
    PenpotUnexpected,
    SharedTasks,
)
from relay.penpot.text import uuid
from relay.penpot.wire import replace_lone_surrogates

MAX_VALUES = 300_000  # in a response, counted as commas and opening brackets: about 20,000 files
MAX_RETRY_AFTER_SECONDS = 3600.0  # Penpot's clock may differ from ours
BAD_TOKEN = "the access token is unknown to Penpot, expired or revoked"  # noqa: S105 - a sentence

_MAX_ERROR_BYTES = 64 * 1024
_CODE_PATTERN = re.compile(r"[a-z][a-z0-9-]{0,60}")


class RpcResponse(NamedTuple):
    status: int
    headers: Mapping[str, str]  # names in lower case, or a case-insensitive mapping
    body: bytes

    @property
    def is_unknown_method(self) -> bool:
        """Whether this path has no such method; a 404 for a missing object carries a code."""
        return self.status == 404 and not self.code

    @property
    def is_not_found(self) -> bool:
        """Whether the object does not exist or the token's user may not see it."""
        return self.status == 204 or (self.status == 404 and bool(self.code))

    @property
    def code(self) -> str:
        """The ``code`` of Penpot's error body; empty if it has none."""
        if len(self.body) > _MAX_ERROR_BYTES:
            return ""
        try:
            values = json.loads(self.body)
        except (ValueError, RecursionError):
            return ""
        code = values.get("code") if isinstance(values, dict) else None
        # The code is logged, and the server that sent it has seen the token: accept words only.
        return code if isinstance(code, str) and _CODE_PATTERN.fullmatch(code) else ""

    def values(self) -> Any:
        """The values of a JSON body. Raises ``ValueError`` with the reason.

        Size and count are checked first, so parsing takes a tenth of a second at most.
        """
        kind = self.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != "application/json":
            raise ValueError("not JSON; is penpot.url the address of Penpot itself?")
        if sum(map(self.body.count, (b",", b"[", b"{"))) > MAX_VALUES:
            raise ValueError(f"more than {MAX_VALUES} values")
        try:
            return replace_lone_surrogates(json.loads(self.body), self.body)
        except UnicodeDecodeError:
            raise ValueError("not UTF-8") from None
        except json.JSONDecodeError as error:
            raise ValueError(f"not JSON: {error.msg} at character {error.pos}") from None
        except RecursionError:
            raise ValueError("nested too deeply") from None

    def error(self, method: str) -> PenpotError:
        """The error for a response that is neither 200 nor "not found"."""
        text = f"{method} returned {self.status}" + (f" {self.code}" if self.code else "")
        if self.status == 401:
            return PenpotRefused(BAD_TOKEN)
        if self.status == 403:
            return PenpotRefused(f"{text}: Penpot, or a proxy in front of it, denies access")
        if self.status == 429 or self.status >= 500:
            pause = _retry_after(self.headers)
            is_specific = self.status == 500 and pause is None
            return PenpotBusy(text, pause, maybe_request_specific=is_specific)
        if self.status == 404:
            return PenpotUnexpected(f"{text}: is penpot.url the address of a Penpot?")
        if 300 <= self.status < 400:
            return PenpotUnexpected(f"{text}: penpot.url should be the target of the redirect")
        return PenpotUnexpected(text)


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds to wait, from ``Retry-After`` or Penpot's ``x-rate-limit-reset``.

    The latter is a query string of limits and the Unix time in seconds at which each is reset;
    ``x-rate-limit-remaining`` has the same form, with what is left of each.
    """
    remaining = dict(parse_qsl(headers.get("x-rate-limit-remaining", "")))
    resets = parse_qsl(headers.get("x-rate-limit-reset", ""))
    pauses = [_float(headers.get("retry-after", ""))]
    pauses += [_float(at) - time.time() for name, at in resets if remaining.get(name, "0") == "0"]
    longest = max(pauses)
    return min(longest, MAX_RETRY_AFTER_SECONDS) if longest > 0 else None


def _float(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        return 0.0
    return number if math.isfinite(number) else 0.0


MAX_PICTURE_BYTES = 2 * 1024 * 1024  # Penpot's thumbnails have some ten thousand
_MAX_SIDE_LENGTH = 10_000  # pixels


class Asset(NamedTuple):
    """A picture in Penpot's storage; ``type`` and size are read from the bytes."""

    content: bytes
    type: str  # "image/png", "image/jpeg", "image/gif" or "image/webp"
    width: int  # pixels
    height: int  # pixels


def picture(content: bytes) -> Asset:
    """The picture in ``content``. Raises ``ValueError`` if its format is not one that every chat
    and mail program shows, or its size is out of bounds."""
    kind, width, height = _size(content)
    if not (0 < width <= _MAX_SIDE_LENGTH and 0 < height <= _MAX_SIDE_LENGTH):
        raise ValueError(f"a picture of {width} by {height} pixels")
    return Asset(content, kind, width, height)


def _size(content: bytes) -> tuple[str, int, int]:
    try:
        if content.startswith(b"\x89PNG\r\n\x1a\n") and content[12:16] == b"IHDR":
            return "image/png", *struct.unpack(">II", content[16:24])
        if content.startswith((b"GIF87a", b"GIF89a")):
            return "image/gif", *struct.unpack("<HH", content[6:10])
        if content.startswith(b"RIFF") and content[8:12] == b"WEBP":
            return "image/webp", *_webp(content)
        if content.startswith(b"\xff\xd8\xff"):
            return "image/jpeg", *_jpeg(content)
    except (struct.error, IndexError):
        raise ValueError("a truncated picture") from None
    raise ValueError("no picture in PNG, JPEG, GIF or WebP")


def _webp(content: bytes) -> tuple[int, int]:
    """https://developers.google.com/speed/webp/docs/riff_container"""
    match content[12:16]:
        case b"VP8X":
            width, wide, height, high = struct.unpack("<HBHB", content[24:30])
            return (width | wide << 16) + 1, (height | high << 16) + 1
        case b"VP8L":
            (bits,) = struct.unpack("<I", content[21:25])
            return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
        case _:
            width, height = struct.unpack("<HH", content[26:30])
            return width & 0x3FFF, height & 0x3FFF


def _jpeg(content: bytes) -> tuple[int, int]:
    """From the frame header, after any number of other segments (ITU-T T.81, B.2.2)."""
    offset = 2
    while True:
        marker, length = struct.unpack(">xBH", content[offset : offset + 4])
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height, width = struct.unpack(">HH", content[offset + 5 : offset + 9])
            return width, height
        offset += 2 + length


CALL_TIMEOUT = 5.0  # seconds, from the first byte sent to the last one read
MAX_ANSWER_BYTES = 8 * 1024 * 1024
MAX_CONCURRENT_CALLS = 8  # Penpot's own limit, if enabled, is 10 per profile

ASSET: Final = "asset"  # stands for the method of a download in metrics and errors

MAX_CACHED_ANSWERS = 1000
MAX_ANSWER_AGE = 60.0  # seconds
MAX_CACHED_ASSET_BYTES = 16 * 1024 * 1024

_NO_PARAMS: Final[Mapping[str, str]] = MappingProxyType({})
_PATHS = ("/api/main/methods", "/api/rpc/command")  # 2.12 and later; every version
_TOKEN_PATTERN = re.compile(r"[!-~]+")

T = TypeVar("T")


class RpcClient:
    """Calls any RPC method with an access token. All failures raise ``PenpotError``.

    Concurrent lookups of the same thing share one call. It continues, until its timeout, when one
    of the callers is cancelled. All parts of Relay share one client: each calls it through a view
    with a ``CallPolicy`` of its own.
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
                "authorization": f"Token {token}" if self._is_token else "",
                "user-agent": "penpot-relay",
                "x-client": "relay",
            },
            limits=httpx.Limits(
                max_connections=MAX_CONCURRENT_CALLS,
                max_keepalive_connections=MAX_CONCURRENT_CALLS,
            ),
            timeout=timeout,
            verify=(tls or True) if self._url.startswith("https:") else False,
        )
        self._pending = SharedTasks()
        self._slots = asyncio.Semaphore(MAX_CONCURRENT_CALLS)
        self._answers = AnswerCache(MAX_CACHED_ANSWERS, MAX_ANSWER_AGE)
        self._assets = AnswerCache(MAX_CACHED_ASSET_BYTES, size=lambda asset: len(asset.content))
        self._policy = CallPolicy()
        self._root = self

    def with_policy(self, policy: CallPolicy) -> Self:
        """A view of this client, with which it shares everything else."""
        view = copy(self)
        view._policy = policy
        return view

    async def close(self) -> None:
        """Cancel pending calls and close the connections."""
        await self._pending.close()
        await self._client.aclose()

    async def _lookup(
        self,
        method: str,
        read: Callable[[Any], T | None],
        constants: Mapping[str, str] = _NO_PARAMS,
        max_age: float = 0.0,
        **ids: str,
    ) -> T | None:
        """One lookup; None without a call if an id is not a UUID. ``constants`` are parameters
        that every call of the method has. An earlier answer is returned if it is less than
        ``max_age`` seconds old."""
        params = {name: uuid(value) for name, value in ids.items()}
        if not all(params.values()):
            return None
        key = (method, *params.values())
        if max_age and (cached := self._answers.get(key, max_age)) is not None:
            return cast(T, cached)
        call = partial(self._call, method, read, params | dict(constants))
        return await self._share(key, call, self._answers if max_age else None)

    async def _share(
        self,
        key: tuple[str, ...],
        call: Callable[[], Coroutine[Any, Any, T | None]],
        cache: AnswerCache | None,
    ) -> T | None:
        async def run() -> T | None:
            answer = await call()
            if cache is not None and answer is not None:
                cache.put(key, answer)
            return answer

        task = self._pending.start(key, run)
        try:
            result: T | None = await asyncio.shield(task)
        except asyncio.CancelledError:
            caller = asyncio.current_task()
            if task.cancelled() and caller is not None and not caller.cancelling():
                raise PenpotBusy(f"{key[0]} was cancelled: Relay is stopping") from None
            raise
        return result

    async def _call(
        self, method: str, read: Callable[[Any], T | None], params: Mapping[str, Any]
    ) -> T | None:
        """One call; None if the object does not exist or the token's user may not see it."""

        async def call() -> T | None:
            response = await self._with_timeout(method, partial(self._post, method, params))
            if response.is_not_found:
                return None
            if response.status != 200:
                raise response.error(method)
            try:
                return read(response.values())
            except ValueError as error:
                raise PenpotUnexpected(f"{method} returned an unexpected body: {error}") from None

        return await self._limited(method, call)

    async def _limited(
        self, method: str, call: Callable[[], Awaitable[T | None]], part: str = ""
    ) -> T | None:
        """``part`` is the part of the method that an unexpected answer says something about."""
        policy, breaker = self._policy, self._policy.breaker
        if breaker and (breaker.is_open(method) or breaker.is_open(method + part)):
            raise PenpotPaused(f"{method} is paused")
        if policy.budget:
            policy.budget.spend()
        started = breaker.now() if breaker else 0.0
        try:
            answer = await call()
        except PenpotError as error:
            policy.count(method, error.outcome)
            if breaker:
                is_part = isinstance(error, PenpotUnexpected)
                breaker.failed(method + part if is_part else method, error)
            raise
        policy.count(method, "nothing" if answer is None else "found")
        if breaker:
            breaker.answered(started)
        return answer

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
        root = self._root
        first = root._path
        for path in sorted(_PATHS, key=lambda path: path != first):
            response = await root._fetch("POST", f"{path}/{method}", params)
            if not response.is_unknown_method:
                if response.status == 200 or response.is_not_found:
                    root._path = path
                break
        return response

    async def _fetch(
        self, verb: str, path: str, params: Mapping[str, Any] | None = None
    ) -> RpcResponse:
        """One request. Without ``params`` it is a download, with the size limit of a picture."""
        limit = MAX_PICTURE_BYTES if params is None else MAX_ANSWER_BYTES
        method = ASSET if params is None else path.rpartition("/")[2]
        try:
            return RpcResponse(
                *await bounded_http.request(
                    self._client,
                    verb,
                    self._url + path,
                    max_bytes=limit,
                    seconds=self._timeout,
                    json=params,
                )
            )
        except UnusableAnswer as error:
            raise PenpotUnexpected(f"{method} returned {error}") from None
