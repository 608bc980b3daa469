"""A cheap Slack-like sink that records when each message arrived."""

import asyncio
import contextlib
import re
import time
from collections.abc import AsyncIterator
from typing import cast

_LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)
_NUMBER = re.compile(rb"no (\d+)\.")
_BODY = b'{"ok": true, "channel": "C0123456789", "ts": "%d.000100"}'


class Sink:
    """``arrived`` maps the number in a message to its time."""

    def __init__(self) -> None:
        self.arrived: dict[int, float] = {}
        self.count = 0
        self.last = 0.0
        self.changed = asyncio.Event()

    async def reach(self, count: int, seconds: float) -> None:
        """Wait until ``count`` messages have arrived."""
        async with asyncio.timeout(seconds):
            while self.count < count:
                self.changed.clear()
                await self.changed.wait()


class _Connection(asyncio.Protocol):
    def __init__(self, sink: Sink) -> None:
        self.sink = sink
        self.buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        while (end := self.buffer.find(b"\r\n\r\n")) >= 0:
            length = _LENGTH.search(self.buffer, 0, end)
            whole = end + 4 + (int(length[1]) if length else 0)
            if len(self.buffer) < whole:
                return
            self.take(self.buffer[end + 4 : whole])
            self.buffer = self.buffer[whole:]

    def take(self, body: bytes) -> None:
        sink = self.sink
        sink.last = time.perf_counter()
        sink.count += 1
        if number := _NUMBER.search(body):
            sink.arrived.setdefault(int(number[1]), sink.last)
        sink.changed.set()
        answer = _BODY % sink.count
        self.transport.write(
            b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%s"
            % (len(answer), answer)
        )


@contextlib.asynccontextmanager
async def open_sink() -> AsyncIterator[tuple[Sink, int]]:
    """A sink on a free port of loopback."""
    sink = Sink()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: _Connection(sink), "127.0.0.1", 0)
    async with server:
        yield sink, server.sockets[0].getsockname()[1]
