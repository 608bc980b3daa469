"""HTTP/1.1 as Relay's listeners speak it: deaf to ``Upgrade``, and bounded in bytes, time and
connections."""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, Final

import httptools
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

log = logging.getLogger(__name__)

MAX_HEAD_BYTES = 16 * 1024  # also of a chunked body's trailers
MAX_HEADER_COUNT = 100
_FOREIGN_STARTS = {  # of what is no HTTP, but a proxy or a URL that is set up wrongly
    b"\x16\x03": "TLS at a port for plain HTTP: call http://, or the proxy that ends TLS.",
    b"PROXY ": "The PROXY protocol is not supported: disable it in the proxy.",
    b"\r\n\r\n\0\r\nQUIT\n": "The PROXY protocol is not supported: disable it in the proxy.",
    b"PRI * HTTP/2.0": "HTTP/2 is not supported: let the proxy call HTTP/1.1.",
}
MAX_PIPELINED_COUNT = 16  # requests that wait for the response of the one before
FEED_BYTES = 4096  # parsed at once, so that few requests are built ahead
HEAD_TIMEOUT = 10.0  # seconds
BODY_TIMEOUT = 30.0  # seconds after the end of the head
WRITE_TIMEOUT = 30.0  # seconds in which a client has to read ``MIN_READ_BYTES`` of a response
MIN_READ_BYTES = 64 * 1024
KEEP_ALIVE_TIMEOUT = 75
"""Seconds. More than the 30 s after which Penpot's Java client closes an idle connection: it does
not repeat a POST when the server closes the connection first."""
STRANGER_KEEP_ALIVE_TIMEOUT = 10
"""Seconds, for a connection without an accepted request while more than half are in use."""
MIN_STRANGERS_RATIO = 0.25
"""Of all connections, from which on those without an accepted request are replaced first."""
SWEEP_INTERVAL = 1.0  # seconds
REPORT_INTERVAL = 60.0  # seconds
MAX_REASONS = 20  # in one line of the log

AUTHENTICATED: Final = "relay.authenticated"
"""ASGI extension: a function that the application calls with the team of an accepted request."""


class RefusalLog:
    """Logs what was refused: the first refusal at once, those that follow together, in one line for
    each ``REPORT_INTERVAL``."""

    def __init__(self, subject: str) -> None:
        self._subject = subject
        self._refused: Counter[str] = Counter()
        self._timer: asyncio.TimerHandle | None = None

    def add(self, reason: str) -> None:
        is_new = reason not in self._refused and len(self._refused) >= MAX_REASONS
        self._refused["other reasons" if is_new else reason] += 1
        if self._timer is None:
            self._report()

    def _report(self) -> None:
        self._timer = None
        if self._refused:
            reasons = "; ".join(
                f"{reason} ({count} time{'s' * (count > 1)})"
                for reason, count in self._refused.most_common()
            )
            log.warning("%s: refused recently: %s", self._subject, reasons)
            self._refused.clear()
            self._timer = asyncio.get_running_loop().call_later(REPORT_INTERVAL, self._report)


