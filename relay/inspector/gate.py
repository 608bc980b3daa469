"""The login gate: authenticates every request under ``/inspector``."""

import asyncio
import hmac
import logging
import time
from collections.abc import Callable
from urllib.parse import parse_qs, quote

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from relay.inspector.access import Access, RequestHead
from relay.inspector.context import InspectorContext, Viewer
from relay.inspector.sessions import Sessions, passwords
from relay.store.base import StoreUnavailable

log = logging.getLogger(__name__)

MAX_FORM_BYTES, MAX_ANONYMOUS_FORM_BYTES = 2 * 1024 * 1024, 8 * 1024
FORM_TIMEOUT = 30.0  # seconds
PUBLIC_PATHS = ("/inspector/login", "/inspector/static/")  # for anonymous clients, with a password


class LoginGate:
    """ASGI application in front of the pages.

    Without a password, an anonymous client gets the same 404 as for any unknown path. A permitted
    request gets ``inspector``, ``viewer`` and ``head`` in its scope, and its CSRF token is checked
    if it changes something.
    """

    def __init__(
        self, inspector: InspectorContext, pages: Callable[[InspectorContext, Sessions], ASGIApp]
    ) -> None:
        """``pages`` builds the application behind the gate, with the first permitted request."""
        self._inspector = inspector
        self._sessions = Sessions(inspector.config)
        has_login = bool(passwords(inspector.config))
        self._access = Access(inspector.config, self._sessions, has_login=has_login)
        self._build_pages = pages
        self._pages: ASGIApp | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        head = RequestHead.of(scope)
        viewer = self._access.viewer(head, time.time())
        if viewer is None:
            if not self._access.has_login:
                raise HTTPException(404)
            if not scope["path"].startswith(PUBLIC_PATHS):
                await _redirect_to_login(scope, head, send)
                return
        scope["inspector"], scope["viewer"], scope["head"] = self._inspector, viewer, head
        if scope["method"] not in ("GET", "HEAD"):
            limit = MAX_ANONYMOUS_FORM_BYTES if viewer is None else MAX_FORM_BYTES
            body = await _read_body(receive, limit)
            if viewer is not None and not _has_token(head, viewer, body):
                raise HTTPException(403, "This form has expired: go back and reload the page")
            receive = _replay(body, receive)
        if self._pages is None:
            self._pages = self._build_pages(self._inspector, self._sessions)
        try:
            await self._pages(scope, receive, send)
        except StoreUnavailable as error:
            log.warning("inspector: cannot read the store: %s", error)
            raise HTTPException(503, f"Cannot read the store: {error}") from error


def _has_token(head: RequestHead, viewer: Viewer, body: bytes) -> bool:
    token = head.single("x-relay-token") or _field(body, "token")
    is_valid = hmac.compare_digest(token.encode("utf-8", "replace"), viewer.token.encode())
    return is_valid and not head.is_from_another_site


def _field(body: bytes, name: str) -> str:
    """A field of an ``application/x-www-form-urlencoded`` body; empty if missing."""
    try:
        return parse_qs(body.decode(), max_num_fields=100).get(name, [""])[0]
    except ValueError:
        return ""


async def _read_body(receive: Receive, limit: int) -> bytes:
    body = bytearray()
    more = True
    try:
        async with asyncio.timeout(FORM_TIMEOUT):
            while more:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise HTTPException(400)
                body += message.get("body", b"")
                if len(body) > limit:
                    raise HTTPException(413, headers={"connection": "close"})
                more = message.get("more_body", False)
    except TimeoutError as error:
        raise HTTPException(408, headers={"connection": "close"}) from error
    return bytes(body)


def _replay(body: bytes, receive: Receive) -> Receive:
    """A ``receive`` that returns the body once more."""
    is_pending = True

    async def replay() -> Message:
        nonlocal is_pending
        if not is_pending:
            return await receive()
        is_pending = False
        return {"type": "http.request", "body": body, "more_body": False}

    return replay


async def _redirect_to_login(scope: Scope, head: RequestHead, send: Send) -> None:
    """htmx requests, which load part of a page, get htmx's own redirect header."""
    query = scope["query_string"].decode("latin-1")
    url = scope["path"] + (f"?{query}" if query else "")
    is_htmx = bool(head.single("hx-request"))
    is_page = scope["method"] in ("GET", "HEAD") and not is_htmx
    login = "/inspector/login" + (f"?next={quote(url, safe='')}" if is_page else "")
    name, status = (b"hx-redirect", 401) if is_htmx else (b"location", 303)
    headers = [(name, login.encode()), (b"content-length", b"0"), (b"cache-control", b"no-store")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": b""})
