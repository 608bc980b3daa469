"""Access control: who sees which pages, and the login page."""

import asyncio
import hashlib
import hmac
import logging
import math
import re
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address, ip_network
from urllib.parse import parse_qs, quote

from starlette.exceptions import HTTPException
from starlette.requests import Request, cookie_parser
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from relay.config.secret import Secret
from relay.config.settings import Config
from relay.inspector.pages import (
    InspectorContext,
    Viewer,
    form,
    inspector_of,
    page,
    read_body,
    replayed,
    viewer_of,
)
from relay.store.records import StoreUnavailable

log = logging.getLogger(__name__)

SESSION_TTL = 12 * 3600  # seconds
COOKIE = "relay_inspector"


class Sessions:
    """Stateless: the cookie holds account and expiry, signed with a key derived from the config. So
    a session is valid on all replicas and after a restart, and ends when its password changes.
    Logging out only deletes the cookie in the browser."""

    def __init__(self, config: Config) -> None:
        # From the teams' secrets: a key from the password alone would let a stolen cookie be used
        # to guess the password offline.
        secret_text = "\n".join(team.secret.reveal() for team in config.teams.values())
        self._key = hashlib.sha256(secret_text.encode()).digest()
        self._passwords = passwords(config)

    def begin(self, account: str, now: float) -> str:
        """A cookie for ``account``: a team's key, or "" for all; ``now`` in seconds since 1970."""
        payload = f"{account}~{int(now) + SESSION_TTL}~{secrets.token_urlsafe(12)}"
        return f"{payload}~{self._sign('session', payload, self._passwords[account].reveal())}"

    def viewer(self, cookie: str, now: float) -> Viewer | None:
        """None if the cookie has expired or its signature does not match this config."""
        payload, _, signature = cookie.rpartition("~")
        account, _, rest = payload.partition("~")
        password = self._passwords.get(account)
        if password is None:
            return None
        expected = self._sign("session", payload, password.reveal())
        if not hmac.compare_digest(signature.encode("utf-8", "replace"), expected.encode()):
            return None
        if int(rest.partition("~")[0]) <= now:
            return None
        return Viewer(account or None, self.token(payload), has_session=True)

    def token(self, owner: str) -> str:
        """The CSRF token for the forms of ``owner``."""
        return self._sign("form", owner)

    def _sign(self, *parts: str) -> str:
        text = "\x00".join(parts).encode("utf-8", "replace")
        return hmac.digest(self._key, text, "sha256").hex()[:48]


def passwords(config: Config) -> Mapping[str, Secret]:
    """Passwords by account: a team's key, or "" for all teams."""
    accounts = {"": config.inspector.password}
    accounts |= {name: team.inspector_password for name, team in config.teams.items()}
    return {account: password for account, password in accounts.items() if password is not None}


LOOPBACK = ("127.0.0.0/8", "::1/128", "::ffff:127.0.0.0/104")
# Headers that proxies add to forwarded requests.
_FORWARDED_HEADER_PATTERN = re.compile(
    r"forwarded|via|x-(forwarded|original|real|envoy|client|cluster)(-.*)?|true-client-ip|cf-.*"
)
_LOCAL_HOST_PATTERN = re.compile(r"(localhost|127\.\d+\.\d+\.\d+|\[::1\])(:\d+)?", re.IGNORECASE)
# Any other host name may resolve to this machine if its owner wants (DNS rebinding), and pages of
# that host could then read the inspector's.


@dataclass(frozen=True, slots=True)
class RequestHead:
    peer: str  # address of the TCP peer; empty if unknown
    http_version: str
    headers: Mapping[str, Sequence[str]]

    @classmethod
    def of(cls, scope: Scope) -> "RequestHead":
        headers: dict[str, list[str]] = {}
        for name, value in scope["headers"]:
            headers.setdefault(name.decode("latin-1").lower(), []).append(value.decode("latin-1"))
        client = scope.get("client")
        return cls(client[0] if client else "", scope["http_version"], headers)

    def single(self, name: str) -> str:
        """The header's value; empty if it is missing or repeated."""
        values = self.headers.get(name, ())
        return values[0] if len(values) == 1 else ""

    def cookie(self, name: str) -> str:
        """The cookie's value; empty if missing. Tolerates malformed cookies of other services on
        this host: browsers share cookies between ports."""
        return cookie_parser("; ".join(self.headers.get("cookie", ()))).get(name, "")

    def is_peer_in(self, networks: Sequence[str]) -> bool:
        try:
            peer = ip_address(self.peer)
        except ValueError:
            return False
        parsed = map(ip_network, networks)
        return any(peer in network for network in parsed if network.version == peer.version)

    def client(self, proxies: Sequence[str]) -> str:
        """The client's address. A proxy on this machine or in ``proxies`` is trusted to append the
        address that it saw to ``X-Forwarded-For``."""
        last = ",".join(self.headers.get("x-forwarded-for", ())).rpartition(",")[2].strip()
        return last if last and self.is_peer_in((*LOOPBACK, *proxies)) else self.peer

    @property
    def is_local(self) -> bool:
        """Whether a client on this machine sent the request directly, not through a proxy.

        A proxy that adds no header is recognized by HTTP/1.0 or ``Connection: close``, which
        browsers do not send; nginx before 1.29.7 sends both by default
        (https://nginx.org/en/CHANGES). A proxy that sends neither and sets a local ``Host`` cannot
        be recognized: so the guide has proxies forward ``/hooks/`` only.
        """
        if not self.is_peer_in(LOOPBACK) or any(
            map(_FORWARDED_HEADER_PATTERN.fullmatch, self.headers)
        ):
            return False
        if self.http_version == "1.0" or "close" in self.single("connection").lower():
            return False
        hosts = [self.single("host"), *map(_host, self.headers.get("origin", ()))]
        hosts += map(_host, self.headers.get("referer", ()))
        return all(map(_LOCAL_HOST_PATTERN.fullmatch, hosts))

    @property
    def is_from_another_site(self) -> bool:
        return self.single("sec-fetch-site") in ("cross-site", "same-site")

    @property
    def is_https(self) -> bool:
        return self.single("x-forwarded-proto").lower() == "https"


