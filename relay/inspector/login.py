"""The login page, and what slows down guessing."""

import asyncio
import logging
import math
import secrets
import time
from collections import Counter
from ipaddress import IPv6Address, ip_address

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from relay.config.secret import Secret
from relay.config.settings import Config
from relay.inspector.auth import COOKIE, DEVICE_TTL, SESSION_TTL, ClientRequest, Sessions
from relay.inspector.pages import form, page

log = logging.getLogger(__name__)

FREE_ATTEMPTS_COUNT = 3  # per client, without delay
MAX_DELAY = 300.0  # seconds between two attempts of one client
ATTEMPTS_TTL = 3600.0  # seconds since the last attempt
MAX_CLIENTS = 1024  # in memory
SHARED_BURST_LIMIT = 30  # attempts of all clients together without delay
SHARED_INTERVAL = 2.0  # seconds per attempt of all clients after the burst


class LoginThrottle:
    """Counts an attempt before its password is checked, so that concurrent attempts gain nothing,
    and subtracts it if the password is right. A right password resets the count of its own account
    (a team, or all teams) only. Times are seconds of one clock."""

    def __init__(self, shared_interval: float) -> None:
        """``shared_interval`` 0: no limit for all clients together."""
        self._clients: dict[str, tuple[Counter[str], float]] = {}  # oldest attempt first
        self._shared_interval = shared_interval
        self._next = 0.0
        self.waiting = 0
        """Attempts whose password is being checked."""

    def begin(self, client: str, now: float, account: str = "") -> float:
        """Count an attempt. Returns the seconds to wait; if not 0 the attempt was not counted."""
        attempts, last = self._clients.get(client, (Counter(), 0.0))
        if now - last > ATTEMPTS_TTL:
            attempts = Counter()
        excess = attempts.total() - FREE_ATTEMPTS_COUNT
        delay = min(MAX_DELAY, 2.0**excess) if excess >= 0 else 0.0
        shared_start = self._next - self._shared_interval * (SHARED_BURST_LIMIT - 1)
        wait = max(last + delay, shared_start) - now
        if wait > 0:
            return wait
        self._next = max(self._next, now) + self._shared_interval
        attempts[account] += 1
        self._clients.pop(client, None)
        self._clients[client] = attempts, now
        if len(self._clients) > MAX_CLIENTS:
            del self._clients[next(iter(self._clients))]
        return 0.0

    def succeeded(self, client: str, account: str = "") -> None:
        if client in self._clients:
            del self._clients[client][0][account]
        self._next -= self._shared_interval


def network(address: str) -> str:
    """What counts as one client: an IPv4 address, or an IPv6 /64, which one client owns whole."""
    try:
        ip = ip_address(address)
    except ValueError:
        return address
    return str(int(ip) >> 64) if isinstance(ip, IPv6Address) else address


FORM_COOKIE = "relay_login"  # CSRF protection of the login form: its token is bound to this cookie
FORM_COOKIE_TTL = 3600  # seconds
DEVICE_COOKIE = "relay_device"
MAX_WAITING_LOGINS = 8
HOME = "/inspector"
_NO_COOKIE = "Your browser did not send this form's cookie. Allow cookies for Relay, and try again."
_NO_PASSWORD = Secret("compared for an account without a password, so that it takes as long")


