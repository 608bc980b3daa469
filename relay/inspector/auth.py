"""Access control: who sees which pages, and the login page."""

import asyncio
import hashlib
import hmac
import logging
import math
import re
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from ipaddress import IPv6Address, ip_address, ip_network
from urllib.parse import parse_qsl, quote

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from relay.config.secret import Secret
from relay.config.settings import Config
from relay.inspector.pages import InspectorContext, Viewer, form, page, with_default_headers

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
        secret_text = "\n".join(
            secret.reveal() for team in config.teams.values() for secret in team.secret
        )
        self._key = hashlib.sha256(secret_text.encode()).digest()
        self._teams = tuple(config.teams)
        accounts = {"": config.inspector.password}
        accounts |= {name: team.inspector_password for name, team in config.teams.items()}
        self.passwords = {account: text for account, text in accounts.items() if text}
        """By account: a team's key, or "" for all teams."""

    def begin(self, account: str, now: float) -> str:
        """A cookie; ``now`` in seconds since 1970."""
        payload = f"{account}~{int(now) + SESSION_TTL}~{secrets.token_urlsafe(12)}"
        return f"{payload}~{self._sign('session', payload, self.passwords[account].reveal())}"

    def viewer(self, cookie: str, now: float) -> Viewer | None:
        """None if the cookie has expired or its signature does not match this config."""
        payload, _, signature = cookie.rpartition("~")
        account, _, rest = payload.partition("~")
        password = self.passwords.get(account)
        if password is None:
            return None
        expected = self._sign("session", payload, password.reveal())
        if not Secret(expected).matches(signature) or int(rest.partition("~")[0]) <= now:
            return None
        teams = (account,) if account else self._teams
        return Viewer(account or None, teams, self.token(payload), has_session=True)

    def viewer_of_all(self, owner: str, name: str = "") -> Viewer:
        """A viewer without a session, who sees all teams."""
        return Viewer(None, self._teams, self.token(owner), name)

    def token(self, owner: str) -> str:
        """The CSRF token for the forms of ``owner``."""
        return self._sign("form", owner)

    def _sign(self, *parts: str) -> str:
        text = "\x00".join(parts).encode("utf-8", "replace")
        return hmac.digest(self._key, text, "sha256").hex()[:48]


FORM_TIMEOUT = 30.0  # seconds
MAX_FIELDS = 100  # of a form
LOOPBACK = ("127.0.0.0/8", "::1/128", "::ffff:127.0.0.0/104")
# Headers that proxies add to forwarded requests.
_FORWARDED_HEADER_PATTERN = re.compile(
    r"forwarded|via|x-(forwarded|original|real|envoy|client|cluster)(-.*)?|true-client-ip|cf-.*"
)
_LOCAL_HOST_PATTERN = re.compile(r"(localhost|127\.\d+\.\d+\.\d+|\[::1\])(:\d+)?", re.IGNORECASE)
# Any other host name may resolve to this machine if its owner wants (DNS rebinding), and pages of
# that host could then read the inspector's.


