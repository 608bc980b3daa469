"""The door: all requests under ``/inspector`` pass here, most of them no further."""

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

MOST, STRANGERS = 2 * 1024 * 1024, 8 * 1024
"""Bytes of a form, at the most; and of one by somebody who has not logged in."""
BODY_TIME = 30.0
"""Seconds that a form may take to arrive."""
OPEN = ("/inspector/login", "/inspector/static/")
"""What a browser gets before somebody has logged in, where there is a login."""


class LoginGate:
    """An ASGI application before the pages.

    Whom the inspector is not for gets the answer that any path gets which is not there. What comes
    through has ``viewer`` and ``inspector`` in its scope, and a token of the viewer's where it
    changes something.
    """

    def __init__(
        self, inspector: InspectorContext, pages: Callable[[InspectorContext, Sessions], ASGIApp]
    ) -> None:
        """``pages`` makes the application behind the door, when somebody first comes through."""
        self._inspector = inspector
        self._sessions = Sessions(inspector.config)
        has_login = bool(passwords(inspector.config))
        self._access = Access(inspector.config, self._sessions, has_login=has_login)
        self._make = pages
        self._pages: ASGIApp | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        head = RequestHead.of(scope)
        viewer = self._access.viewer(head, time.time())
        if viewer is None:
            if not self._access.has_login:
                raise HTTPException(404)
            if not scope["path"].startswith(OPEN):
                await _to_login(scope, head, send)
                return
        scope["inspector"], scope["viewer"], scope["head"] = self._inspector, viewer, head
        if scope["method"] not in ("GET", "HEAD"):
            body = await _body(receive, STRANGERS if viewer is None else MOST)
            if viewer is not None and not _may_change(head, viewer, body):
                raise HTTPException(403, "This form is too old, or another site's: go back, reload")
            receive = _again(body, receive)
        if self._pages is None:
            self._pages = self._make(self._inspector, self._sessions)
        try:
            await self._pages(scope, receive, send)
        except StoreUnavailable as error:
            log.warning("inspector: the store can't be read: %s", error)
            raise HTTPException(503, f"The store can't be read: {error}") from error


def _may_change(head: RequestHead, viewer: Viewer, body: bytes) -> bool:
    token = head.one("x-relay-token") or field(body, "token")
    right = hmac.compare_digest(token.encode("utf-8", "replace"), viewer.token.encode())
    return right and not head.is_from_another_site


def field(body: bytes, name: str) -> str:
    """A field of a form that was sent as ``application/x-www-form-urlencoded``."""
    try:
        return parse_qs(body.decode(), max_num_fields=100).get(name, [""])[0]
    except ValueError:
        return ""


async def _body(receive: Receive, most: int) -> bytes:
    body = bytearray()
    more = True
    try:
        async with asyncio.timeout(BODY_TIME):
            while more:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise HTTPException(400)
                body += message.get("body", b"")
                if len(body) > most:
                    raise HTTPException(413, headers={"connection": "close"})
                more = message.get("more_body", False)
    except TimeoutError as error:
        raise HTTPException(408, headers={"connection": "close"}) from error
    return bytes(body)


def _again(body: bytes, receive: Receive) -> Receive:
    """A body that was read, for who comes next."""
    first = True

    async def again() -> Message:
        nonlocal first
        if not first:
            return await receive()
        first = False
        return {"type": "http.request", "body": body, "more_body": False}

    return again


async def _to_login(scope: Scope, head: RequestHead, send: Send) -> None:
    """Send a browser to the login and then back to where it wanted; also one that asked for a part
    of a page alone."""
    query = scope["query_string"].decode("latin-1")
    there = scope["path"] + (f"?{query}" if query else "")
    is_page = scope["method"] in ("GET", "HEAD") and not head.one("hx-request")
    login = "/inspector/login" + (f"?next={quote(there, safe='')}" if is_page else "")
    part = bool(head.one("hx-request"))
    name, status = (b"hx-redirect", 401) if part else (b"location", 303)
    headers = [(name, login.encode()), (b"content-length", b"0"), (b"cache-control", b"no-store")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": b""})