class ConnectionTable:
    """The open connections of a listener: at most ``max_connections``, and none past its deadline.

    When all are in use a new connection replaces one without an accepted request: the oldest of the
    address that has the most. While there are few of these it replaces one of the team that has the
    most, idle ones first.
    """

    def __init__(
        self, name: str, max_connections: int, count_refused: Callable[[str, str], None]
    ) -> None:
        """``count_refused`` gets ``name`` and the reason of each refusal."""
        self._name = name
        self._max_connections = max_connections
        self._count_refused = count_refused
        self._strangers: dict[BoundedProtocol, str] = {}  # by address, the oldest first
        self._known: dict[BoundedProtocol, str] = {}  # by team
        self._refusals = RefusalLog(f"{name} listener")
        self._is_sweep_scheduled = False

    def __len__(self) -> int:
        return len(self._strangers) + len(self._known)

    def add(self, connection: "BoundedProtocol") -> None:
        if len(self) >= self._max_connections:
            self.refuse("all connections in use")
            victim = self._victim()
            self.remove(victim)
            victim.abort()
        self._strangers[connection] = connection.client[0] if connection.client else ""
        self._schedule_sweep()

    def remove(self, connection: "BoundedProtocol") -> None:
        self._strangers.pop(connection, None)
        self._known.pop(connection, None)

    def authenticated(self, connection: "BoundedProtocol", team: str) -> None:
        if connection in self._strangers:
            del self._strangers[connection]
            self._known[connection] = team

    def refuse(self, reason: str) -> None:
        self._refusals.add(reason)
        self._count_refused(self._name, reason)

    def keep_alive(self, connection: "BoundedProtocol") -> int:
        """Seconds that an idle connection is kept."""
        is_crowded = 2 * len(self) > self._max_connections
        is_short = is_crowded and connection in self._strangers
        return STRANGER_KEEP_ALIVE_TIMEOUT if is_short else KEEP_ALIVE_TIMEOUT

    def _victim(self) -> "BoundedProtocol":
        if self._known and len(self._strangers) < MIN_STRANGERS_RATIO * self._max_connections:
            of_largest = _of_largest(self._known)
            return next((item for item in of_largest if item.is_idle), of_largest[0])
        return _of_largest(self._strangers)[0]

    def _schedule_sweep(self) -> None:
        if not self._is_sweep_scheduled:
            self._is_sweep_scheduled = True
            asyncio.get_running_loop().call_later(SWEEP_INTERVAL, self._sweep)

    def _sweep(self) -> None:
        """Close connections past their deadline."""
        self._is_sweep_scheduled = False
        now = asyncio.get_running_loop().time()
        for connection in [*self._strangers, *self._known]:
            connection.close_if_late(now)
        if len(self):
            self._schedule_sweep()


def _of_largest(groups: "Mapping[BoundedProtocol, str]") -> "list[BoundedProtocol]":
    ((largest, _),) = Counter(groups.values()).most_common(1)
    return [connection for connection, group in groups.items() if group == largest]


class _HeldFlow(FlowControl):
    """Reading stays paused while bytes wait for an earlier request's response."""

    is_held = False

    def resume_reading(self) -> None:
        if not self.is_held:
            super().resume_reading()


