"""A small HTTP/1.1 server for stand-ins: httptools on asyncio, in its own thread or process.

It is fast enough to be the sink of a benchmark, and supports only what stand-ins need:
keep-alive, bodies with a length or in chunks, one answer per request.
"""

import asyncio
import json
import ssl
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

import httptools


@dataclass(slots=True)
class Request:
    """Header names are in lower case."""

    method: str = ""
    path: str = ""
    query: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""


@dataclass(slots=True)
class Answer:
    """``cut`` closes the connection instead of answering."""

    body: bytes = b""
    status: int = 200
    content_type: str = "application/json; charset=utf-8"
    headers: dict[str, str] = field(default_factory=dict)
    cut: bool = False

    @classmethod
    def of(cls, value: Any, status: int = 200, **headers: str) -> Self:
        return cls(json.dumps(value).encode(), status, headers=headers)

    def to_bytes(self) -> bytes:
        more = "".join(f"{name}: {value}\r\n" for name, value in self.headers.items())
        return (
            f"HTTP/1.1 {self.status} X\r\nContent-Type: {self.content_type}\r\n{more}"
            f"Content-Length: {len(self.body)}\r\n\r\n".encode()
            + self.body
        )


Handler = Callable[[Request], Answer]


# The open connections of each event loop, closed with it.
_connections: dict[asyncio.AbstractEventLoop, set[asyncio.Transport]] = {}


class _Protocol(asyncio.Protocol):
    def __init__(self, handler: Handler) -> None:
        self._handler = handler
        self._parser = httptools.HttpRequestParser(self)
        self._request = Request()
        self._url = b""
        self._body: list[bytes] = []

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        self._open = _connections.setdefault(asyncio.get_running_loop(), set())
        self._open.add(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._open.discard(self._transport)

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_message_begin(self) -> None:
        self._request, self._url, self._body = Request(), b"", []

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self._request.headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_body(self, body: bytes) -> None:
        self._body.append(body)

    def on_message_complete(self) -> None:
        url = httptools.parse_url(self._url)
        self._request.method = self._parser.get_method().decode()
        self._request.path = url.path.decode()
        self._request.query = (url.query or b"").decode()
        self._request.body = b"".join(self._body)
        answer = self._handler(self._request)
        if answer.cut:
            self._transport.close()
        else:
            sent = answer.to_bytes()
            if self._request.method == "HEAD":  # https://www.rfc-editor.org/rfc/rfc9110#name-head
                sent = sent[: len(sent) - len(answer.body)]
            self._transport.write(sent)


async def listen(
    handler: Handler, port: int = 0, tls: ssl.SSLContext | None = None
) -> asyncio.Server:
    loop = asyncio.get_running_loop()
    return await loop.create_server(lambda: _Protocol(handler), "127.0.0.1", port, ssl=tls)


class Threaded:
    """A server on a free loopback port, in its own thread; a context manager.

    ``start`` is awaited in that thread and returns the server: ``listen(handler)``, or
    ``asyncio.start_server(…)`` for invalid HTTP.
    """

    def __init__(self, start: Callable[[], Any]) -> None:
        self._start = start
        self._ready = threading.Event()
        self.port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        assert self._ready.wait(5), "the server did not start"
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(5)

    def _run(self) -> None:
        asyncio.run(self._serve())

    async def _serve(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        server = await self._start()
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        await self._stop.wait()
        server.close()
        for transport in _connections.pop(self._loop, ()):
            transport.abort()
        await asyncio.sleep(0)


def close_at_end(writer: asyncio.StreamWriter) -> None:
    """Close the connection with the ``Threaded`` server of the running loop."""
    _connections.setdefault(asyncio.get_running_loop(), set()).add(writer.transport)


def in_thread(handler: Handler) -> Threaded:
    return Threaded(lambda: listen(handler))


def raw(
    answer: bytes, *, greets: bool = False, endless: bool = False, silent: bool = False
) -> Threaded:
    """A server that reads the first bytes of a request and sends ``answer``.

    ``greets``: it sends first, as mail servers do; ``endless``: endless spaces follow; ``silent``:
    it sends nothing.
    """

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        close_at_end(writer)
        try:
            if not greets:
                await reader.read(65536)
            if silent:
                await asyncio.sleep(30)
            writer.write(answer)
            while endless:
                writer.write(b" " * 65536)
                await writer.drain()
        except ConnectionError:
            return
        finally:
            if endless:
                writer.transport.abort()
            writer.close()

    return Threaded(lambda: asyncio.start_server(talk, "127.0.0.1", 0))
