"""The proxy variables of the environment, for httpx and aiohttp alike, which read them differently
and partly fail on them.

``HTTP_PROXY``, ``HTTPS_PROXY``, ``ALL_PROXY`` and ``NO_PROXY``; the lower-case name replaces the
upper-case one, also if it is empty. The rules follow curl, and add ports and ``*``:
https://curl.se/libcurl/c/CURLOPT_NOPROXY.html
"""

import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)
from typing import NamedTuple
from urllib.parse import urlsplit

from relay.errors import RelayError

_DEFAULT_PORTS = {"http": 80, "https": 443}
_FORM = 'must be the address of an HTTP proxy, such as "http://proxy.example.com:3128"'
_SOCKS = (
    "is a SOCKS proxy, which Relay does not support: unset it for Relay, and set HTTPS_PROXY to an "
    "HTTP proxy if Relay needs one"
)
_NO_PROXY_FORM = (
    'must be names, addresses or networks, such as "localhost,*.example.com,10.0.0.0/8,fd00::/8", '
    'each with a port if need be ("relay:8080", "[::1]:8080")'
)

_Address = IPv4Address | IPv6Address


class InvalidProxyVariable(RelayError):
    """The text names the variable, its value and the rule."""


@dataclass(frozen=True, slots=True)
class Proxy:
    url: str = field(repr=False)
    """With user and password, if it needs them."""
    variable: str

    def __str__(self) -> str:
        """For people."""
        return f"the proxy {urlsplit(self.url).netloc.rpartition('@')[2]} ({self.variable})"


class _Exclusion(NamedTuple):
    """An entry of ``NO_PROXY``."""

    host: str  # a name, "*." or "." and a domain, a pattern with "*", or a network
    port: int | None

    def matches(self, host: str, address: _Address | None, port: int) -> bool:
        if self.port not in (None, port):
            return False
        if (network := _network(self.host)) is not None:
            return address is not None and address in network
        if self.host == "<local>":  # as on Windows
            return address is None and "." not in host
        if "*" in self.host:
            return fnmatchcase(host, self.host)
        domain = self.host.lstrip(".")
        return address is None and (host == domain or host.endswith(f".{domain}"))


class ProxyVariables:
    def __init__(self, environ: Mapping[str, str] | None = None) -> None:
        """``environ`` replaces the environment of the process."""
        self._environ = os.environ if environ is None else environ
        self.problems: list[str] = []
        """Of each invalid variable: name, value and rule."""
        self._excluded = list(self._exclusions())
        self._proxies: dict[str, Proxy] = {}
        if any(entry == ("*", None) for entry in self._excluded):
            return
        for scheme in _DEFAULT_PORTS:
            variable, value = self._get(f"{scheme}_proxy")
            if not value:
                # An ALL_PROXY that no request would use may be invalid: desktops set SOCKS there.
                variable, value = self._get("all_proxy") if not variable else ("", "")
            if value and (url := self._proxy_url(variable, value)):
                self._proxies[scheme] = Proxy(url, variable)

    def for_url(self, url: str) -> Proxy | None:
        """The proxy of requests to this URL; None also if it is invalid."""
        try:
            parts = urlsplit(url)
            port = parts.port or _DEFAULT_PORTS.get(parts.scheme, 0)
        except ValueError:
            return None
        proxy = self._proxies.get(parts.scheme)
        host = (parts.hostname or "").rstrip(".")
        address = _address(host)
        if any(entry.matches(host, address, port) for entry in self._excluded):
            return None
        return proxy

    def _get(self, name: str) -> tuple[str, str]:
        """The variable that is set, and its value; empty if none is."""
        for variable in (name, name.upper()):
            if variable in self._environ:
                return variable, self._environ[variable].strip()
        return "", ""

    def _proxy_url(self, variable: str, value: str) -> str:
        """Empty if the value is invalid."""
        url = value if "://" in value else f"http://{value}"
        scheme = url.partition("://")[0].lower()
        rule = _FORM
        if scheme in _DEFAULT_PORTS and _is_address(url):
            return url
        if scheme.startswith("socks"):
            rule = _SOCKS
        elif "@" in value and scheme in _DEFAULT_PORTS:
            rule += ", with special characters of the password percent-encoded, such as %23 for #"
        self._add_problem(variable, "***" if "@" in value else _quoted(value), rule)
        return ""

    def _exclusions(self) -> Iterator[_Exclusion]:
        variable, value = self._get("no_proxy")
        for text in re.split(r"[\s,;]+", value):
            entry = _exclusion(text.lower()) if text else None
            if entry is not None:
                yield entry
            elif text:
                self._add_problem(variable, _quoted(text), _NO_PROXY_FORM)

    def _add_problem(self, variable: str, shown: str, rule: str) -> None:
        problem = f"{variable} = {shown}: {rule}"
        if problem not in self.problems:  # ALL_PROXY is read for each scheme
            self.problems.append(problem)


def read_proxies() -> ProxyVariables:
    """Raises ``InvalidProxyVariable``, which ``load`` reports before a client is opened."""
    variables = ProxyVariables()
    if variables.problems:
        raise InvalidProxyVariable("; ".join(variables.problems))
    return variables


def through_proxy(url: str) -> str:
    """The end of a sentence about an answer from this URL; empty without a proxy."""
    proxy = read_proxies().for_url(url)
    return f" through {proxy}" if proxy else ""


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _is_address(url: str) -> bool:
    try:
        parts = urlsplit(url)
        has_host = bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False
    rest = parts.path.rstrip("/") or parts.query or parts.fragment
    return has_host and not rest and re.fullmatch(r"[!#$%&'*-~]+", url) is not None


def _exclusion(text: str) -> _Exclusion | None:
    """None if it is none of the forms."""
    text = text.partition("://")[2].rstrip("/") if "://" in text else text
    if _network(text) is not None:
        return _Exclusion(text, None)
    match = re.fullmatch(r"(\[[^\[\]]+\](?:/\d+)?|[^:\[\]]+)(?::(\d{1,5}))?", text)
    if match is None or int(match[2] or 1) not in range(1, 65536):
        return None
    if re.search(r"[\[/]", match[1]) and _network(match[1]) is None:
        return None
    return _Exclusion(match[1], int(match[2]) if match[2] else None)


def _network(text: str) -> IPv4Network | IPv6Network | None:
    """None for anything but an address or a network. An IPv6 address may have brackets, and an
    IPv4 network may lack the last zeros, as in ``169.254/16``."""
    address, slash, length = text.partition("/")
    address = re.sub(r"^\[(.*)\]$", r"\1", address).partition("%")[0]
    if slash and re.fullmatch(r"\d+(\.\d+){0,2}", address):
        address += ".0" * (3 - address.count("."))
    try:
        return ip_network(f"{address}{slash}{length}", strict=False)
    except ValueError:
        return None


def _address(host: str) -> _Address | None:
    try:
        address = ip_address(host.partition("%")[0])
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address