class BoundedProtocol(HttpToolsProtocol):
    """uvicorn's protocol without ``Upgrade``, and with the bounds of this module.

    Penpot's client sends ``Upgrade: h2c`` with each request over plain http. The parser stops
    there, so a new one gets the same head without that header.
    """

    def __init__(self, *args: Any, table: ConnectionTable, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._table = table
        self._held = bytearray()  # received, but not parsed yet
        self._deadline: float | None = None
        self._write_deadline: float | None = None
        self._unread_bytes = 0  # of a response, when its deadline was set
        self._has_received = False
        self._is_in_message = False
        self._is_head_complete = False
        self._stalled_bytes = 0  # received since the last progress: head or trailer bytes

    @property
    def is_idle(self) -> bool:
        return not self._is_in_message and (self.cycle is None or self.cycle.response_complete)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)  # type: ignore[arg-type]
        self.flow = _HeldFlow(self.transport)
        self._expect_rest()
        self._table.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._table.remove(self)
        self._held.clear()
        super().connection_lost(exc)

    def abort(self) -> None:
        self.transport.abort()

    def close_if_late(self, now: float) -> None:
        if self.transport.is_closing() and self._write_deadline is None:
            self._expect_read()  # bytes of a response are left
        if self._unread_bytes - self.transport.get_write_buffer_size() >= MIN_READ_BYTES:
            self._expect_read()
        if self._write_deadline is not None and now > self._write_deadline:
            self._table.refuse("response not read in time")
            self.abort()
        elif self._deadline is not None and now > self._deadline:
            self._deadline = None
            if not self._has_received:  # opened in advance; a response would answer a later request
                self.transport.close()
                return
            part = "body" if self._is_head_complete else "head"
            self._refuse(408, f"The request's {part} is not complete in time.")

    def pause_writing(self) -> None:
        self._expect_read()
        super().pause_writing()

    def resume_writing(self) -> None:
        self._write_deadline, self._unread_bytes = None, 0
        super().resume_writing()

    def data_received(self, data: bytes) -> None:
        self._unset_keepalive_if_required()
        self._has_received = True
        self._held += data
        self._parse_held()

    def _parse_held(self) -> None:
        """Parse what was received, as long as no request waits for an earlier response."""
        if self._held and self._deadline is None:
            self._expect_rest()
        while self._held and not self.pipeline and not self.transport.is_closing():
            piece = bytes(self._held[:FEED_BYTES])
            del self._held[:FEED_BYTES]
            self._parse(piece)
        self.flow.is_held = bool(self._held)  # type: ignore[attr-defined]
        if self._held:
            self._deadline = None  # what is late now is not the client
            self.flow.pause_reading()
        elif self._deadline is None and self.is_idle and self.timeout_keep_alive_task is None:
            # the rest of a body came after its response
            self.timeout_keep_alive_task = self.loop.call_later(
                self.timeout_keep_alive, self.timeout_keep_alive_handler
            )

    def _parse(self, piece: bytes) -> None:
        self._stalled_bytes += len(piece)
        try:
            self.parser.feed_data(piece)
        except httptools.HttpParserUpgrade as upgrade:
            self._parse_without_upgrade(piece[upgrade.args[0] :])
        except httptools.HttpParserError:
            reasons = (text for start, text in _FOREIGN_STARTS.items() if piece.startswith(start))
            self._refuse(400, next(reasons, "Invalid HTTP request received."))
        else:
            if self._stalled_bytes > MAX_HEAD_BYTES:
                self._refuse(400, "The request's head or trailer is too large.")
            elif len(self.pipeline) > MAX_PIPELINED_COUNT:
                self._refuse(400, "Too many requests before the first response.")

    def _parse_without_upgrade(self, rest: bytes) -> None:
        if self.scope["method"] == "CONNECT":
            self._refuse(400, "CONNECT is not supported.")
            return
        version = self.parser.get_http_version()
        self.parser = httptools.HttpRequestParser(self)
        # as in uvicorn
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
        head = [f"{self.scope['method']} ".encode() + self.url + f" HTTP/{version}".encode()]
        head += [name + b": " + value for name, value in self.headers if name != b"upgrade"]
        self._held[:0] = b"\r\n".join(head) + b"\r\n\r\n" + rest

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._is_in_message, self._is_head_complete = True, False
        if self._deadline is None:
            self._expect_rest()
        self.scope["extensions"] = {AUTHENTICATED: self._authenticated}  # type: ignore[dict-item]

    def on_header(self, name: bytes, value: bytes) -> None:
        super().on_header(name, value)
        if len(self.headers) > MAX_HEADER_COUNT:
            self._refuse(400, "The request has too many headers.")

    def on_headers_complete(self) -> None:
        self._stalled_bytes = 0
        if self.transport.is_closing():
            return
        if self.parser.should_upgrade():  # ``_parse`` parses the head again
            self.scope["method"] = self.parser.get_method().decode("ascii")
            return
        self._is_head_complete = True
        self._expect_rest()
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._stalled_bytes = 0
        if not self.transport.is_closing():
            super().on_body(body)

    def on_message_complete(self) -> None:
        self._stalled_bytes = 0
        if self.parser.should_upgrade() or self.transport.is_closing():
            return
        self._is_in_message = self._is_head_complete = False
        self._deadline = None
        super().on_message_complete()

    def on_response_complete(self) -> None:
        self.timeout_keep_alive = self._table.keep_alive(self)
        super().on_response_complete()
        if self._held and not self.transport.is_closing():
            self._unset_keepalive_if_required()
            self._parse_held()
            self.flow.resume_reading()

    def _expect_read(self) -> None:
        self._write_deadline = self.loop.time() + WRITE_TIMEOUT
        self._unread_bytes = self.transport.get_write_buffer_size()

    def _expect_rest(self) -> None:
        timeout = BODY_TIMEOUT if self._is_head_complete else HEAD_TIMEOUT
        self._deadline = self.loop.time() + timeout

    def _authenticated(self, team: str) -> None:
        self._table.authenticated(self, team)

    def _is_body_awaited(self) -> bool:
        """Whether the request that is being answered, without a response yet, is incomplete."""
        return self._is_head_complete and not self.pipeline and not self.cycle.response_started

    def _refuse(self, status: int, reason: str) -> None:
        if self.transport.is_closing():
            return
        self._table.refuse(reason)
        self._held.clear()
        # the bytes of another request's response would mix with these
        if self.cycle is None or self.cycle.response_complete or self._is_body_awaited():
            body = reason.encode("ascii")
            head = f"content-length: {len(body)}\r\nconnection: close\r\n\r\n".encode("ascii")
            content_type = b"content-type: text/plain; charset=utf-8\r\n"
            self.transport.write(STATUS_LINE[status] + content_type + head + body)
        if self.cycle is not None:
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        self.transport.close()
