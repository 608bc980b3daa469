"""A Penpot with many teams, and a config for them."""

import uuid
from pathlib import Path

from relay.config.secret import Secret
from relay.config.settings import Config, TeamSettings
from tests.penpot.standin import StandIn
from tests.penpot.world import Comment, File, Project, Thread, Webhook
from tests.penpot.world import Team as PenpotTeam
from tests.sync.stage import LOG, PUBLIC, SECRET, settings

FILES, THREADS = 3, 2
"""Files per team, threads per file."""


def many(count: int, folder: Path, *, known: bool = True) -> Config:
    """A config of ``count`` teams, with their Penpot ids if ``known``."""
    teams = {
        f"team{number}": TeamSettings(
            secret=Secret(f"{SECRET}-{number}"),
            channels=(LOG,),
            **({"team_id": numbered(number, 0)} if known else {}),
        )
        for number in range(count)
    }
    return settings("http://penpot.example", folder, teams=teams)


def fill(penpot: StandIn, config: Config) -> dict[str, str]:
    """Replace Penpot's data by these teams, each with a project, files, threads and a webhook. The
    token's user is a viewer in all of them. The first file of each team.
    """
    world = penpot.world
    ada = world.by_name("profiles", "ada")
    page = world.by_name("pages", "p1")
    for kept in (world.teams, world.projects, world.files, world.threads):
        kept.clear()
    first = {}
    for number, name in enumerate(config.teams):
        team, project, hook = (numbered(number, thing) for thing in range(3))
        world.teams[team] = PenpotTeam(team, name, {ada: "owner", world.me: "viewer"})
        world.projects[project] = Project(project, team, "Project")
        for index in range(FILES):
            file = numbered(number, 100 + index)
            world.files[file] = File(file, project, f"File {index}")
            first.setdefault(name, file)
            for place in range(THREADS):
                id_ = str(uuid.uuid4())
                comment = Comment(str(uuid.uuid4()), ada, "A comment from before.")
                world.threads[id_] = Thread(id_, file, page, "Page 1", place + 1, [comment])
        world.webhooks[hook] = Webhook(hook, team, PUBLIC + config.hook_path(name))
    return first


def numbered(team: int, thing: int) -> str:
    """A UUID made of two numbers."""
    return f"{team:08x}-0000-4000-8000-{thing:012x}"
