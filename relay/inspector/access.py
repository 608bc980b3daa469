"""Access control: maps a request head to its viewer. No I/O."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from ipaddress import ip_address, ip_network

from starlette.requests import cookie_parser
from starlette.types import Scope

from relay.config import Config
from relay.inspector.context import Viewer
from relay.inspector.sessions import COOKIE, Sessions

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
        be recognized: so the README has proxies forward ``/hooks/`` only.
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
