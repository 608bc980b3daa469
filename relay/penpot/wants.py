"""Which RPC calls an event needs, and the facts in their answers.

Of each kind of object the lightest call that has it; never a whole file. ``relay.penpot.api`` does
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
from relay.penpot.names import MAX_FIRST_COMMENT_LENGTH, OWN_TEAM, Fact

THREAD: Final = "get-comment-thread"
MEMBERS: Final = "get-team-members"
PROJECT: Final = "get-project"
PROJECTS: Final = "get-projects"
FILES: Final = "get-project-files"
LIBRARIES: Final = "get-file-libraries"
TEMPLATES: Final = "get-builtin-templates"

MAX_PROJECTS: Final = 20  # of a team, searched for a file of which only the id is known
# An event's object is created at most so long before and after the time of the event.
MAX_CREATED_BEFORE, MAX_CREATED_AFTER = timedelta(seconds=5), timedelta(minutes=10)


class LookupCall(NamedTuple):
    """An RPC method, and the ids that it takes."""

    method: str
    ids: tuple[str, ...] = ()


def lookup_plan(event: Event, nameless: bool, projects: Sequence[str] | None) -> set[LookupCall]:
    """The calls that may fill in the missing names of an enriched event.

    ``nameless``: a person in it has no name. ``projects``: ids of the team's projects, None if
    they are unknown.
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
    is_link = event.name == "link-file-to-library"
    if is_link and not event.library.name:
        calls.add(LookupCall(LIBRARIES, (file.id,)))
    if thread.id:
        return calls  # the thread's call returns the file as well
    original = (event.previous,) if event.name == "duplicate-file" else ()
    in_project = any(each.id and not each.name for each in (file, *event.files, *original))
    in_any_project = bool(event.library.id and not event.library.name) and not is_link
    if in_project and project.id:
        calls.add(LookupCall(FILES, (project.id,)))
    if team.id and (in_any_project or (in_project and not project.id)):
        if projects is None:
            calls.add(LookupCall(PROJECTS, (team.id,)))
        else:
            calls.update(LookupCall(FILES, (project_id,)) for project_id in projects)
    return calls


def created_object_call(event: Event) -> LookupCall | None:
    """The call that finds the id of the object that the event created, if Penpot omitted it."""
    if event.name in ("create-file", "duplicate-file", "import-binfile"):
        if event.file.name and not event.file.id and event.project.id:
            return LookupCall(FILES, (event.project.id,))
    elif event.name in ("create-project", "duplicate-project"):  # noqa: SIM102 - as above
        if event.project.name and not event.project.id and event.team.id:
            return LookupCall(PROJECTS, (event.team.id,))
    return None


def closest_created(records: Iterable[FileRecord | ProjectRecord], name: str, at: datetime) -> str:
    """Id of the record of this name that was created closest to ``at``; empty if none is near."""
    distances = {
        record.id: abs(record.created_at - at)
        for record in records
        if record.name == name
        and record.created_at is not None
        and -MAX_CREATED_BEFORE <= record.created_at - at <= MAX_CREATED_AFTER
    }
    return min(distances, key=distances.__getitem__, default="")


def recently_modified(projects: Iterable[ProjectRecord]) -> tuple[str, ...]:
    """Ids of the ``MAX_PROJECTS`` projects modified last, without deleted ones."""
    existing = (project for project in projects if not project.is_deleted)
    never = datetime.min.replace(tzinfo=UTC)
    latest = nlargest(MAX_PROJECTS, existing, key=lambda project: project.modified_at or never)
    return tuple(project.id for project in latest)


def facts_from_answer(call: LookupCall, answer: Any, team_id: str) -> Iterator[Fact]:
    """The facts in an answer, without those of other teams than ``team_id``, if that is known.

    Otherwise the holder of one webhook could learn names in all teams of the token's user.
    """
    if call.method == MEMBERS and team_id and call.ids != (team_id,):
        return
    for record in answer if isinstance(answer, tuple) else (answer,):
        team = getattr(record, "team_id", "")
        if team and team_id and team != team_id:
            continue
        yield from (fact for fact in _facts(record) if fact.id and (fact.name or fact.refs))
        # Penpot sends an event only to the webhooks of the team that its subject belongs to.
        if team and call.method in (THREAD, PROJECT, LIBRARIES):
            yield Fact(*OWN_TEAM, refs=(("team", team),))


def _facts(record: Any) -> Iterator[Fact]:
    match record:
        case ThreadRecord():
            yield Fact.of(
                "thread",
                record.id,
                file=record.file_id,
                page=record.page_id,
                number="" if record.number is None else str(record.number),
                first=record.first[:MAX_FIRST_COMMENT_LENGTH],
                board=record.frame_id,
            )
            yield Fact.of("file", record.file_id, record.file_name, project=record.project_id)
            yield Fact.of("page", record.page_id, record.page_name, file=record.file_id)
            yield Fact.of("project", record.project_id, team=record.team_id)
            if record.owner is not None:
                yield from _facts(record.owner)
        case ProfileRecord():
            yield Fact.of("person", record.id, record.name, email=record.email)
        case ProjectRecord():
            yield Fact.of("project", record.id, record.name, team=record.team_id)
        case FileRecord():
            yield Fact.of("file", record.id, record.name, project=record.project_id)
            yield Fact.of("project", record.project_id, team=record.team_id)
        case TemplateRecord():
            yield Fact.of("template", record.id, record.name)
