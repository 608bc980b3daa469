"""uvicorn's fast parser, mended for the HTTP/2 upgrade that Penpot offers with each request.

Over plain http Penpot's Java client sends ``Connection: Upgrade, HTTP2-Settings`` and
``Upgrade: h2c``. A server that does not speak h2c ignores the offer (RFC 9110, section 7.8).
httptools instead stops behind the head and takes the body for the new protocol, so that
uvicorn hands on an empty body (seen with uvicorn 0.54 and httptools 0.9).
"""

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEAD_LIMIT = 64 * 1024
"""Bytes that are read at the most without a head or a piece of a body being complete; httptools
has no limit of its own, for heads nor for the trailers of a chunked body."""


class H2cBlindProtocol(HttpToolsProtocol):
    """HTTP/1.1 that reads a request with an ``Upgrade`` as if it had none."""

    _unread = 0
    _moved = False

    def data_received(self, data: bytes) -> None:
        """Feed ``data``; where the parser stops for an upgrade, feed it the head again without
        the upgrade, and then what came behind the head."""
        self._unset_keepalive_if_required()
        self._moved = False
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            if self.scope["method"] == "CONNECT":
                self._refuse("CONNECT is not offered here.")
                return
            head = self._head_without_upgrade()
            self.parser = httptools.HttpRequestParser(self)
            # as uvicorn makes its own
            self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
            self.data_received(head + data[upgrade.args[0] :])
        except httptools.HttpParserError:
            self._refuse("Invalid HTTP request received.")
        else:
            self._unread = 0 if self._moved else self._unread + len(data)
            if self._unread > HEAD_LIMIT:
                self._refuse("The request's head or trailer is too large.")

    def on_body(self, body: bytes) -> None:
        """Take a part of the body."""
        self._moved = True
        super().on_body(body)

    def on_headers_complete(self) -> None:
        """Start the request, unless it comes again without its upgrade."""
        self._moved = True
        if self.parser.should_upgrade():
            self.scope["method"] = self.parser.get_method().decode("ascii")
        else:
            super().on_headers_complete()

    def on_message_complete(self) -> None:
        """End the request's body, unless the request has not been started."""
        self._moved = True
        if not self.parser.should_upgrade():
            super().on_message_complete()

    def _head_without_upgrade(self) -> bytes:
        lines = [self.scope["method"].encode() + b" " + self.url + b" HTTP/1.1"]
        lines += [name + b": " + value for name, value in self.headers if name != b"upgrade"]
        return b"\r\n".join(lines) + b"\r\n\r\n"

    def _refuse(self, reason: str) -> None:
        self.logger.warning(reason)
        self.send_400_response(reason)
