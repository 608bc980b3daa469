"""A forward proxy on loopback: absolute URLs and CONNECT, with a login on demand."""

import asyncio
import base64
import contextlib
from urllib.parse import urlsplit

from tests.servers.loopback import Threaded, close_at_end


class ForwardProxy(Threaded):
    """``requests`` has the first line of each request, such as
    ``CONNECT example.org:443 HTTP/1.1``."""

    def __init__(self, login: str = "", status: int = 0, to: int = 0) -> None:
        """``login`` is ``user:password``; ``status`` is an answer to each request instead of its
        result; ``to`` is a loopback port to which all requests go, whatever their host."""
        self._credentials = f"Basic {base64.b64encode(login.encode()).decode()}" if login else ""
        self._status, self._to = status, to
        self.requests: list[str] = []
        super().__init__(lambda: asyncio.start_server(self._talk, "127.0.0.1", 0))

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        close_at_end(writer)
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            line, _, fields = head.partition("\r\n")
            self.requests.append(line)
            status = self._status
            if self._credentials and self._credentials not in fields:
                status = 407
            if status:
                writer.write(f"HTTP/1.1 {status} No\r\nContent-Length: 0\r\n\r\n".encode())
            else:
                await self._forward(line, fields, reader, writer)
        writer.close()

    async def _forward(
        self, line: str, fields: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        method, target, version = line.split()
        parts = urlsplit(f"//{target}" if method == "CONNECT" else target)
        host = "127.0.0.1" if self._to else parts.hostname
        server, out = await asyncio.open_connection(host, self._to or parts.port or 80)
        if method == "CONNECT":
            writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        else:
            path = parts.path + (f"?{parts.query}" if parts.query else "")
            out.write(f"{method} {path or '/'} {version}\r\n{fields}".encode("latin-1"))
        await asyncio.gather(_copy(reader, out), _copy(server, writer))


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while chunk := await reader.read(65536):
            writer.write(chunk)
            await writer.drain()
    with contextlib.suppress(OSError, RuntimeError):
        writer.close()
