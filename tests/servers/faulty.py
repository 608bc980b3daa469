"""A TCP proxy that forwards to a server or injects a fault, which can change at any time."""

import asyncio
import contextlib
import ssl
from collections.abc import Coroutine
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from tests.servers.loopback import Threaded


@dataclass(frozen=True)
class Fault:
    """What the proxy does with a connection."""

    refuse: bool = False
    """The proxy does not listen."""
    hang: bool = False
    """The proxy forwards nothing and sends nothing."""
    cut: bytes | None = None
    """After the client sends this text (any data where it is empty), the server still gets the
    request, but the connection is cut before its answer."""
    answer: bytes | None = None
    """Sent instead of the server's answer."""
    endless: bool = False
    """Endless spaces follow the answer."""


class FaultyProxy:
    """The proxy, in its own thread; a context manager."""

    def __init__(
        self,
        port: int,
        fault: Fault | None = None,
        *,
        tls: ssl.SSLContext | None = None,
        greets: bool = False,
    ) -> None:
        """``port`` is the server's, on loopback. With ``tls`` the proxy terminates the client's
        TLS. ``greets``: the server sends first."""
        self._target = port
        self._fault = fault or Fault()
        self.tls = tls
        self._greets = greets
        self._writers: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None
        self._thread = Threaded(self._first)
        self.tries = 0
        """Connections so far."""

    @property
    def port(self) -> int:
        return self._thread.port

    def change(self, fault: Fault | None = None, tls: ssl.SSLContext | None = None) -> None:
        """For new connections; open ones are cut. Without a fault the proxy only forwards."""
        self._fault = fault or Fault()
        self.tls = tls or self.tls
        self._in_loop(self._again())

    def __enter__(self) -> Self:
        self._thread.__enter__()
        self._in_loop(self._again())
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._in_loop(self._stop())
        self._thread.__exit__(kind, error, trace)

    def _in_loop(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(5)

    async def _first(self) -> asyncio.Server:
        """The first server, whose port is kept."""
        self._loop = asyncio.get_running_loop()
        self._server = await asyncio.start_server(self._talk, "127.0.0.1", 0)
        return self._server

    async def _again(self) -> None:
        await self._stop()
        if not self._fault.refuse:
            self._server = await asyncio.start_server(
                self._talk, "127.0.0.1", self.port, ssl=self.tls
            )

    async def _stop(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        for writer in list(self._writers):
            writer.transport.abort()
        await asyncio.sleep(0)

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        fault = self._fault
        self.tries += 1
        self._writers.add(writer)
        try:
            if fault.hang:
                await asyncio.sleep(3600)
            elif fault.answer is not None:
                await self._say(fault, reader, writer)
            else:
                await self._pass_on(fault, reader, writer)
        except (OSError, asyncio.IncompleteReadError):
            return
        finally:
            self._writers.discard(writer)
            writer.transport.abort()

    async def _say(
        self, fault: Fault, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        if not self._greets:
            await reader.read(65536)
        writer.write(fault.answer or b"")
        await writer.drain()
        while fault.endless:
            writer.write(b" " * 65536)
            await writer.drain()
        await reader.read(65536)  # unread data would reset the connection and lose the answer

    async def _pass_on(
        self, fault: Fault, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        to_read, to_write = await asyncio.open_connection("127.0.0.1", self._target)
        self._writers.add(to_write)
        said = asyncio.Event()

        async def there() -> None:
            heard = b""
            while data := await reader.read(65536):
                if fault.cut is not None:
                    heard = heard[-16:] + data
                    if fault.cut in heard:
                        said.set()
                to_write.write(data)
                await to_write.drain()

        async def back() -> None:
            while data := await to_read.read(65536):
                if said.is_set():
                    return
                writer.write(data)
                await writer.drain()

        ways = [asyncio.create_task(there()), asyncio.create_task(back())]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            with contextlib.suppress(OSError, asyncio.IncompleteReadError):
                await asyncio.gather(*ways, return_exceptions=True)
            self._writers.discard(to_write)
            to_write.transport.abort()
