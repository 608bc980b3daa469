"""HTTP servers whose answers cost a careless client memory or time."""

import asyncio
import contextlib
import gzip
import zlib
from collections.abc import AsyncIterator, Callable
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.servers.loopback import Threaded, close_at_end

MAX_MEMORY = 48 * 1024 * 1024
"""Bytes by which the process may grow while it reads an answer of any of these servers."""
_CLOSE = b"Connection: close\r\n"  # each connection has one answer
_OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n" + _CLOSE
_PUNYCODE = b"HTTP/1.1 200 OK\r\nContent-Type: application/json; charset=punycode\r\n" + _CLOSE

Chunks = AsyncIterator[bytes]


@cache
def _bomb() -> bytes:
    """100 MB in less than 1 KB, and never as a whole in this process."""
    compressor = zlib.compressobj(wbits=31)
    parts = [compressor.compress(b" " * 1_000_000) for _ in range(100)]
    return gzip.compress(b"".join(parts) + compressor.flush())


async def _bomb_answer() -> Chunks:
    head = f"Content-Encoding: gzip, gzip\r\nContent-Length: {len(_bomb())}\r\n\r\n"
    yield _OK + head.encode() + _bomb()


async def _gzip_answer() -> Chunks:
    body = gzip.compress(b'{"ok": true, "event_id": "$1"}')
    yield _OK + f"Content-Encoding: gzip\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


async def _redirect() -> Chunks:
    yield b"HTTP/1.1 307 X\r\nLocation: /again\r\nContent-Length: 0\r\n" + _CLOSE + b"\r\n"


async def _endless_body() -> Chunks:
    yield _OK + b"\r\n"
    while True:
        yield b" " * 65536


async def _drip() -> Chunks:
    yield _OK + b"\r\n"
    while True:
        yield b" "
        await asyncio.sleep(0.02)


async def _small_chunks() -> Chunks:
    yield _OK + b"Transfer-Encoding: chunked\r\n\r\n"
    while True:
        yield b"1\r\n \r\n" * 10_000


async def _endless_header() -> Chunks:
    yield _OK + b"X-Long: "
    while True:
        yield b"a" * 65536


async def _endless_headers() -> Chunks:
    yield _OK
    while True:
        yield b"X-More: a\r\n" * 1000


async def _endless_trailers() -> Chunks:
    yield _OK + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n"
    while True:
        yield b"X-More: a\r\n" * 1000


async def _endless_interim_answers() -> Chunks:
    while True:
        yield b"HTTP/1.1 103 Early Hints\r\nLink: <a>\r\n\r\n" * 10
        await asyncio.sleep(0.02)


async def _slow_charset() -> Chunks:
    """Decoded as it says, it takes minutes."""
    body = b"a" * 500_000 + b"-" + b"a" * 500_000
    yield _PUNYCODE + f"Content-Length: {len(body)}\r\n\r\n".encode() + body


async def _many_values() -> Chunks:
    """Parsed, they take a third of a second and 25 MB."""
    body = b"[" + b"[]," * 340_000 + b"[]]"
    yield _OK + f"Content-Length: {len(body)}\r\n\r\n".encode() + body


ATTACKS: dict[str, Callable[[], Chunks]] = {
    "gzip": _gzip_answer,
    "gzip bomb": _bomb_answer,
    "redirect loop": _redirect,
    "endless body": _endless_body,
    "drip": _drip,
    "small chunks": _small_chunks,
    "endless header": _endless_header,
    "endless headers": _endless_headers,
    "endless trailers": _endless_trailers,
    "endless interim answers": _endless_interim_answers,
    "slow charset": _slow_charset,
    "many values": _many_values,
}


class Hostile(Threaded):
    """A server that answers each request with an attack."""

    def __init__(self, attack: str) -> None:
        self._attack = ATTACKS[attack]
        self.requests = 0
        super().__init__(lambda: asyncio.start_server(self._talk, "127.0.0.1", 0))

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        close_at_end(writer)
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            await reader.readuntil(b"\r\n\r\n")
            self.requests += 1
            async for chunk in self._attack():
                writer.write(chunk)
                await writer.drain()
            await reader.read(65536)  # unread data would reset the connection
        writer.transport.abort()


class MemoryGrowth:
    """A context manager that measures by how many bytes the process grew at most."""

    def __enter__(self) -> Self:
        Path("/proc/self/clear_refs").write_text("5")  # resets the peak
        self._before = _peak()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.bytes = _peak() - self._before


def _peak() -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * int(next(line for line in lines if line.startswith("VmHWM:")).split()[1])