def _host(address: str) -> str:
    """The URL's host and port; empty if it has none, such as ``Origin: null``."""
    return address.partition("://")[2].partition("/")[0]


FREE_ATTEMPTS_COUNT = 3  # per client and account, without delay
MAX_DELAY = 300.0  # seconds between two attempts of one client
ATTEMPTS_TTL = 3600.0  # seconds since the last attempt
MAX_CLIENTS = 1024  # in memory
SHARED_BURST_LIMIT = 30  # attempts of all clients together without delay
SHARED_INTERVAL = 2.0  # seconds per attempt of all clients after the burst


class LoginThrottle:
    """Counts an attempt before its password is checked, so that concurrent attempts gain nothing,
    and subtracts it if the password is right. A right password resets the count of its own account
    (a team, or all teams) only. Times are seconds of one clock."""

    def __init__(self) -> None:
        self._clients: OrderedDict[tuple[str, str], tuple[int, float]] = OrderedDict()
        self._next = 0.0

    def begin(self, address: str, now: float, account: str = "") -> float:
        """Count an attempt. Returns the seconds to wait; if not 0 the attempt was not counted."""
        client = _network(address), account
        attempts, last = self._clients.get(client, (0, 0.0))
        if now - last > ATTEMPTS_TTL:
            attempts = 0
        excess = attempts - FREE_ATTEMPTS_COUNT
        delay = min(MAX_DELAY, 2.0**excess) if excess >= 0 else 0.0
        wait = max(
            last + delay - now, self._next - SHARED_INTERVAL * (SHARED_BURST_LIMIT - 1) - now
        )
        if wait > 0:
            return wait
        self._next = max(self._next, now) + SHARED_INTERVAL
        self._clients[client] = attempts + 1, now
        self._clients.move_to_end(client)
        if len(self._clients) > MAX_CLIENTS:
            self._clients.popitem(last=False)
        return 0.0

    def succeeded(self, address: str, account: str = "") -> None:
        self._clients.pop((_network(address), account), None)
        self._next -= SHARED_INTERVAL


def _network(address: str) -> str:
    """What counts as one client: an IPv4 address, or an IPv6 /64, which one client owns whole."""
    try:
        ip = ip_address(address)
    except ValueError:
        return address
    if isinstance(ip, IPv6Address):
        return str(ip.ipv4_mapped) if ip.ipv4_mapped else str(int(ip) >> 64)
    return address


MAX_FORM_BYTES, MAX_ANONYMOUS_FORM_BYTES = 2 * 1024 * 1024, 8 * 1024
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
        self._settings = inspector.config.inspector
        self._sessions = Sessions(inspector.config)
        self._has_login = bool(passwords(inspector.config))
        self._build_pages = pages
        self._pages: ASGIApp | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        head = RequestHead.of(scope)
        viewer = self._viewer(head)
        if viewer is None:
            if not self._has_login:
                raise HTTPException(404)
            if not scope["path"].startswith(PUBLIC_PATHS):
                await _redirect_to_login(scope, head)(scope, receive, send)
                return
        scope["inspector"], scope["viewer"], scope["head"] = self._inspector, viewer, head
        if scope["method"] not in ("GET", "HEAD"):
            limit = MAX_ANONYMOUS_FORM_BYTES if viewer is None else MAX_FORM_BYTES
            body = await read_body(receive, limit)
            if viewer is not None and not _has_token(head, viewer, body):
                raise HTTPException(403, "This form has expired: go back and reload the page")
            receive = replayed(body, receive)
        if self._pages is None:
            self._pages = self._build_pages(self._inspector, self._sessions)
        try:
            await self._pages(scope, receive, send)
        except StoreUnavailable as error:
            log.warning("inspector: cannot read the store: %s", error)
            raise HTTPException(503, f"Cannot read the store: {error}") from error

    def _viewer(self, head: RequestHead) -> Viewer | None:
        """None for an anonymous client."""
        header = self._settings.trusted_header
        if header and head.is_peer_in(self._settings.trusted_proxies or LOOPBACK):
            name = head.single(header).strip()
            if 0 < len(name) <= 200:
                return Viewer(None, self._sessions.token(f"proxy {name}"), name)
        cookie = head.cookie(COOKIE)
        if cookie and (viewer := self._sessions.viewer(cookie, time.time())):
            return viewer
        if self._settings.password is None and head.is_local:
            return Viewer(None, self._sessions.token("local"))
        return None


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


def _redirect_to_login(scope: Scope, head: RequestHead) -> Response:
    """htmx requests, which load part of a page, get htmx's own redirect header."""
    query = scope["query_string"].decode("latin-1")
    url = scope["path"] + (f"?{query}" if query else "")
    is_htmx = bool(head.single("hx-request"))
    is_page = scope["method"] in ("GET", "HEAD") and not is_htmx
    login = "/inspector/login" + (f"?next={quote(url, safe='')}" if is_page else "")
    name, status = ("hx-redirect", 401) if is_htmx else ("location", 303)
    return Response(status_code=status, headers={name: login, "cache-control": "no-store"})


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
