"""Access control: maps a request head to its viewer. No I/O."""

import hashlib
import hmac
import re
import secrets
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address, ip_network

from starlette.requests import cookie_parser
from starlette.types import Scope

from relay.config.secret import Secret
from relay.config.settings import Config
from relay.inspector.context import Viewer

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


class Access:
    def __init__(self, config: Config, sessions: Sessions, *, has_login: bool) -> None:
        self._settings = config.inspector
        self._sessions = sessions
        self.has_login = has_login  # a password is set: anonymous clients get the login page

    def viewer(self, head: RequestHead, now: float) -> Viewer | None:
        """None for an anonymous client. ``now`` is in seconds since 1970."""
        header = self._settings.trusted_header
        if header and head.is_peer_in(self._settings.trusted_proxies or LOOPBACK):
            name = head.single(header).strip()
            if 0 < len(name) <= 200:
                return Viewer(None, self._sessions.token(f"proxy {name}"), name)
        if (cookie := head.cookie(COOKIE)) and (viewer := self._sessions.viewer(cookie, now)):
            return viewer
        if self._settings.password is None and head.is_local:
            return Viewer(None, self._sessions.token("local"))
        return None


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
