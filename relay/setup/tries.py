"""What ``relay init`` tries before it writes the config: ports, Penpot and the webhook."""

import socket
from contextlib import ExitStack

from relay.channels.base import Finding
from relay.config.listeners import AdminSettings, ServerSettings
from relay.config.settings import Config, Role
from relay.doctor import check_token
from relay.penpot.api import PenpotClient
from relay.penpot.records import TeamRecord
from relay.server import AddressUnavailable, listening_problem, server, serving
from relay.sync.webhooks import creation


def unusable_ports(hook: ServerSettings, admin: AdminSettings) -> dict[str, AddressUnavailable]:
    """By table the address that Relay can't listen at."""
    unusable = {}
    with ExitStack() as opened:  # both at once, as they may be the same
        for table, settings in (("server", hook), ("admin", admin)):
            try:
                for family, _, _, _, address in socket.getaddrinfo(
                    settings.host or None,
                    settings.port,
                    type=socket.SOCK_STREAM,
                    flags=socket.AI_PASSIVE,
                ):
                    opened.enter_context(socket.create_server(address[:2], family=family))
            except OSError as error:
                unusable[table] = listening_problem(table, settings, error)
    return unusable


async def token_teams(url: str, token: str) -> tuple[Finding, list[TeamRecord]]:
    """Whether Penpot accepts the token, and the teams of its user, the personal one last. Raises
    ``PenpotError``."""
    penpot = PenpotClient(url, token)
    try:
        finding = await check_token(penpot)
        teams = (await penpot.teams() or ()) if finding.ok else ()
    finally:
        await penpot.close()
    return finding, sorted(teams, key=lambda team: team.is_default)


async def create_hook(config: Config, team: str, id_: str) -> Finding:
    """Create the webhook of a team, whose id in Penpot is ``id_``, while Relay listens: Penpot
    calls its address first. Events that come meanwhile are stored, and `relay serve` delivers them.
    Raises ``AddressUnavailable`` and ``StoreUnusable``."""
    assert config.penpot.access_token is not None  # noqa: S101 - the caller asks only with a token
    penpot = PenpotClient(config.penpot.call_url, config.penpot.access_token.reveal())
    try:
        async with serving(server(config, Role.INTAKE)):
            return await creation(config, team, id_).apply(penpot, is_listening=True)
    finally:
        await penpot.close()
