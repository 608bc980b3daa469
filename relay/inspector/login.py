"""The login page and logging out."""

import asyncio
import hmac
import logging
import math
import secrets
import time
from collections.abc import Callable
from urllib.parse import parse_qs, quote

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from relay.config.secret import Secret
from relay.config.settings import Config
from relay.inspector.auth import (
    COOKIE,
    SESSION_TTL,
    Access,
    LoginThrottle,
    RequestHead,
    Sessions,
    passwords,
)
from relay.inspector.context import InspectorContext, Viewer, inspector_of, viewer_of
from relay.inspector.pages import form, page
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


FORM_COOKIE = "relay_login"  # CSRF protection of the login form: its token is bound to this cookie
FORM_COOKIE_TTL = 3600  # seconds
MAX_WAITING_LOGINS = 8
HOME = "/inspector"


class Login:
    """Checks one password at a time: verifying an argon2 hash takes 64 MB of memory."""

    def __init__(self, config: Config, sessions: Sessions) -> None:
        self._config = config
        self._sessions = sessions
        self._passwords = passwords(config)
        self._throttle = LoginThrottle()
        self._lock = asyncio.Lock()
        self._waiting = 0

    def routes(self) -> list[BaseRoute]:
        return [
            Route("/inspector/login", self.show, methods=["GET"]),
            Route("/inspector/login", self.log_in, methods=["POST"]),
            Route("/inspector/logout", self.log_out, methods=["POST"]),
        ]

    async def show(self, request: Request) -> Response:
        if request.scope["viewer"] is not None or not self._passwords:
            return RedirectResponse(_safe_url(request.query_params.get("next", "")), 303)
        return self._page(request, _safe_url(request.query_params.get("next", "")))

    async def log_in(self, request: Request) -> Response:
        fields = await form(request)
        next_url, team = _safe_url(fields.get("next", "")), fields.get("team", "").strip()
        form_id = request.cookies.get(FORM_COOKIE, "")
        token = self._sessions.token(f"login {form_id}") if form_id else ""
        if not token or not hmac.compare_digest(token.encode(), fields.get("token", "").encode()):
            text = (
                "Your browser did not send this form's cookie. Try again; if Relay's public URL "
                "begins with https, open this page by https too."
            )
            return self._page(request, next_url, team, text, 403)
        client = self._head(request).client(self._config.inspector.trusted_proxies)
        under_load = self._waiting >= MAX_WAITING_LOGINS
        account = team if team in self._passwords else ""
        wait = 1.0 if under_load else self._throttle.begin(client, time.monotonic(), account)
        if wait > 0:
            text = f"Too many wrong passwords. Try again in {_duration(wait)}."
            answer = self._page(request, next_url, team, text, 429)
            answer.headers["retry-after"] = str(math.ceil(wait))
            return answer
        if not await self._is_right(team, fields.get("password", "")):
            log.warning("inspector: wrong password from %s", client or "an unknown address")
            return self._page(request, next_url, team, "Wrong password.", 403)
        self._throttle.succeeded(client, account)
        log.info("inspector: login from %s", client or "an unknown address")
        answer = RedirectResponse(next_url, 303)
        session = self._sessions.begin(team, time.time())
        self._set_cookie(request, answer, COOKIE, session, SESSION_TTL)
        answer.delete_cookie(FORM_COOKIE, path=HOME, httponly=True, samesite="strict")
        return answer

    async def log_out(self, request: Request) -> Response:
        viewer_of(request)
        answer = RedirectResponse("/inspector/login" if self._passwords else HOME, 303)
        answer.delete_cookie(COOKIE, path=HOME, httponly=True, samesite="strict")
        return answer

    async def _is_right(self, team: str, password: str) -> bool:
        self._waiting += 1
        try:
            async with self._lock:
                expected = self._passwords.get(team)
                # For an unknown team too, so that the time does not reveal which teams exist.
                any_password = next(iter(self._passwords.values()))
                matches = await asyncio.to_thread(_matches, expected or any_password, password)
        finally:
            self._waiting -= 1
        return matches and expected is not None

    def _page(
        self, request: Request, next_url: str, team: str = "", error: str = "", status: int = 200
    ) -> Response:
        form_id = request.cookies.get(FORM_COOKIE) or secrets.token_urlsafe(18)
        answer = page(
            request,
            "login.html",
            status,
            next=next_url,
            team=team[:100],
            error=error,
            token=self._sessions.token(f"login {form_id}"),
            with_teams=any(self._passwords),
            only_teams="" not in self._passwords,
        )
        self._set_cookie(request, answer, FORM_COOKIE, form_id, FORM_COOKIE_TTL)
        return answer

    def _head(self, request: Request) -> RequestHead:
        head = request.scope["head"]
        assert isinstance(head, RequestHead)  # noqa: S101 - set by LoginGate
        return head

    def _set_cookie(
        self, request: Request, answer: Response, name: str, value: str, seconds: int
    ) -> None:
        head = self._head(request)
        public = inspector_of(request).config.server.public_url
        answer.set_cookie(
            name,
            value,
            max_age=seconds,
            path=HOME,
            secure=head.is_https or request.url.scheme == "https" or public.startswith("https:"),
            httponly=True,
            samesite="strict",
        )


def _matches(expected: Secret, password: str) -> bool:
    text = expected.reveal()
    if not text.startswith("$argon2"):
        return expected.matches(password)
    from argon2 import PasswordHasher
    from argon2.exceptions import Argon2Error, InvalidHashError

    try:
        return PasswordHasher().verify(text, password)
    except (Argon2Error, InvalidHashError):
        return False


def _safe_url(url: str) -> str:
    """The URL if it is a page of the inspector, else the start page: prevents open redirects."""
    is_own = url.startswith((f"{HOME}/", f"{HOME}?"))
    is_plain = url.isascii() and url.isprintable() and "\\" not in url
    return url if is_own and is_plain else HOME


def _duration(seconds: float) -> str:
    whole = math.ceil(seconds)
    return f"{whole} second{'s' if whole > 1 else ''}" if whole < 120 else f"{whole // 60} minutes"
