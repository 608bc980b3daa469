"""A small HTTP/1.1 server for stand-ins: httptools on asyncio, in a thread or a process of its own.

It is fast enough to be the sink of a benchmark in another process, and does just what a
stand-in needs: keep-alive, a body of known length or in chunks, one answer per request.
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
    """What came in; header names in lower case."""

    method: str = ""
    path: str = ""
    query: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""


@dataclass(slots=True)
class Answer:
    """What goes out. ``cut`` closes the connection instead of answering."""

    body: bytes = b""
    status: int = 200
    content_type: str = "application/json; charset=utf-8"
    headers: dict[str, str] = field(default_factory=dict)
    cut: bool = False

    @classmethod
    def of(cls, value: Any, status: int = 200, **headers: str) -> Self:
        """An answer in JSON."""
        return cls(json.dumps(value).encode(), status, headers=headers)

    def to_bytes(self) -> bytes:
        """As it goes over the wire."""
        more = "".join(f"{name}: {value}\r\n" for name, value in self.headers.items())
        return (
            f"HTTP/1.1 {self.status} X\r\nContent-Type: {self.content_type}\r\n{more}"
            f"Content-Length: {len(self.body)}\r\n\r\n".encode()
            + self.body
        )


Handler = Callable[[Request], Answer]


# What is open in each thread's loop, to be closed with it.
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
            self._transport.write(answer.to_bytes())


async def listen(
    handler: Handler, port: int = 0, tls: ssl.SSLContext | None = None
) -> asyncio.Server:
    """Answer requests on loopback from now on."""
    loop = asyncio.get_running_loop()
    return await loop.create_server(lambda: _Protocol(handler), "127.0.0.1", port, ssl=tls)


class Threaded:
    """A server on loopback in a thread of its own, with a free port; a context manager.

    ``start`` is awaited in that thread and gives the server: ``listen(handler)``, or
    ``asyncio.start_server(…)`` for an answer that no HTTP server would give.
    """

    def __init__(self, start: Callable[[], Any]) -> None:
        self._start = start
        self._ready = threading.Event()
        self.port = 0

    @property
    def url(self) -> str:
        """The server's address, without a final slash."""
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


def in_thread(handler: Handler) -> Threaded:
    """A ``Threaded`` server with this handler."""
    return Threaded(lambda: listen(handler))


def raw(
    answer: bytes, *, greets: bool = False, endless: bool = False, silent: bool = False
) -> Threaded:
    """A server that reads a request's first bytes and answers with ``answer`` as it stands.

    ``greets``: it answers before it is asked, as mail servers do; ``endless``: spaces follow
    for ever; ``silent``: nothing is answered at all.
    """

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
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
