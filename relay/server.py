"""The HTTP server: uvicorn, with the settings that Penpot's client needs."""

import logging
import socket

import httptools
import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from relay.app import build
from relay.config.settings import Config, Role

HEAD_LIMIT = 64 * 1024
"""Bytes read without completing a head or a body chunk. httptools limits neither heads nor the
trailers of a chunked body."""
KEEP_ALIVE_TIMEOUT = 75
"""Seconds. More than the 30 s after which Penpot's Java client closes an idle connection: it does
not repeat a POST when the server closes the connection first."""
GRACEFUL_STOP_TIMEOUT = 1  # seconds, for requests in progress

log = logging.getLogger(__name__)


class H2cBlindProtocol(HttpToolsProtocol):
    """HTTP/1.1 that ignores ``Upgrade``."""

    _stalled_bytes = 0

    def data_received(self, data: bytes) -> None:
        """Feed ``data`` to the parser. When it stops at an upgrade, a new parser gets the head
        without the ``Upgrade`` header, then the bytes after the head."""
        self._unset_keepalive_if_required()
        self._stalled_bytes += len(data)
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            if self.scope["method"] == "CONNECT":
                self._refuse("CONNECT is not supported.")
                return
            head = self._head_without_upgrade()
            self.parser = httptools.HttpRequestParser(self)
            # as in uvicorn
            self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
            self.data_received(head + data[upgrade.args[0] :])
        except httptools.HttpParserError:
            self._refuse("Invalid HTTP request received.")
        else:
            if self._stalled_bytes > HEAD_LIMIT:
                self._refuse("The request's head or trailer is too large.")

    def on_body(self, body: bytes) -> None:
        self._stalled_bytes = 0
        super().on_body(body)

    def on_headers_complete(self) -> None:
        self._stalled_bytes = 0
        if self.parser.should_upgrade():  # ``data_received`` parses the head again
            self.scope["method"] = self.parser.get_method().decode("ascii")
        else:
            super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._stalled_bytes = 0
        if not self.parser.should_upgrade():
            super().on_message_complete()

    def _head_without_upgrade(self) -> bytes:
        lines = [self.scope["method"].encode() + b" " + self.url + b" HTTP/1.1"]
        lines += [name + b": " + value for name, value in self.headers if name != b"upgrade"]
        return b"\r\n".join(lines) + b"\r\n\r\n"

    def _refuse(self, reason: str) -> None:
        self.logger.warning(reason)
        self.send_400_response(reason)


class _Server(uvicorn.Server):
    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            log.info("listening on %s:%d", self.config.host, self.config.port)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        # ends the event streams: uvicorn would wait for them until its timeout
        self.config.app.state.feed.close()  # type: ignore[union-attr]
        await super().shutdown(sockets)


def server(config: Config, role: Role = Role.ALL) -> uvicorn.Server:
    return _Server(
        uvicorn.Config(
            build(config, role),
            host=config.server.host,
            port=config.server.port,
            http=H2cBlindProtocol,
            ws="none",
            lifespan="on",
            access_log=False,  # it would contain the hooks' secrets
            log_config=None,
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=KEEP_ALIVE_TIMEOUT,
            timeout_graceful_shutdown=GRACEFUL_STOP_TIMEOUT,
        )
    )
