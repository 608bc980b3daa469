"""Every call of the client, and the ids that the tests ask for."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from relay.penpot.api import PenpotClient
from tests.penpot.standin import TOKEN, StandIn
from tests.penpot.world import World

NOBODY = "11111111-2222-4333-8444-555555555555"
HOOK = "https://relay.example.com:8443/hooks/acme/TheHooksOwnSecret?a=1"
THREAD = "c0000001-5d0e-81a4-8006-9b0000000001"


@asynccontextmanager
async def client(
    penpot: StandIn | str, token: str = TOKEN, seconds: float = 5
) -> AsyncIterator[PenpotClient]:
    rpc_client = PenpotClient(
        penpot if isinstance(penpot, str) else penpot.url, token, timeout=seconds
    )
    try:
        yield rpc_client
    finally:
        await rpc_client.close()


class Ids:
    """The ids that the tests ask for."""

    def __init__(self, world: World) -> None:
        self.acme = world.by_name("teams", "acme")
        self.web = world.by_name("projects", "web")
        self.landing = world.by_name("files", "landing")
        self.ada = world.by_name("profiles", "ada")


# Every lookup by an id, with the method that it calls.
LOOKUPS: dict[str, Callable[[PenpotClient, Ids], Awaitable[Any]]] = {
    "get-comment-thread": lambda rpc_client, ids: rpc_client.comment_thread(ids.landing, THREAD),
    "get-team-members": lambda rpc_client, ids: rpc_client.team_members(ids.acme),
    "get-project": lambda rpc_client, ids: rpc_client.project(ids.web),
    "get-projects": lambda rpc_client, ids: rpc_client.projects(ids.acme),
    "get-project-files": lambda rpc_client, ids: rpc_client.project_files(ids.web),
    "get-file-libraries": lambda rpc_client, ids: rpc_client.file_libraries(ids.landing),
    "get-webhooks": lambda rpc_client, ids: rpc_client.webhooks(ids.acme),
    "get-comment-threads": lambda rpc_client, ids: rpc_client.comment_threads(ids.landing),
    "get-unread-comment-threads": lambda rpc_client, ids: rpc_client.unread_threads(ids.acme),
    "get-comments": lambda rpc_client, ids: rpc_client.comments(THREAD),
}
METHODS = LOOKUPS | {
    "get-team": lambda rpc_client, ids: rpc_client.team_of_file(ids.landing, ids.acme),
    "get-teams": lambda rpc_client, ids: rpc_client.teams(),
    "get-profile": lambda rpc_client, ids: rpc_client.profile(),
    "get-builtin-templates": lambda rpc_client, ids: rpc_client.builtin_templates(),
}
