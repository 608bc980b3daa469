"""HTTP/1.1 as Relay's listeners speak it: deaf to ``Upgrade``, and bounded in bytes, time and
connections."""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable
from typing import Any, Final

import httptools
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

log = logging.getLogger(__name__)

MAX_HEAD_BYTES = 16 * 1024  # also of a chunked body's trailers
MAX_HEADER_COUNT = 100
MAX_PIPELINED_COUNT = 16  # requests that wait for the response of the one before
FEED_BYTES = 4096  # parsed at once, so that few requests are built ahead
HEAD_TIMEOUT = 10.0  # seconds
BODY_TIMEOUT = 30.0  # seconds after the end of the head
BODY_BACKSTOP_TIMEOUT = BODY_TIMEOUT + 5.0
"""Seconds. The application answers 408 before; this closes what no application waits for."""
WRITE_TIMEOUT = 30.0  # seconds, for a client that does not read its response
KEEP_ALIVE_TIMEOUT = 75
"""Seconds. More than the 30 s after which Penpot's Java client closes an idle connection: it does
not repeat a POST when the server closes the connection first."""
STRANGER_KEEP_ALIVE_TIMEOUT = 10  # seconds, for a connection without an accepted request
SWEEP_INTERVAL = 1.0  # seconds
REPORT_INTERVAL = 60.0  # seconds

AUTHENTICATED: Final = "relay.authenticated"
"""ASGI extension: a function that the application calls with the team of an accepted request."""


class ConnectionTable:
    """The open connections of a listener: at most ``max_connections``, and none past its deadline.

    When all are in use a new connection replaces the oldest one without an accepted request, then
    one of the team that has the most, idle ones first.
    """

    def __init__(
        self, name: str, max_connections: int, count_refused: Callable[[str, str], None]
    ) -> None:
        """``count_refused`` gets ``name`` and the reason of each refusal."""
        self._name = name
        self._max_connections = max_connections
        self._count_refused = count_refused
        self._strangers: dict[BoundedProtocol, None] = {}  # the oldest first
        self._known: dict[BoundedProtocol, str] = {}  # by team
        self._refused: Counter[str] = Counter()
        self._next_report = 0.0
        self._is_sweep_scheduled = False

    def __len__(self) -> int:
        return len(self._strangers) + len(self._known)

    def add(self, connection: "BoundedProtocol") -> None:
        if len(self) >= self._max_connections:
            self.refuse("all connections in use")
            victim = self._victim()
            self.remove(victim)
            victim.abort()
        self._strangers[connection] = None
        self._schedule_sweep()

    def remove(self, connection: "BoundedProtocol") -> None:
        self._strangers.pop(connection, None)
        self._known.pop(connection, None)

    def authenticated(self, connection: "BoundedProtocol", team: str) -> None:
        if connection in self._strangers:
            del self._strangers[connection]
            self._known[connection] = team

    def refuse(self, reason: str) -> None:
        self._refused[reason] += 1
        self._count_refused(self._name, reason)

    def _victim(self) -> "BoundedProtocol":
        if self._strangers:
            return next(iter(self._strangers))
        ((largest, _),) = Counter(self._known.values()).most_common(1)
        candidates = [item for item, team in self._known.items() if team == largest]
        return next((item for item in candidates if item.is_idle), candidates[0])

    def _schedule_sweep(self) -> None:
        if not self._is_sweep_scheduled:
            self._is_sweep_scheduled = True
            asyncio.get_running_loop().call_later(SWEEP_INTERVAL, self._sweep)

    def _sweep(self) -> None:
        """Close connections past their deadline, and report refusals once a minute."""
        self._is_sweep_scheduled = False
        now = asyncio.get_running_loop().time()
        for connection in [*self._strangers, *self._known]:
            connection.close_if_late(now)
        if self._refused and now >= self._next_report:
            self._next_report = now + REPORT_INTERVAL
            reasons = (f"{reason} ({count})" for reason, count in self._refused.most_common())
            log.warning("%s listener: refused recently: %s", self._name, "; ".join(reasons))
            self._refused.clear()
        if len(self) or self._refused:
            self._schedule_sweep()


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
        self._is_in_message = False
        self._is_head_complete = False
        self._stalled_bytes = 0  # received since the last progress: head or trailer bytes
        self.timeout_keep_alive = STRANGER_KEEP_ALIVE_TIMEOUT

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
            self._write_deadline = now + WRITE_TIMEOUT  # bytes of a response are left
        if self._write_deadline is not None and now > self._write_deadline:
            self._table.refuse("response not read in time")
            self.abort()
        elif self._deadline is not None and now > self._deadline:
            self._deadline = None
            part = "body" if self._is_head_complete else "head"
            self._refuse(408, f"The request's {part} is not complete in time.")

    def pause_writing(self) -> None:
        self._write_deadline = self.loop.time() + WRITE_TIMEOUT
        super().pause_writing()

    def resume_writing(self) -> None:
        self._write_deadline = None
        super().resume_writing()

    def data_received(self, data: bytes) -> None:
        self._unset_keepalive_if_required()
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

    def _parse(self, piece: bytes) -> None:
        self._stalled_bytes += len(piece)
        try:
            self.parser.feed_data(piece)
        except httptools.HttpParserUpgrade as upgrade:
            self._parse_without_upgrade(piece[upgrade.args[0] :])
        except httptools.HttpParserError:
            self._refuse(400, "Invalid HTTP request received.")
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
        super().on_response_complete()
        if self._held and not self.transport.is_closing():
            self._unset_keepalive_if_required()
            self._parse_held()
            self.flow.resume_reading()

    def _expect_rest(self) -> None:
        timeout = BODY_BACKSTOP_TIMEOUT if self._is_head_complete else HEAD_TIMEOUT
        self._deadline = self.loop.time() + timeout

    def _authenticated(self, team: str) -> None:
        self.timeout_keep_alive = KEEP_ALIVE_TIMEOUT
        self._table.authenticated(self, team)

    def _refuse(self, status: int, reason: str) -> None:
        self._table.refuse(reason)
        self._held.clear()
        if (
            self.cycle is None or self.cycle.response_complete
        ):  # else its bytes would mix with these
            body = reason.encode("ascii")
            head = f"content-length: {len(body)}\r\nconnection: close\r\n\r\n".encode("ascii")
            content_type = b"content-type: text/plain; charset=utf-8\r\n"
            self.transport.write(STATUS_LINE[status] + content_type + head + body)
        self.transport.close()
