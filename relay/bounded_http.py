"""Reads answers of other servers: bounded in bytes and time; no encodings, redirects or cookies.

A compressed answer could expand to any size, a redirect would send a token or a message to an
address that nobody configured, and kept cookies would grow with every answer.
"""

import asyncio
from collections.abc import AsyncIterable, Mapping
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import TYPE_CHECKING, Any, NamedTuple

from relay.errors import RelayError

if TYPE_CHECKING:  # loaded with the first client only
    import ssl

    import httpx

IDENTITY = {"accept-encoding": "identity"}  # the header of every request


class UnusableAnswer(RelayError):
    """The answer is too long or encoded."""


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
    chunks: AsyncIterable[bytes], headers: Mapping[str, str], max_bytes: int
) -> bytes:
    """The body of an answer from its raw ``chunks``. Raises ``UnusableAnswer``."""
    if headers.get("content-encoding", "identity").strip().lower() != "identity":
        raise UnusableAnswer("an encoding that was not requested")
    body = bytearray()
    async for chunk in chunks:
        body += chunk
        if len(body) > max_bytes:
            raise UnusableAnswer(f"more than {max_bytes} bytes")
    return bytes(body)


async def request(
    client: "httpx.AsyncClient",
    method: str,
    url: str,
    *,
    max_bytes: int,
    seconds: float,
    **arguments: Any,
) -> Answer:
    """One request, also with a redirect as its answer. ``seconds`` is from its start to the last
    byte of the body. Raises ``UnusableAnswer``, ``TimeoutError`` and httpx's errors."""
    headers = {**arguments.pop("headers", {}), **IDENTITY}
    stream = client.stream(method, url, headers=headers, follow_redirects=False, **arguments)
    async with asyncio.timeout(seconds), stream as response:
        body = await read_bounded(response.aiter_raw(), response.headers, max_bytes)
        return Answer(response.status_code, response.headers, body)
