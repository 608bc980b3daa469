"""Reads answers of other servers: bounded in bytes and time; no encodings, redirects or cookies.

A compressed answer could expand to any size, a redirect would send a token or a message to an
address that nobody configured, and kept cookies would grow with every answer.
"""

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import TYPE_CHECKING, Any, NamedTuple

from relay.errors import RelayError

if TYPE_CHECKING:  # loaded with the first client only
    import ssl

    import httpx

IDENTITY = {"accept-encoding": "identity"}  # the header of every request
MIN_CHUNK_BYTES = 500
"""As which a smaller chunk counts: a client takes as long for one byte as for thousands, and a
megabyte in chunks of one byte would take a minute."""

_PHASE_RATIO = 0.9  # of a request's time, after which one phase of it ends, such as the connecting


class UnusableAnswer(RelayError):
    """The answer is too long, encoded, or has too many values."""


class Answer(NamedTuple):
    status: int
    headers: Mapping[str, str]  # names in lower case, or a case-insensitive mapping
    body: bytes


def open_client(*, verify: "ssl.SSLContext | bool" = True, **arguments: Any) -> "httpx.AsyncClient":
    """A client for ``request`` that keeps no cookies, and uses the proxies of the environment.
    Raises ``InvalidProxyVariable``."""
    import httpx

    from relay.proxy_transport import ProxyTransport

    no_cookies = CookieJar(DefaultCookiePolicy(allowed_domains=[]))
    return httpx.AsyncClient(cookies=no_cookies, transport=ProxyTransport(verify), **arguments)


async def read_bounded(
    chunks: AsyncIterable[bytes],
    headers: Mapping[str, str],
    max_bytes: int,
    max_values: int | None = None,
) -> bytes:
    """The body of an answer from its raw ``chunks``; ``max_values`` of JSON, counted as commas and
    opening brackets: to parse a megabyte of empty lists takes a third of a second. Raises
    ``UnusableAnswer``."""
    if headers.get("content-encoding", "identity").strip().lower() != "identity":
        raise UnusableAnswer("an encoding that was not requested")
    body, left = bytearray(), max_bytes
    async for chunk in chunks:
        body += chunk
        left -= max(len(chunk), MIN_CHUNK_BYTES)
        if left < 0:
            raise UnusableAnswer(f"more than {max_bytes} bytes, or many small chunks")
        await asyncio.sleep(0)  # chunks that arrive together would delay all other tasks
    if max_values is not None and sum(map(body.count, (b",", b"[", b"{"))) > max_values:
        raise UnusableAnswer(f"more than {max_values} values")
    return bytes(body)


@asynccontextmanager
async def _stream(
    client: "httpx.AsyncClient", method: str, url: str, seconds: float, arguments: dict[str, Any]
) -> "AsyncIterator[httpx.Response]":
    headers = {**arguments.pop("headers", {}), **IDENTITY}
    # httpx closes a connection whose TLS handshake it ends itself, but none that is cancelled.
    options = {"timeout": _PHASE_RATIO * seconds, "follow_redirects": False, **arguments}
    stream = client.stream(method, url, headers=headers, **options)
    async with asyncio.timeout(seconds), stream as response:
        yield response


async def request(
    client: "httpx.AsyncClient",
    method: str,
    url: str,
    *,
    max_bytes: int,
    seconds: float,
    max_values: int | None = None,
    **arguments: Any,
) -> Answer:
    """One request, also with a redirect as its answer. ``seconds`` is from its start to the last
    byte of the body. Raises ``UnusableAnswer``, ``TimeoutError`` and httpx's errors."""
    async with _stream(client, method, url, seconds, arguments) as response:
        raw = response.aiter_raw()
        body = await read_bounded(raw, response.headers, max_bytes, max_values)
        return Answer(response.status_code, response.headers, body)


async def call(
    client: "httpx.AsyncClient",
    method: str,
    url: str,
    *,
    max_bytes: int,
    seconds: float,
    **arguments: Any,
) -> Answer:
    """As ``request``, for a caller that needs only status and headers: the body, of which nothing
    is returned, is read so that the connection can be used again, and no error of it counts."""
    import httpx

    answer: Answer | None = None
    try:
        async with _stream(client, method, url, seconds, arguments) as response:
            answer = Answer(response.status_code, response.headers, b"")
            await read_bounded(response.aiter_raw(), response.headers, max_bytes)
    except (httpx.HTTPError, UnusableAnswer, TimeoutError, OSError):
        if answer is None:
            raise
    return answer