class ClientRequest(Request):
    """A request with what its head says about the client."""

    def single(self, name: str) -> str:
        """The header's value; empty if it is missing or repeated."""
        values = self.headers.getlist(name)
        return values[0] if len(values) == 1 else ""

    @property
    def peer(self) -> str:
        """The address of the TCP peer; empty if unknown."""
        return self.client.host if self.client else ""

    def is_peer_in(self, networks: Sequence[str]) -> bool:
        try:
            peer = ip_address(self.peer)
        except ValueError:
            return False
        return any(peer in network for network in map(ip_network, networks))

    def client_address(self, proxies: Sequence[str]) -> str:
        """A proxy on this machine or in ``proxies`` is trusted to append the address that it saw to
        ``X-Forwarded-For``."""
        last = ",".join(self.headers.getlist("x-forwarded-for")).rpartition(",")[2].strip()
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
        if self.scope["http_version"] == "1.0" or "close" in self.single("connection").lower():
            return False
        pages = self.headers.getlist("origin") + self.headers.getlist("referer")
        # without host and port: ``Origin: null``
        hosts = [self.single("host"), *(url.partition("://")[2].partition("/")[0] for url in pages)]
        return all(map(_LOCAL_HOST_PATTERN.fullmatch, hosts))

    async def read_form(self, limit: int) -> Mapping[str, str]:
        """The fields of a url-encoded body of at most ``limit`` bytes."""
        body = bytearray()
        try:
            async with asyncio.timeout(FORM_TIMEOUT):
                async for chunk in self.stream():
                    body += chunk
                    if len(body) > limit:
                        raise HTTPException(413, headers={"connection": "close"})
            text = body.decode("utf-8", "replace")
            return dict(parse_qsl(text, keep_blank_values=True, max_num_fields=MAX_FIELDS))
        except TimeoutError as error:
            raise HTTPException(408, headers={"connection": "close"}) from error
        except ClientDisconnect as error:
            raise HTTPException(400) from error
        except ValueError:  # too many fields
            return {}

    def has_token(self, token: str) -> bool:
        """Whether the request has the viewer's CSRF token and no other site caused it."""
        given = self.single("x-relay-token") or form(self).get("token", "")
        is_foreign = self.single("sec-fetch-site") in ("cross-site", "same-site")
        return Secret(token).matches(given) and not is_foreign


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
        self._clients: dict[tuple[str, str], tuple[int, float]] = {}  # oldest attempt first
        self._next = 0.0

    def begin(self, address: str, now: float, account: str = "") -> float:
        """Count an attempt. Returns the seconds to wait; if not 0 the attempt was not counted."""
        client = _network(address), account
        attempts, last = self._clients.get(client, (0, 0.0))
        if now - last > ATTEMPTS_TTL:
            attempts = 0
        excess = attempts - FREE_ATTEMPTS_COUNT
        delay = min(MAX_DELAY, 2.0**excess) if excess >= 0 else 0.0
        shared_start = self._next - SHARED_INTERVAL * (SHARED_BURST_LIMIT - 1)
        wait = max(last + delay, shared_start) - now
        if wait > 0:
            return wait
        self._next = max(self._next, now) + SHARED_INTERVAL
        self._clients.pop(client, None)
        self._clients[client] = attempts + 1, now
        if len(self._clients) > MAX_CLIENTS:
            del self._clients[next(iter(self._clients))]
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
    request gets ``inspector``, ``viewer`` and ``form`` in its scope, and its CSRF token is checked
    if it changes something.
    """

    def __init__(
        self, inspector: InspectorContext, pages: Callable[[InspectorContext, Sessions], ASGIApp]
    ) -> None:
        """``pages`` builds the application behind the gate, with the first permitted request."""
        self._inspector = inspector
        self._settings = inspector.config.inspector
        self._sessions = Sessions(inspector.config)
        self._build_pages = pages
        self._pages: ASGIApp | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = ClientRequest(scope, receive)
        viewer = self._viewer(request)
        if viewer is None and not self._sessions.passwords:
            raise HTTPException(404)
        if viewer is None and not scope["path"].startswith(PUBLIC_PATHS):
            await _redirect_to_login(request)(scope, receive, send)
            return
        scope["inspector"], scope["viewer"], scope["form"] = self._inspector, viewer, {}
        if request.method not in ("GET", "HEAD"):
            limit = MAX_ANONYMOUS_FORM_BYTES if viewer is None else MAX_FORM_BYTES
            scope["form"] = await request.read_form(limit)
            if viewer is not None and not request.has_token(viewer.token):
                raise HTTPException(403, "This form has expired: go back and reload the page")
        if self._pages is None:
            self._pages = self._build_pages(self._inspector, self._sessions)
        await self._pages(scope, receive, with_default_headers(send))

    def _viewer(self, request: ClientRequest) -> Viewer | None:
        """None for an anonymous client."""
        header = self._settings.trusted_header
        if header and request.is_peer_in(self._settings.trusted_proxies or LOOPBACK):
            name = request.single(header).strip()
            if 0 < len(name) <= 200:
                return self._sessions.viewer_of_all(f"proxy {name}", name)
        if viewer := self._sessions.viewer(request.cookies.get(COOKIE, ""), time.time()):
            return viewer
        if self._settings.password is None and request.is_local:
            return self._sessions.viewer_of_all("local")
        return None


def _redirect_to_login(request: ClientRequest) -> Response:
    """htmx requests, which load part of a page, get htmx's own redirect header."""
    url = str(request.url.replace(scheme="", netloc=""))
    is_htmx = bool(request.single("hx-request"))
    is_page = request.method in ("GET", "HEAD") and not is_htmx
    login = "/inspector/login" + (f"?next={quote(url, safe='')}" if is_page else "")
    name, status = ("hx-redirect", 401) if is_htmx else ("location", 303)
    return Response(status_code=status, headers={name: login, "cache-control": "no-store"})


FORM_COOKIE = "relay_login"  # CSRF protection of the login form: its token is bound to this cookie
FORM_COOKIE_TTL = 3600  # seconds
MAX_WAITING_LOGINS = 8
HOME = "/inspector"
_NO_COOKIE = (
    "Your browser did not send this form's cookie. Try again; if Relay's public URL begins with "
    "https, open this page by https too."
)


class Login:
    """Checks one password at a time: verifying an argon2 hash takes 64 MB of memory."""

    def __init__(self, config: Config, sessions: Sessions) -> None:
        self._config = config
        self._sessions = sessions
        self._throttle = LoginThrottle()
        self._lock = asyncio.Lock()
        self._waiting = 0

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
        client = ClientRequest(request.scope).client_address(self._config.inspector.trusted_proxies)
        under_load = self._waiting >= MAX_WAITING_LOGINS
        account = team if team in self._sessions.passwords else ""
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
        self._set_cookie(request, answer, FORM_COOKIE, "", 0)
        return answer

    async def log_out(self, request: Request) -> Response:
        answer = RedirectResponse("/inspector/login" if self._sessions.passwords else HOME, 303)
        self._set_cookie(request, answer, COOKIE, "", 0)
        return answer

    async def _is_right(self, team: str, password: str) -> bool:
        passwords = self._sessions.passwords
        self._waiting += 1
        try:
            async with self._lock:
                # For an unknown team too, so that the time does not reveal which teams exist.
                expected = passwords.get(team) or next(iter(passwords.values()))
                matches = await asyncio.to_thread(_matches, expected, password)
        finally:
            self._waiting -= 1
        return matches and team in passwords

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
        schemes = request.url.scheme, request.headers.get("x-forwarded-proto", "").lower()
        is_https = "https" in schemes or self._config.server.public_url.startswith("https:")
        answer.set_cookie(
            name, value, seconds, path=HOME, secure=is_https, httponly=True, samesite="strict"
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
