"""The login page and logging out."""

import asyncio
import hmac
import logging
import math
import secrets
import time

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from relay.config import Config
from relay.inspector.access import RequestHead
from relay.inspector.context import inspector_of, viewer_of
from relay.inspector.pages import form, page
from relay.inspector.sessions import COOKIE, SESSION_TTL, Sessions, passwords
from relay.inspector.throttle import LoginThrottle
from relay.secret import Secret

log = logging.getLogger(__name__)

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
