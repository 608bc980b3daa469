"""The HTTP server: uvicorn, with the settings that Penpot's client needs."""

import logging
import socket

import uvicorn

from relay.app import build
from relay.config import Config
from relay.h2c import H2cBlindProtocol
from relay.role import Role

log = logging.getLogger(__name__)

KEEP_ALIVE_TIMEOUT = 75
"""Seconds. More than the 30 s after which Penpot's Java client closes an idle connection: it does
not repeat a POST when the server closes the connection first."""
GRACEFUL_STOP_TIMEOUT = 1  # seconds, for requests in progress


class _Server(uvicorn.Server):
    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            log.info("listening on %s:%d", self.config.host, self.config.port)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        # ends the event streams: uvicorn would wait for them until its timeout
        self.config.app.state.feed.close()  # type: ignore[union-attr]
        await super().shutdown(sockets)


def server(config: Config, role: Role = Role.ALL) -> uvicorn.Server:
    return _Server(
        uvicorn.Config(
            build(config, role),
            host=config.server.host,
            port=config.server.port,
            http=H2cBlindProtocol,
            ws="none",
            lifespan="on",
            access_log=False,  # it would contain the hooks' secrets
            log_config=None,
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=KEEP_ALIVE_TIMEOUT,
            timeout_graceful_shutdown=GRACEFUL_STOP_TIMEOUT,
        )
    )
