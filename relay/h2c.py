"""uvicorn's httptools protocol, fixed for the h2c upgrade that Penpot offers with each request.

Over plain http Penpot's Java client sends ``Connection: Upgrade, HTTP2-Settings`` and
``Upgrade: h2c``. A server without h2c ignores the offer (RFC 9110, section 7.8). httptools instead
stops after the head and treats the body as the new protocol, so that the application gets an
empty body (seen with uvicorn 0.54 and httptools 0.9).
"""

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEAD_LIMIT = 64 * 1024
"""Bytes read without completing a head or a body chunk. httptools limits neither heads nor the
trailers of a chunked body."""


class H2cBlindProtocol(HttpToolsProtocol):
    """HTTP/1.1 that ignores ``Upgrade``."""

    _stalled_bytes = 0
    _has_progress = False

    def data_received(self, data: bytes) -> None:
        """Feed ``data`` to the parser. When it stops at an upgrade, a new parser gets the head
        without the ``Upgrade`` header, then the bytes after the head."""
        self._unset_keepalive_if_required()
        self._has_progress = False
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
            self._stalled_bytes = 0 if self._has_progress else self._stalled_bytes + len(data)
            if self._stalled_bytes > HEAD_LIMIT:
                self._refuse("The request's head or trailer is too large.")

    def on_body(self, body: bytes) -> None:
        self._has_progress = True
        super().on_body(body)

    def on_headers_complete(self) -> None:
        self._has_progress = True
        if self.parser.should_upgrade():  # ``data_received`` parses the head again
            self.scope["method"] = self.parser.get_method().decode("ascii")
        else:
            super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._has_progress = True
        if not self.parser.should_upgrade():
            super().on_message_complete()

    def _head_without_upgrade(self) -> bytes:
        lines = [self.scope["method"].encode() + b" " + self.url + b" HTTP/1.1"]
        lines += [name + b": " + value for name, value in self.headers if name != b"upgrade"]
        return b"\r\n".join(lines) + b"\r\n\r\n"

    def _refuse(self, reason: str) -> None:
        self.logger.warning(reason)
        self.send_400_response(reason)
