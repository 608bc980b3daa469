"""Relay's HTTP server: uvicorn, with the settings that Penpot needs."""

import logging
import socket

import uvicorn

from relay.app import build
from relay.config import Config
from relay.h2c import H2cBlindProtocol
from relay.role import Role

log = logging.getLogger(__name__)

KEEP_ALIVE = 75
"""Seconds that an idle connection is kept. Java's client closes its own after 30, and does not
repeat a POST on a connection that was closed under it."""
STOP_TIME = 1
"""Seconds that open requests have when the service stops."""


class _Server(uvicorn.Server):
    """Says where it listens once it does, and ends what is told without an end, when it stops:
    uvicorn would wait for it, then cut it."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, and say where."""
        await super().startup(sockets)
        if self.started:
            log.info("listening on %s:%d", self.config.host, self.config.port)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop."""
        self.config.app.state.feed.close()  # type: ignore[union-attr]
        await super().shutdown(sockets)


def server(config: Config, role: Role = Role.ALL) -> uvicorn.Server:
    """The service, or a half of it, ready to run."""
    return _Server(
        uvicorn.Config(
            build(config, role),
            host=config.server.host,
            port=config.server.port,
            http=H2cBlindProtocol,
            ws="none",
            lifespan="on",
            access_log=False,  # it would hold the hooks' secrets
            log_config=None,
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=KEEP_ALIVE,
            timeout_graceful_shutdown=STOP_TIME,
        )
    )
