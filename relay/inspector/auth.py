"""Access control: who sees which pages."""

import asyncio
import hmac
import re
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import TypeAlias
from urllib.parse import parse_qsl, quote

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from relay.config.secret import Secret
from relay.config.settings import Config
from relay.inspector.pages import (
    InspectorContext,
    Viewer,
    form,
    store_unavailable,
    with_default_headers,
)
from relay.protocol import AUTHENTICATED
from relay.store.base import Store
from relay.store.records import StoreUnavailable

SESSION_TTL = 12 * 3600  # seconds
DEVICE_TTL = 180 * 24 * 3600  # seconds
COOKIE = "relay_inspector"
_STORE_KEY = "inspector/key"


class Sessions:
    """Stateless: a cookie holds account and expiry, signed with a key that all replicas share. So a
    session is valid after a restart, and ends when its password changes. Logging out only deletes
    the cookie in the browser."""

    def __init__(self, config: Config, key: bytes) -> None:
        self._key = key
        self._teams = tuple(config.teams)
        accounts = {"": config.inspector.password}
        accounts |= {name: team.inspector_password for name, team in config.teams.items()}
        self.passwords = {account: text for account, text in accounts.items() if text}
        """By account: a team's key, or "" for all teams."""

    @classmethod
    async def open(cls, config: Config, store: Store) -> "Sessions":
        """With the random key in ``store``, which the first replica creates. A key derived from the
        config would let a stolen cookie be used to guess a secret offline."""
        if (stored := await store.get_value(_STORE_KEY)) is None:
            await store.put_new_value(_STORE_KEY, secrets.token_hex(32))
            stored = await store.get_value(_STORE_KEY)
            assert stored is not None  # noqa: S101 - values are never deleted
        return cls(config, bytes.fromhex(stored.value))

    def begin(self, account: str, now: float) -> str:
        """A cookie; ``now`` in seconds since 1970."""
        return self._cookie("session", account, int(now) + SESSION_TTL)

    def viewer(self, cookie: str, now: float) -> Viewer | None:
        """None if the cookie has expired or its signature is not of this key and password."""
        if (verified := self._verified("session", cookie, now)) is None:
            return None
        account, payload = verified
        teams = (account,) if account else self._teams
        return Viewer(account or None, teams, self.token(payload), has_session=True)

    def begin_device(self, account: str, now: float) -> str:
        """A cookie for a browser that gave the right password. It opens no page."""
        return self._cookie("device", account, int(now) + DEVICE_TTL)

    def device(self, cookie: str, account: str, now: float) -> str:
        """What identifies a browser that gave the account's password before; empty for others."""
        verified = self._verified("device", cookie, now)
        return verified[1] if verified is not None and verified[0] == account else ""

    def viewer_of_all(self, owner: str, name: str = "") -> Viewer:
        """A viewer without a session, who sees all teams."""
        return Viewer(None, self._teams, self.token(owner), name)

    def token(self, owner: str) -> str:
        """The CSRF token for the forms of ``owner``."""
        return self._sign("form", owner)

    def _cookie(self, kind: str, account: str, end: int) -> str:
        payload = f"{account}~{end}~{secrets.token_urlsafe(12)}"
        return f"{payload}~{self._sign(kind, payload, self.passwords[account].reveal())}"

    def _verified(self, kind: str, cookie: str, now: float) -> tuple[str, str] | None:
        """The cookie's account and payload."""
        payload, _, signature = cookie.rpartition("~")
        account, _, rest = payload.partition("~")
        password = self.passwords.get(account)
        if password is None:
            return None
        expected = self._sign(kind, payload, password.reveal())
        if not Secret(expected).matches(signature) or int(rest.partition("~")[0]) <= now:
            return None
        return account, payload

    def _sign(self, *parts: str) -> str:
        text = "\x00".join(parts).encode("utf-8", "replace")
        return hmac.digest(self._key, text, "sha256").hex()[:48]


FORM_TIMEOUT = 30.0  # seconds
MAX_FIELDS = 100  # of a form
_LOCAL_HOST_PATTERN = re.compile(r"(localhost|127\.\d+\.\d+\.\d+|\[::1\])(:\d+)?", re.IGNORECASE)
# Any other host name may resolve to this machine if its owner wants (DNS rebinding), and pages of
# that host could then read the inspector's.
_WITH_PORT_PATTERN = re.compile(r"\[(.+)\](?::\d+)?|([\d.]+):\d+")
Networks: TypeAlias = Sequence[IPv4Network | IPv6Network]


def _address(text: str) -> IPv4Address | IPv6Address | None:
    """An address, of IPv4 also if it is mapped into IPv6. Some proxies add a port."""
    match = _WITH_PORT_PATTERN.fullmatch(text.strip())
    try:
        address = ip_address((match[1] or match[2]) if match else text.strip())
    except ValueError:
        return None
    return address.ipv4_mapped or address if isinstance(address, IPv6Address) else address