class Login:
    """Checks one password at a time: verifying an argon2 hash takes 64 MB of memory.

    A browser that gave the right password before has a device cookie, and so a counter of its own:
    the wrong passwords of others, of whatever address, do not delay it. A stolen cookie gives as
    many attempts as one more address, for that account alone.
    """

    def __init__(self, config: Config, sessions: Sessions) -> None:
        self._sessions = sessions
        self._proxies = config.proxies.networks()
        self._clients, self._devices = LoginThrottle(SHARED_INTERVAL), LoginThrottle(0.0)
        self._lock = asyncio.Lock()
        self._decoy = next(filter(is_hash, sessions.passwords.values()), None)

    def routes(self) -> list[Route]:
        return [
            Route("/inspector/login", self.show, methods=["GET"]),
            Route("/inspector/login", self.log_in, methods=["POST"]),
            Route("/inspector/logout", self.log_out, methods=["POST"]),
        ]

    async def show(self, request: Request) -> Response:
        next_url = _safe_url(request.query_params.get("next", ""))
        if request.scope["viewer"] is not None or not self._sessions.passwords:
            return RedirectResponse(next_url, 303)
        return self._page(request, next_url)

    async def log_in(self, request: Request) -> Response:
        fields, form_id = form(request), request.cookies.get(FORM_COOKIE, "")
        next_url, team = _safe_url(fields.get("next", "")), fields.get("team", "").strip()
        token = Secret(self._sessions.token(f"login {form_id}"))
        if not form_id or not token.matches(fields.get("token", "")):
            return self._page(request, next_url, team, _NO_COOKIE, 403)
        address = ClientRequest(request.scope).client_address(self._proxies)
        device = self._sessions.device(request.cookies.get(DEVICE_COOKIE, ""), team, time.time())
        throttle, client = (self._devices, device) if device else (self._clients, network(address))
        account = team if team in self._sessions.passwords else ""
        under_load = throttle.waiting >= MAX_WAITING_LOGINS
        wait = 1.0 if under_load else throttle.begin(client, time.monotonic(), account)
        if wait > 0:
            text = f"Too many wrong passwords. Try again in {_duration(wait)}."
            answer = self._page(request, next_url, team, text, 429)
            answer.headers["retry-after"] = str(math.ceil(wait))
            return answer
        if not await self._is_right(throttle, team, fields.get("password", "")):
            log.warning("inspector: wrong password from %s", address or "an unknown address")
            return self._page(request, next_url, team, "Wrong password.", 403)
        throttle.succeeded(client, account)
        log.info("inspector: login from %s", address or "an unknown address")
        answer, now = RedirectResponse(next_url, 303), time.time()
        self._set_cookie(request, answer, COOKIE, self._sessions.begin(team, now), SESSION_TTL)
        device = self._sessions.begin_device(team, now)
        self._set_cookie(request, answer, DEVICE_COOKIE, device, DEVICE_TTL)
        self._set_cookie(request, answer, FORM_COOKIE, "", 0)
        return answer

    async def log_out(self, request: Request) -> Response:
        answer = RedirectResponse("/inspector/login" if self._sessions.passwords else HOME, 303)
        self._set_cookie(request, answer, COOKIE, "", 0)
        return answer

    async def _is_right(self, throttle: LoginThrottle, team: str, password: str) -> bool:
        expected = self._sessions.passwords.get(team)
        throttle.waiting += 1
        try:
            async with self._lock:
                return await asyncio.to_thread(matches, expected, self._decoy, password)
        finally:
            throttle.waiting -= 1

    def _page(
        self, request: Request, next_url: str, team: str = "", error: str = "", status: int = 200
    ) -> Response:
        form_id = request.cookies.get(FORM_COOKIE) or secrets.token_urlsafe(18)
        token = self._sessions.token(f"login {form_id}")
        accounts = self._sessions.passwords.keys()
        values = {"next": next_url, "team": team[:100], "error": error, "accounts": accounts}
        answer = page(request, "login.html", status, token=token, **values)
        self._set_cookie(request, answer, FORM_COOKIE, form_id, FORM_COOKIE_TTL)
        return answer

    def _set_cookie(
        self, request: Request, answer: Response, name: str, value: str, seconds: int
    ) -> None:
        """With ``seconds`` 0 the browser deletes it."""
        origin = request.headers.get("origin", "").partition(":")[0]
        is_https = "https" in (origin, request.headers.get("x-forwarded-proto", "").lower())
        answer.set_cookie(
            name, value, seconds, path=HOME, secure=is_https, httponly=True, samesite="strict"
        )


def is_hash(password: Secret) -> bool:
    return password.reveal().startswith("$argon2")


def matches(expected: Secret | None, decoy: Secret | None, password: str) -> bool:
    """Verifies one hash for every account, also for one without a password, where there is a hash
    at all (``decoy``): so the time does not reveal which teams exist or have a login."""
    hashed = expected if expected is not None and is_hash(expected) else decoy
    is_verified = hashed is not None and _verifies(hashed, password)
    if hashed is expected is not None:
        return is_verified
    return (expected or _NO_PASSWORD).matches(password) and expected is not None


def _verifies(hashed: Secret, password: str) -> bool:
    from argon2 import PasswordHasher
    from argon2.exceptions import Argon2Error, InvalidHashError

    try:
        return PasswordHasher().verify(hashed.reveal(), password)
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
