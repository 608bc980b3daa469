"""What to ask Penpot about an event, and what the answers teach.

Of each kind of thing the lightest call that tells it; never a whole file. ``relay.penpot.api`` does
the calls.
"""

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from heapq import nlargest
from typing import Any, Final, NamedTuple

from relay.penpot.answers import (
    FileRecord,
    ProfileRecord,
    ProjectRecord,
    TemplateRecord,
    ThreadRecord,
)
from relay.penpot.events import Event
from relay.penpot.names import LONGEST_FIRST, OWN_TEAM, Fact

THREAD: Final = "get-comment-thread"
MEMBERS: Final = "get-team-members"
PROJECT: Final = "get-project"
PROJECTS: Final = "get-projects"
FILES: Final = "get-project-files"
LIBRARIES: Final = "get-file-libraries"
TEMPLATES: Final = "get-builtin-templates"

MOST_PROJECTS: Final = 20
"""So many projects of a team are searched for a file of which only the id is known."""
EARLY, LATE = timedelta(seconds=5), timedelta(minutes=10)
"""How long before the event's time something may have been made that it tells of, and after it."""


class LookupCall(NamedTuple):
    """A lookup: Penpot's name for it, and the ids that it takes."""

    method: str
    ids: tuple[str, ...] = ()


def wanted(event: Event, nameless: bool, projects: Sequence[str] | None) -> set[LookupCall]:
    """The calls that would tell more about an event, which has all names that are known.

    ``nameless``: somebody in it has no name. ``projects`` are the team's, None where they are
    not known.
    """
    file, project, team, thread = event.file, event.project, event.team, event.thread
    calls = set()
    if thread.id and not (
        file.name
        and project.id
        and event.page.id
        and thread.number is not None
        and (thread.first or event.name == "create-comment-thread")
    ):
        calls.add(LookupCall(THREAD, (file.id, thread.id)))
    if project.id and not (project.name and team.id):
        calls.add(LookupCall(PROJECT, (project.id,)))
    if nameless and team.id:
        calls.add(LookupCall(MEMBERS, (team.id,)))
    if event.name == "clone-template" and event.previous.id and not event.previous.name:
        calls.add(LookupCall(TEMPLATES))
    linked = event.name == "link-file-to-library"
    if linked and not event.library.name:
        calls.add(LookupCall(LIBRARIES, (file.id,)))
    original = (event.previous,) if event.name == "duplicate-file" else ()
    here = any(one.id and not one.name for one in (file, *event.files, *original))
    elsewhere = bool(event.library.id and not event.library.name) and not linked
    if thread.id:
        return calls  # its own call tells the file
    if here and project.id:
        calls.add(LookupCall(FILES, (project.id,)))
    if team.id and (elsewhere or (here and not project.id)):
        if projects is None:
            calls.add(LookupCall(PROJECTS, (team.id,)))
        else:
            calls.update(LookupCall(FILES, (one,)) for one in projects)
    return calls


def made(event: Event) -> LookupCall | None:
    """The call that tells the id of what the event made, where Penpot did not tell it."""
    if event.name in ("create-file", "duplicate-file", "import-binfile"):
        if event.file.name and not event.file.id and event.project.id:
            return LookupCall(FILES, (event.project.id,))
    elif event.name in ("create-project", "duplicate-project"):  # noqa: SIM102 - as above
        if event.project.name and not event.project.id and event.team.id:
            return LookupCall(PROJECTS, (event.team.id,))
    return None


def nearest(answer: Iterable[Any], name: str, at: datetime) -> str:
    """Id of the file or project of this name that was made about then; empty if there is none."""
    times = {
        one.id: abs(one.created_at - at)
        for one in answer
        if one.name == name and one.created_at is not None and -EARLY <= one.created_at - at <= LATE
    }
    return min(times, key=times.__getitem__, default="")


def newest(projects: Iterable[ProjectRecord]) -> tuple[str, ...]:
    """Ids of the projects that were worked on last; without those that are deleted."""
    alive = (one for one in projects if not one.is_deleted)
    ever = datetime.min.replace(tzinfo=UTC)
    found = nlargest(MOST_PROJECTS, alive, key=lambda one: one.modified_at or ever)
    return tuple(one.id for one in found)


def told(call: LookupCall, answer: Any, team_id: str) -> Iterator[Fact]:
    """What an answer teaches; of other teams than ``team_id`` nothing, where that is known.

    Who knows one hook could else name the files of every team that the token's user is in.
    """
    if call.method == MEMBERS and team_id and call.ids != (team_id,):
        return
    for one in answer if isinstance(answer, tuple) else (answer,):
        team = getattr(one, "team_id", "")
        if team and team_id and team != team_id:
            continue
        yield from (fact for fact in _facts(one) if fact.id and (fact.name or fact.refs))
        # Penpot tells an event only to the webhooks of the team that its subject belongs to.
        if team and call.method in (THREAD, PROJECT, LIBRARIES):
            yield Fact(*OWN_TEAM, refs=(("team", team),))


def _facts(one: Any) -> Iterator[Fact]:
    match one:
        case ThreadRecord():
            yield _thread(one)
            yield Fact.of("file", one.file_id, one.file_name, project=one.project_id)
            yield Fact.of("page", one.page_id, one.page_name, file=one.file_id)
            yield Fact.of("project", one.project_id, team=one.team_id)
            if one.owner is not None:
                yield from _facts(one.owner)
        case ProfileRecord():
            yield Fact.of("person", one.id, one.name, email=one.email)
        case ProjectRecord():
            yield Fact.of("project", one.id, one.name, team=one.team_id)
        case FileRecord():
            yield Fact.of("file", one.id, one.name, project=one.project_id)
            yield Fact.of("project", one.project_id, team=one.team_id)
        case TemplateRecord():
            yield Fact.of("template", one.id, one.name)


def _thread(one: ThreadRecord) -> Fact:
    return Fact.of(
        "thread",
        one.id,
        file=one.file_id,
        page=one.page_id,
        number="" if one.number is None else str(one.number),
        first=one.first[:LONGEST_FIRST],
        board=one.frame_id,
    )