class ClientRequest(Request):
    """A request with what its head says about the client."""

    def single(self, name: str) -> str:
        """The header's value; empty if it is missing or repeated."""
        values = self.headers.getlist(name)
        return values[0] if len(values) == 1 else ""

    def is_from(self, networks: Networks) -> bool:
        """Whether the TCP peer is in one of them."""
        peer = _address(self.client.host) if self.client else None
        return peer is not None and any(peer in network for network in networks)

    def client_address(self, proxies: Networks) -> str:
        """The rightmost address of ``X-Forwarded-For`` that is none of ``proxies``, which append
        the address that they see; the peer's address if the peer is none."""
        client = _address(self.client.host) if self.client else None
        hops = ",".join(self.headers.getlist("x-forwarded-for")).split(",")
        while client and any(client in network for network in proxies):
            if not hops or (hop := _address(hops.pop())) is None:
                break
            client = hop
        return str(client or "")

    def is_own(self, *, only_local: bool) -> bool:
        """Whether a page of the inspector caused it; for ``GET`` also a person who entered the URL,
        and a link on another page unless ``only_local``. Penpot sends neither of the headers.

        ``Sec-Fetch-Site`` is missing where the browser uses http to another machine."""
        site, host = self.single("sec-fetch-site"), self.single("host")
        origins = {url.partition("://")[2] for url in self.headers.getlist("origin")}
        if only_local and (
            not _LOCAL_HOST_PATTERN.fullmatch(host)
            or site not in ("", "none", "same-origin")
            or origins - {host}
        ):
            return False
        is_of_page = site == "same-origin" or (not site and origins == {host})
        return is_of_page or self.method == "GET"

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
        """Whether the request has the viewer's CSRF token."""
        return Secret(token).matches(self.single("x-relay-token") or form(self).get("token", ""))


MAX_FORM_BYTES, MAX_ANONYMOUS_FORM_BYTES = 2 * 1024 * 1024, 8 * 1024
PUBLIC_PATHS = ("/inspector/login", "/inspector/static/")  # for anonymous clients, with a password


class LoginGate:
    """ASGI application in front of the pages.

    A request that no page of the inspector caused, and an anonymous client where there is no
    password, get the same 404 as for any unknown path. A permitted request gets ``inspector``,
    ``viewer`` and ``form`` in its scope, and its CSRF token is checked if it changes something.
    """

    def __init__(
        self, inspector: InspectorContext, pages: Callable[[InspectorContext, Sessions], ASGIApp]
    ) -> None:
        """``pages`` builds the application behind the gate, with the first permitted request."""
        self._inspector = inspector
        config = inspector.config
        self._header = config.inspector.trusted_header
        self._proxies = config.proxies.networks()
        self._is_open = config.inspector_access == "open"
        self._build_pages = pages
        self._sessions: Sessions | None = None
        self._pages: ASGIApp | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = ClientRequest(scope, receive)
        if not request.is_own(only_local=self._is_open):
            raise HTTPException(404)
        try:
            sessions = await self._opened_sessions()
        except StoreUnavailable as error:
            await (await store_unavailable(request, error))(scope, receive, send)
            return
        viewer = self._viewer(request, sessions)
        if viewer is None and not sessions.passwords:
            raise HTTPException(404)
        if viewer is None and not scope["path"].startswith(PUBLIC_PATHS):
            await _redirect_to_login(request)(scope, receive, send)
            return
        if viewer is not None and AUTHENTICATED in scope.get("extensions", {}):
            scope["extensions"][AUTHENTICATED](viewer.team or "")
        scope["inspector"], scope["viewer"], scope["form"] = self._inspector, viewer, {}
        if request.method != "GET":
            limit = MAX_ANONYMOUS_FORM_BYTES if viewer is None else MAX_FORM_BYTES
            scope["form"] = await request.read_form(limit)
            if viewer is not None and not request.has_token(viewer.token):
                raise HTTPException(403, "This form has expired: go back and reload the page")
        if self._pages is None:
            self._pages = self._build_pages(self._inspector, sessions)
        await self._pages(scope, receive, with_default_headers(send))

    async def _opened_sessions(self) -> Sessions:
        if self._sessions is None:
            self._sessions = await Sessions.open(self._inspector.config, self._inspector.store)
        return self._sessions

    def _viewer(self, request: ClientRequest, sessions: Sessions) -> Viewer | None:
        """None for an anonymous client."""
        if self._is_open:
            return sessions.viewer_of_all("local")
        if self._header and request.is_from(self._proxies):
            name = request.single(self._header).strip()
            if 0 < len(name) <= 200:
                return sessions.viewer_of_all(f"proxy {name}", name)
        return sessions.viewer(request.cookies.get(COOKIE, ""), time.time())


def _redirect_to_login(request: ClientRequest) -> Response:
    """htmx requests, which load part of a page, get htmx's own redirect header."""
    url = str(request.url.replace(scheme="", netloc=""))
    is_htmx = bool(request.single("hx-request"))
    is_page = request.method == "GET" and not is_htmx
    login = "/inspector/login" + (f"?next={quote(url, safe='')}" if is_page else "")
    name, status = ("hx-redirect", 401) if is_htmx else ("location", 303)
    return Response(status_code=status, headers={name: login, "cache-control": "no-store"})
