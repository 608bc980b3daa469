"""The HTTP server: uvicorn with Relay's protocol and bounds."""

import asyncio
import ctypes
import logging
import resource
import socket
import sys
from functools import partial
from typing import cast

import uvicorn

from relay.app import build
from relay.config.settings import Config, Role
from relay.protocol import BoundedProtocol, ConnectionTable

log = logging.getLogger(__name__)

GRACEFUL_STOP_TIMEOUT = 1  # seconds, for requests in progress
MAX_CONNECTIONS = 256
RESERVED_DESCRIPTOR_COUNT = 128
"""File descriptors for the store, the channels, Penpot, the sandbox and logs."""


def max_connections() -> int:
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    available = (
        MAX_CONNECTIONS if soft == resource.RLIM_INFINITY else soft - RESERVED_DESCRIPTOR_COUNT
    )
    return max(16, min(MAX_CONNECTIONS, available))


class _Server(uvicorn.Server):
    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            log.info("listening on %s:%d", self.config.host, self.config.port)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        # ends the event streams: uvicorn would wait for them until its timeout
        self.config.app.state.feed.close()  # type: ignore[union-attr]
        await super().shutdown(sockets)


def deny_tracing() -> None:
    """Let no other process of this user read this one's environment and memory, which hold secrets:
    users' templates run in such a process. Linux only."""
    if sys.platform == "linux":
        pr_set_dumpable = 4  # of prctl(2)
        ctypes.CDLL(None).prctl(pr_set_dumpable, 0, 0, 0, 0)


def server(config: Config, role: Role = Role.ALL) -> uvicorn.Server:
    application = build(config, role)
    table = ConnectionTable("hook", max_connections(), application.state.metrics.connection_refused)
    return _Server(
        uvicorn.Config(
            application,
            host=config.server.host,
            port=config.server.port,
            http=cast(type[asyncio.Protocol], partial(BoundedProtocol, table=table)),
            ws="none",
            lifespan="on",
            access_log=False,  # it would contain the hooks' secrets
            log_config=None,
            server_header=False,
            proxy_headers=False,
            timeout_graceful_shutdown=GRACEFUL_STOP_TIMEOUT,
        )
    )
