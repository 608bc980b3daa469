"""Logging in and out."""

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
from relay.inspector.sessions import COOKIE, LASTS, Sessions, passwords
from relay.inspector.slowdown import LoginThrottle
from relay.secret import Secret

log = logging.getLogger(__name__)

GUEST = "relay_login"
"""The cookie that goes with the login's own form: another site can't send both."""
CROWD = 8
"""Tries that may wait for their turn."""
HOME = "/inspector"


class Login:
    """The login's pages. One password is looked at at a time: a hash takes 64 MB for a moment."""

    def __init__(self, config: Config, sessions: Sessions) -> None:
        self._config = config
        self._sessions = sessions
        self._passwords = passwords(config)
        self._slowdown = LoginThrottle()
        self._turn = asyncio.Lock()
        self._queue = 0

    def routes(self) -> list[BaseRoute]:
        """Their routes."""
        return [
            Route("/inspector/login", self.show, methods=["GET"]),
            Route("/inspector/login", self.enter, methods=["POST"]),
            Route("/inspector/logout", self.leave, methods=["POST"]),
        ]

    async def show(self, request: Request) -> Response:
        """The form."""
        if request.scope["viewer"] is not None or not self._passwords:
            return RedirectResponse(_safe(request.query_params.get("next", "")), 303)
        return self._page(request, _safe(request.query_params.get("next", "")))

    async def enter(self, request: Request) -> Response:
        """Look at a password."""
        told = await form(request)
        there, team = _safe(told.get("next", "")), told.get("team", "").strip()
        guest = request.cookies.get(GUEST, "")
        token = self._sessions.token(f"guest {guest}") if guest else ""
        if not token or not hmac.compare_digest(token.encode(), told.get("token", "").encode()):
            text = (
                "Your browser kept no cookie for this form. Try once more; where people reach "
                "Relay by https, this page has to be opened by https too."
            )
            return self._page(request, there, team, text, 403)
        client = self._head(request).client(self._config.inspector.trusted_proxies)
        crowded = self._queue >= CROWD
        account = team if team in self._passwords else ""
        wait = 1.0 if crowded else self._slowdown.begin(client, time.monotonic(), account)
        if wait > 0:
            text = f"Too many wrong passwords. Try again in {_duration(wait)}."
            answer = self._page(request, there, team, text, 429)
            answer.headers["retry-after"] = str(math.ceil(wait))
            return answer
        if not await self._is_right(team, told.get("password", "")):
            log.warning("inspector: a wrong password from %s", client or "an unknown address")
            return self._page(request, there, team, "That password is wrong.", 403)
        self._slowdown.right(client, account)
        log.info("inspector: somebody logged in from %s", client or "an unknown address")
        answer = RedirectResponse(there, 303)
        session = self._sessions.begin(team, time.time())
        self._set(request, answer, COOKIE, session, LASTS)
        answer.delete_cookie(GUEST, path=HOME, httponly=True, samesite="strict")
        return answer

    async def leave(self, request: Request) -> Response:
        """Take the session from the browser."""
        viewer_of(request)
        answer = RedirectResponse("/inspector/login" if self._passwords else HOME, 303)
        answer.delete_cookie(COOKIE, path=HOME, httponly=True, samesite="strict")
        return answer

    async def _is_right(self, team: str, password: str) -> bool:
        self._queue += 1
        try:
            async with self._turn:
                wanted = self._passwords.get(team)
                usual = next(iter(self._passwords.values()))
                right = await asyncio.to_thread(_matches, wanted or usual, password)
        finally:
            self._queue -= 1
        return right and wanted is not None

    def _page(
        self, request: Request, there: str, team: str = "", error: str = "", status: int = 200
    ) -> Response:
        guest = request.cookies.get(GUEST) or secrets.token_urlsafe(18)
        answer = page(
            request,
            "login.html",
            status,
            next=there,
            team=team[:100],
            error=error,
            token=self._sessions.token(f"guest {guest}"),
            with_teams=any(self._passwords),
            only_teams="" not in self._passwords,
        )
        self._set(request, answer, GUEST, guest, 3600)
        return answer

    def _head(self, request: Request) -> RequestHead:
        head = request.scope["head"]
        assert isinstance(head, RequestHead)  # noqa: S101 - Door puts it there
        return head

    def _set(self, request: Request, answer: Response, name: str, value: str, seconds: int) -> None:
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


def _matches(wanted: Secret, password: str) -> bool:
    text = wanted.reveal()
    if not text.startswith("$argon2"):
        return wanted.matches(password)
    from argon2 import PasswordHasher
    from argon2.exceptions import Argon2Error, InvalidHashError

    try:
        return PasswordHasher().verify(text, password)
    except (Argon2Error, InvalidHashError):
        return False


def _safe(address: str) -> str:
    """Where to go after the login: a page of ours, whatever is asked for."""
    own = address.startswith((f"{HOME}/", f"{HOME}?"))
    plain = address.isascii() and address.isprintable() and "\\" not in address
    return address if own and plain else HOME


def _duration(seconds: float) -> str:
    whole = math.ceil(seconds)
    return f"{whole} second{'s' if whole > 1 else ''}" if whole < 120 else f"{whole // 60} minutes"
