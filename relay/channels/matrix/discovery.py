"""The base URL of a homeserver, from its server name.

https://spec.matrix.org/latest/client-server-api/#well-known-uris
"""

import asyncio
import json
from ipaddress import ip_address
from typing import TYPE_CHECKING
from urllib.parse import urljoin

from relay import bounded_http
from relay.bounded_http import Answer, UnusableAnswer
from relay.channels.base import DeliveryError, Misconfigured, RetryLater
from relay.channels.errors import error_from_exception, error_from_status
from relay.config.types import web_address

if TYPE_CHECKING:
    import httpx

PATH = "/.well-known/matrix/client"
_MAX_REDIRECTS = 5
_MAX_BYTES = 64 * 1024
_TIMEOUT = 10.0  # seconds, for all redirects together
_HINT = (
    'put the base URL of its client-server API, such as "https://matrix.example.com" or '
    '"http://localhost:8008", into homeserver'
)


async def base_url(client: "httpx.AsyncClient", name: str) -> str:
    """``name`` is a host with an optional port. Without a document at its ``PATH``, it is the
    homeserver itself. ``client`` must send no token. Raises ``DeliveryError``."""
    return await documented_url(client, name) or f"https://{name}"


async def documented_url(client: "httpx.AsyncClient", name: str) -> str:
    """As ``base_url``, but empty without a document."""
    answer = await _document(client, name)
    if answer.status == 404:
        return ""
    if answer.status == 429 or answer.status >= 500:
        error = error_from_status(answer.status, name)
        raise RetryLater(error.reason, f"{error.detail}: {_HINT}")
    if answer.status != 200:
        raise _unusable(name, f"answers {answer.status}")
    try:
        url = json.loads(answer.body)["m.homeserver"]["base_url"]
    except (ValueError, RecursionError, LookupError, TypeError):
        raise _unusable(name, "names no homeserver") from None
    parts = web_address(url) if isinstance(url, str) else None
    if parts is None or parts.query or parts.fragment or "@" in parts.netloc:
        raise _unusable(name, "names an address that is not valid")
    if parts.scheme == "http" and not _is_loopback(parts.hostname or ""):
        raise _unusable(name, "names an address without TLS")
    return str(url).rstrip("/")


async def _document(client: "httpx.AsyncClient", name: str) -> Answer:
    """Follows redirects, as the specification asks, but only to https."""
    import httpx

    url = f"https://{name}{PATH}"
    try:
        async with asyncio.timeout(_TIMEOUT):
            for _ in range(_MAX_REDIRECTS + 1):
                answer = await bounded_http.request(
                    client, "GET", url, max_bytes=_MAX_BYTES, seconds=_TIMEOUT
                )
                if answer.status not in (301, 302, 303, 307, 308):
                    return answer
                url = urljoin(url, answer.headers.get("location", ""))
                target = web_address(url)
                if target is None or target.scheme != "https":
                    raise _unusable(name, "redirects to an address without TLS")
    except (httpx.RequestError, UnusableAnswer, TimeoutError, OSError) as error:
        reached = error_from_exception(error, name)
        raise RetryLater(reached.reason, f"{reached.detail}: {_HINT}") from None
    raise _unusable(name, "redirects too often")


def _unusable(name: str, problem: str) -> DeliveryError:
    return Misconfigured("well-known", f"https://{name}{PATH} {problem}: {_HINT}")


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
