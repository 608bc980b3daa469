"""Access: who may look. Pure, from a request's head to its viewer."""

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
_FORWARDED = re.compile(
    r"forwarded|via|x-(forwarded|original|real|envoy|client|cluster)(-.*)?|true-client-ip|cf-.*"
)
"""Headers that a proxy adds when it passes a request on."""
_HERE = re.compile(r"(localhost|127\.\d+\.\d+\.\d+|\[::1\])(:\d+)?", re.IGNORECASE)
"""Hosts that lead nowhere but here. Another's name may lead here too, if its owner wants (DNS
rebinding), and its pages could then read ours."""


@dataclass(frozen=True, slots=True)
class RequestHead:
    """The head of a request."""

    peer: str
    """Address of the other end of the connection; empty where it is not known."""
    http: str
    headers: Mapping[str, Sequence[str]]

    @classmethod
    def of(cls, scope: Scope) -> "RequestHead":
        """The head of the request in an ASGI scope."""
        headers: dict[str, list[str]] = {}
        for name, value in scope["headers"]:
            headers.setdefault(name.decode("latin-1").lower(), []).append(value.decode("latin-1"))
        client = scope.get("client")
        return cls(client[0] if client else "", scope["http_version"], headers)

    def one(self, name: str) -> str:
        """A header that is there once; else empty."""
        values = self.headers.get(name, ())
        return values[0] if len(values) == 1 else ""

    def cookie(self, name: str) -> str:
        """A cookie; empty where there is none. Whatever another service on this host has set
        stands beside it: cookies know no ports."""
        return cookie_parser("; ".join(self.headers.get("cookie", ()))).get(name, "")

    def comes_from(self, networks: Sequence[str]) -> bool:
        """Whether the other end is in one of these networks."""
        try:
            peer = ip_address(self.peer)
        except ValueError:
            return False
        found = map(ip_network, networks)
        return any(peer in network for network in found if network.version == peer.version)

    def client(self, proxies: Sequence[str]) -> str:
        """The address of who asks: where a proxy on this machine, or one of these, passes the
        request on, the one that it has seen, which it puts last."""
        seen = ",".join(self.headers.get("x-forwarded-for", ())).rpartition(",")[2].strip()
        return seen if seen and self.comes_from((*LOOPBACK, *proxies)) else self.peer

    @property
    def is_local(self) -> bool:
        """Whether a program on this machine asks for itself.

        A proxy that adds no header of its own is told by its HTTP/1.0 or its ``Connection: close``,
        which no browser sends; nginx sends both before 1.29.7, unless it is told otherwise. One
        that sends neither, and the address that it was given for the host, is told by nothing:
        so the README has proxies pass on ``/hooks/`` alone.
        https://nginx.org/en/CHANGES, 1.29.7
        """
        if not self.comes_from(LOOPBACK) or any(map(_FORWARDED.fullmatch, self.headers)):
            return False
        if self.http == "1.0" or "close" in self.one("connection").lower():
            return False
        places = [self.one("host"), *map(_host, self.headers.get("origin", ()))]
        places += map(_host, self.headers.get("referer", ()))
        return all(map(_HERE.fullmatch, places))

    @property
    def is_from_another_site(self) -> bool:
        """Whether a browser says that another site's page made the request."""
        return self.one("sec-fetch-site") in ("cross-site", "same-site")

    @property
    def is_https(self) -> bool:
        """Whether a proxy says that the browser came by https."""
        return self.one("x-forwarded-proto").lower() == "https"


class Access:
    """Decides for whom a request is answered."""

    def __init__(self, config: Config, sessions: Sessions, *, has_login: bool) -> None:
        self._settings = config.inspector
        self._sessions = sessions
        self.has_login = has_login
        """Whether there is a password, and so a login that anybody may see."""

    def viewer(self, head: RequestHead, now: float) -> Viewer | None:
        """Who asks; None for somebody who is not known. ``now`` in seconds since 1970."""
        header = self._settings.trusted_header
        if header and head.comes_from(self._settings.trusted_proxies or LOOPBACK):
            name = head.one(header).strip()
            if 0 < len(name) <= 200:
                return Viewer(None, self._sessions.token(f"proxy {name}"), name)
        if (cookie := head.cookie(COOKIE)) and (viewer := self._sessions.viewer(cookie, now)):
            return viewer
        if self._settings.password is None and head.is_local:
            return Viewer(None, self._sessions.token("local"))
        return None


def _host(address: str) -> str:
    """The host and port of an address; empty where it has none, such as Origin's ``null``."""
    return address.partition("://")[2].partition("/")[0]
