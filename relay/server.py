"""The HTTP server: uvicorn with Relay's protocol and bounds, on two listeners."""

import asyncio
import contextlib
import ctypes
import logging
import os
import resource
import socket
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from errno import EADDRINUSE
from functools import partial
from typing import Any, cast

import uvicorn
from starlette.applications import Starlette

from relay.app import Applications, build
from relay.config.listeners import AdminSettings, ServerSettings
from relay.config.settings import Config, Role
from relay.errors import RelayError
from relay.protocol import BoundedProtocol, ConnectionTable

log = logging.getLogger(__name__)

GRACEFUL_STOP_TIMEOUT = 1  # seconds, for requests in progress
MAX_CONNECTIONS = 384  # a third of them at the admin listener
RESERVED_DESCRIPTOR_COUNT = 128
"""File descriptors for the store, the channels, Penpot, the sandbox and logs."""


class AddressUnavailable(RelayError):
    """Relay can't listen at an address; the text names its keys."""


def max_connections() -> tuple[int, int]:
    """Of the hook's listener, and of the admin listener."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    total = MAX_CONNECTIONS
    if soft != resource.RLIM_INFINITY:
        total = max(48, min(total, soft - RESERVED_DESCRIPTOR_COUNT))
    return total - total // 3, total // 3


class Server(uvicorn.Server):
    """Two listeners in one event loop, with one lifespan and one graceful stop."""

    def __init__(self, config: Config, applications: Applications) -> None:
        count_refused = applications.metrics.connection_refused
        hook_limit, admin_limit = max_connections()
        hook = ConnectionTable("hook", hook_limit, count_refused)
        admin = ConnectionTable("admin", admin_limit, count_refused)
        super().__init__(_listener(config.server, applications.hook, hook))
        # The hook opens last: Penpot connects only when all of Relay runs.
        self._listeners = {
            "admin": _listener(config.admin, applications.admin, admin),
            "server": self.config,
        }
        self._feed = applications.feed

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Instead of uvicorn's, which opens one listener. ``sockets``, if any, are bound: the admin
        listener's, then the hook's. Raises ``AddressUnavailable``, before anything starts."""
        self.servers = []
        for table, bound in zip(self._listeners, sockets or (None, None), strict=True):
            with self._reported(table):
                self.servers.append(await self._bind(self._listeners[table], bound))
        await self.lifespan.startup()
        if self.lifespan.should_exit:  # uvicorn has logged the reason
            sys.exit(1)
        for table, opened in zip(self._listeners, self.servers, strict=True):
            try:
                with self._reported(table):  # another process may have bound the address, too
                    await opened.start_serving()
            except AddressUnavailable:
                await self.shutdown()
                raise
        for table, listener in self._listeners.items():
            log.info("%s: listening on %s:%d", table, listener.host, listener.port)
        self.started = True

    @contextlib.contextmanager
    def _reported(self, table: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            for opened in self.servers:
                opened.close()
            raise listening_problem(table, self._listeners[table], error) from error

    async def _bind(self, listener: uvicorn.Config, bound: socket.socket | None) -> asyncio.Server:
        """A server that does not listen yet."""
        if not listener.loaded:
            listener.load()
        protocol = partial(
            cast(Any, listener.http_protocol_class),
            config=listener,
            server_state=self.server_state,
            app_state=self.lifespan.state,
        )
        create_server = asyncio.get_running_loop().create_server
        if bound:
            return await create_server(protocol, sock=bound, start_serving=False)
        return await create_server(protocol, listener.host, listener.port, start_serving=False)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._feed.close()  # ends the event streams: uvicorn would wait for them until its timeout
        await super().shutdown(sockets)


def listening_problem(
    table: str, listener: uvicorn.Config | ServerSettings | AdminSettings, error: OSError
) -> AddressUnavailable:
    """``table`` is that of the config which has the listener's address."""
    address = f'{table}.host = "{listener.host}", {table}.port = {listener.port}'
    # not the error's text, which shows Python's tuples
    is_unknown = isinstance(error, socket.gaierror)
    reason = "no such host" if is_unknown else os.strerror(error.errno or EADDRINUSE)
    return AddressUnavailable(f"{address}: Relay can't listen there: {reason.lower()}")


def _listener(
    settings: ServerSettings | AdminSettings, application: Starlette, table: ConnectionTable
) -> uvicorn.Config:
    return uvicorn.Config(
        application,
        host=settings.host,
        port=settings.port,
        http=cast(type[asyncio.Protocol], partial(BoundedProtocol, table=table)),
        ws="none",
        lifespan="on",
        access_log=False,  # it would contain the hooks' secrets
        log_config=None,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=GRACEFUL_STOP_TIMEOUT,
    )


def deny_tracing() -> None:
    """Let no other process of this user read this one's environment and memory, which hold secrets:
    users' templates run in such a process. Linux only."""
    if sys.platform == "linux":
        pr_set_dumpable = 4  # of prctl(2)
        ctypes.CDLL(None).prctl(pr_set_dumpable, 0, 0, 0, 0)


@contextlib.asynccontextmanager
async def serving(
    listening: Server, sockets: Sequence[socket.socket] | None = None
) -> AsyncIterator[asyncio.Task[None]]:
    """The server from its start, when it accepts requests, to its graceful stop. Its task ends
    early where it gets a signal. Raises what its start raises."""
    task = asyncio.create_task(listening.serve(sockets=list(sockets) if sockets else None))
    try:
        while not listening.started and not task.done():
            await asyncio.wait([task], timeout=0.01)
        if listening.started:
            yield task
    finally:
        listening.should_exit = True
        await task


def server(config: Config, role: Role = Role.ALL) -> Server:
    return Server(config, build(config, role))
