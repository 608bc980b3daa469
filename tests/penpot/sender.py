"""The stand-in's webhook worker: sends bodies byte for byte, as Penpot's Java client does.

Each request has its own connection, while Java's client keeps connections open; redirects are not
followed (Penpot 2.15 and later). As observed with the real client, only a failure to connect is an
error: any answer, and no answer within the limit, counts as success.
"""

import ipaddress
import socket
import ssl
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

JSON = "application/json"
TRANSIT = "application/transit+json"

# What java.net.http adds to each request over plain http.
_UPGRADE = (
    "Connection: Upgrade, HTTP2-Settings\r\n"
    "HTTP2-Settings: AAEAAEAAAAIAAAABAAMAAABkAAQBAAAAAAUAAEAA\r\n"
    "Upgrade: h2c\r\n"
)


@dataclass(frozen=True)
class Outcome:
    status: int | None
    """None if no response head arrived within the limit."""
    failure: str | None
    """Penpot's error code: ``connection-error``, ``timeout``, …"""
    seconds: float

    def error(self, *, intended: bool = False) -> str | None:
        """What Penpot counts as an error: ``failure``; ``intended``: what its code intends."""
        if self.failure or not intended or self.status in (200, 204):
            return self.failure
        return "unknown" if self.status is None else f"unexpected-status:{self.status}"


@dataclass
class Sender:
    """One runner thread for all webhooks, as in Penpot: one at a time, each at most ``limit``."""

    upgrade: bool = True
    """Whether h2c headers are sent over plain http; a proxy drops them."""
    limit: float = 4.0
    """Seconds until the response head."""
    version: str = "2.17.0"
    tls: ssl.SSLContext | None = None
    """In place of Java's trust store."""
    _turn: threading.Lock = field(default_factory=threading.Lock)

    def deliver(self, url: str, payload: bytes | Path, content_type: str | None = None) -> Outcome:
        """POST a body unchanged; the content type of a path follows from its name."""
        body = payload if isinstance(payload, bytes) else payload.read_bytes()
        if content_type is None:
            named = isinstance(payload, Path) and payload.name.endswith(".transit.json")
            content_type = TRANSIT if named else JSON
        headers = f"User-Agent: penpot/{self.version}\r\ncontent-type: {content_type}\r\n"
        with self._turn:
            return self._send("POST", url, headers, body, self.limit)

    def check(self, url: str) -> Outcome:
        """The HEAD of ``create-webhook``, in the RPC thread that asked for it."""
        return self._send("HEAD", url, "User-Agent: Java-http-client/26.0.1\r\n", b"", 3.0)

    def _send(self, method: str, url: str, headers: str, body: bytes, limit: float) -> Outcome:
        begin = time.monotonic()
        try:
            status = self._exchange(method, url, headers, body, begin + limit)
            failure = None
        except _ConnectFailed as error:
            status, failure = None, error.args[0]
        except OSError:  # closed or too slow after the request: no error for Penpot
            status, failure = None, None
        return Outcome(status, failure, time.monotonic() - begin)

    def _exchange(
        self, method: str, url: str, headers: str, body: bytes, deadline: float
    ) -> int | None:
        to, port = _address(url)
        target = (to.path or "/") + (f"?{to.query}" if to.query else "")
        upgrade = _UPGRADE if self.upgrade and to.scheme == "http" else ""
        host = to.netloc.rpartition("@")[2]
        head = (
            f"{method} {target} HTTP/1.1\r\n{upgrade}Content-Length: {len(body)}\r\n"
            f"Host: {host}\r\n{headers}\r\n"
        )
        with self._connect(to, port, deadline) as connection:
            connection.settimeout(_left(deadline))
            connection.sendall(head.encode() + body)
            answer = b""
            while b"\r\n\r\n" not in answer:
                connection.settimeout(_left(deadline))
                more = connection.recv(65536)
                if not more:
                    return None
                answer += more
        return int(answer.split(b" ", 2)[1])

    def _connect(self, to: SplitResult, port: int, deadline: float) -> socket.socket:
        assert to.hostname is not None
        try:
            connection = socket.create_connection((to.hostname, port), _left(deadline))
        except (ConnectionRefusedError, socket.gaierror):
            raise _ConnectFailed("connection-error") from None
        except TimeoutError:
            raise _ConnectFailed("timeout") from None
        if to.scheme == "http":
            return connection
        try:
            context = self.tls or ssl.create_default_context()
            connection.settimeout(_left(deadline))
            return context.wrap_socket(connection, server_hostname=to.hostname)
        except OSError as error:
            connection.close()
            late = isinstance(error, TimeoutError)
            raise _ConnectFailed("timeout" if late else "ssl-validation-error") from None


def deliver(url: str, payload: bytes | Path, content_type: str | None = None) -> Outcome:
    return Sender().deliver(url, payload, content_type)


class _ConnectFailed(Exception):
    """With Penpot's error code."""


def _address(url: str) -> tuple[SplitResult, int]:
    try:
        to = urlsplit(url)
        port = to.port or {"http": 80, "https": 443}[to.scheme]
    except (ValueError, KeyError):
        raise _ConnectFailed("invalid-uri") from None
    # Java's URI.getHost is null for a name with an underscore, and for none.
    if not to.hostname or ("_" in to.hostname and not _is_ip(to.hostname)):
        raise _ConnectFailed("invalid-uri")
    return to, port


def _is_ip(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _left(deadline: float) -> float:
    return max(deadline - time.monotonic(), 0.001)
