"""Facts: names and ids learned from events, and enriching later events with them.

Penpot's events carry few names (the author of a deletion is only an id), but every event carries
some. For each event, call ``enrich`` first, so that a new name does not hide the old one, then
store the ``facts_from_event`` of the event as ``normalize`` returned it.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from heapq import nlargest
from typing import Any, Final, NamedTuple

from relay.penpot.catalogue import CATALOGUE
from relay.penpot.events import Event, Font, Person, Subject, Thread
from relay.penpot.records import (
    FileRecord,
    ProfileRecord,
    ProjectRecord,
    TemplateRecord,
    ThreadRecord,
)
from relay.penpot.text import one_line

Key = tuple[str, str]  # kind and id of a fact

MAX_FIRST_COMMENT_LENGTH: Final = 750  # characters of a thread's first comment that are stored
OWN_TEAM: Final = ("own-team", "")  # key of the team that the webhook belongs to
_PLACE_KINDS = frozenset({"file", "page", "project"})
_FLAG_TEXT: Mapping[bool | None, str] = {True: "yes", False: "no", None: ""}


@dataclass(frozen=True, slots=True)
class Fact:
    """What is known about one object; unknown fields are empty.

    Kinds, with their ``refs``: person (email), file (project, at: time of the event that gave name
    and project), project (team), page (file), thread (file, page, number, first, board, resolved,
    edited), team, font, template (its id is a word), and own-team (team; its id is empty).
    """

    kind: str
    id: str
    name: str = ""
    refs: tuple[tuple[str, str], ...] = ()  # other texts by name, sorted, such as ids of facts

    @classmethod
    def of(cls, kind: str, id: str, name: str = "", **refs: str) -> "Fact":  # noqa: A002
        """A fact with the non-empty ones of ``refs``."""
        return cls(kind, id, name, tuple(sorted((key, ref) for key, ref in refs.items() if ref)))

    @property
    def key(self) -> Key:
        return (self.kind, self.id)

    def ref(self, name: str) -> str:
        return dict(self.refs).get(name, "")

    @classmethod
    def merged(cls, old: "Fact | None", new: "Fact") -> "Fact":
        """The new fact, with its empty fields filled from the old one."""
        if old is None:
            return new
        return cls.of(new.kind, new.id, new.name or old.name, **dict(old.refs) | dict(new.refs))

    def dumps(self) -> str:
        """All fields but kind and id, as JSON for the store."""
        return json.dumps({"name": self.name, **dict(self.refs)}, ensure_ascii=False)

    @classmethod
    def loads(cls, kind: str, id: str, text: str) -> "Fact":  # noqa: A002
        fields: dict[str, str] = json.loads(text)
        return cls.of(kind, id, fields.pop("name", ""), **fields)


def facts_from_event(event: Event) -> tuple[Fact, ...]:
    """The facts in an event that is not enriched: an enriched one would confirm guesses."""
    # The name in an import is that of the uploaded file, not of the Penpot file.
    file_name = "" if event.name == "import-binfile" else event.file.name
    facts = [
        *(
            Fact.of("person", person.id, person.name, email=person.email)
            for person in dict.fromkeys((event.actor, event.comment.author))
        ),
        Fact.of("file", event.file.id, file_name, project=event.project.id),
        Fact.of("project", event.project.id, event.project.name, team=event.team.id),
        Fact.of("page", event.page.id, event.page.name, file=event.file.id),
        Fact.of(
            "thread",
            event.thread.id,
            file=event.file.id,
            page=event.page.id,
            number="" if event.thread.number is None else str(event.thread.number),
            first=event.thread.first[:MAX_FIRST_COMMENT_LENGTH],
            board=event.thread.board,
            resolved=_FLAG_TEXT[event.thread.resolved],
            edited="yes" if event.comment.edited and event.comment.is_first else "",
        ),
        Fact.of("team", event.team.id, event.team.name),
        Fact.of("font", event.font.id, event.font.name),
        *(
            Fact.of("file", file.id, file.name, project=event.project.id)
            for file in event.files
            if file.id != event.file.id
        ),
    ]
    facts = [_dated(fact, event) for fact in facts if fact.id and (fact.name or fact.refs)]
    if event.team.id:
        # Penpot sends an event only to the webhooks of the team that it names.
        facts.append(Fact.of(*OWN_TEAM, team=event.team.id))
    return tuple(facts)


def _dated(fact: Fact, event: Event) -> Fact:
    if fact.kind != "file" or event.at is None:
        return fact
    return Fact.of("file", fact.id, fact.name, **dict(fact.refs), at=event.at.isoformat())


def changed_facts(event: Event, facts: Iterable[Fact], known: Mapping[Key, Fact]) -> list[Fact]:
    """The facts to store after ``event`` gave ``facts``, in place of the ``known`` ones."""
    merged: dict[Key, Fact] = {}
    for fact in facts:
        old = merged.get(fact.key, known[fact.key])
        merged[fact.key] = merge_event_fact(event, old, fact)
    return [fact for key, fact in merged.items() if fact != known[key]]


def merge_event_fact(event: Event, old: Fact, fact: Fact) -> Fact:
    """The fact to store after ``event`` gave ``fact``, given the stored ``old`` one.

    A fact that may be outdated only fills empty fields: Penpot sends ``update-file`` two minutes
    after the save, with the name and project of then (FACTS 2), and a synthetic event may precede
    the webhook with a new name.
    """
    kind = CATALOGUE.get(event.name)
    is_late = kind is not None and kind.synthetic and fact.kind in _PLACE_KINDS
    if event.name == "update-file" and fact.kind == "file":
        is_late = not fact.ref("at") or fact.ref("at") < old.ref("at")
    new = Fact.merged(fact, old) if is_late else Fact.merged(old, fact)
    is_dated = bool(old.ref("at")) or is_late
    return old if _undated(new) == _undated(old) and is_dated else new


def _undated(fact: Fact) -> tuple[str, dict[str, str]]:
    return fact.name, {key: ref for key, ref in fact.refs if key != "at"}


def enrich(
    event: Event, known: Mapping[Key, Fact], *, team_key: str, team_id: str = ""
) -> tuple[Event, frozenset[Key]]:
    """The event with the names and ids in ``known``, and the keys that ``known`` lacks.

    The caller adds the missing keys to ``known`` (with a fact without fields where nothing is
    known) and calls again until none is missing: at most six times, as a thread leads to its page,
    file, project and team. ``team_key`` is the team's name if no other is known.
    """
    facts = _FactLookup(known)
    event = replace(event, actor=facts.person(event.actor), font=facts.font(event.font))
    event = facts.with_thread(event)
    if event.name == "delete-comment-thread":
        event = facts.with_current_place(event)
    mentions = tuple(map(facts.person, event.comment.mentions))
    author = facts.person(event.comment.author)
    event = replace(event, comment=replace(event.comment, mentions=mentions, author=author))
    if event.name == "duplicate-file":
        event = replace(event, previous=facts.named("file", event.previous))
        project = event.project.id or facts.get("file", event.previous.id).ref("project")
        event = replace(event, project=replace(event.project, id=project))
    elif event.name == "duplicate-project":
        event = replace(event, previous=facts.named("project", event.previous))
    elif event.name == "clone-template":
        template = Subject(one_line(event.props.get("templateId"), 100))
        event = replace(event, previous=facts.named("template", template))
    elif event.name == "rename-file":
        event = replace(event, previous=facts.old_name("file", event.file))
    elif event.name == "update-font":
        event = replace(event, previous=facts.old_name("font", event.font))
    event = facts.with_file(event)
    event = replace(
        event,
        files=tuple(facts.named("file", file) for file in event.files),
        library=facts.named("file", event.library),
        project=facts.named("project", event.project),
    )
    team = event.team.id or team_id or facts.team_of_project(event) or facts.own_team()
    named = facts.named("team", replace(event.team, id=team))
    event = replace(event, team=named if named else replace(named, name=team_key))
    return event, frozenset(facts.missing)


class _FactLookup:
    """Lookups in known facts that record the missing keys."""

    def __init__(self, known: Mapping[Key, Fact]) -> None:
        self._known = known
        self.missing: set[Key] = set()

    def get(self, kind: str, id: str) -> Fact:  # noqa: A002
        """The fact; without fields if it is unknown."""
        return self._fact((kind, id)) if id else Fact(kind, id)

    def _fact(self, key: Key) -> Fact:
        fact = self._known.get(key)
        if fact is None:
            self.missing.add(key)
            return Fact(*key)
        return fact

    def own_team(self) -> str:
        return self._fact(OWN_TEAM).ref("team")

    def team_of_project(self, event: Event) -> str:
        return self.get("project", event.project.id).ref("team")

    def named(self, kind: str, subject: Subject) -> Subject:
        return subject if subject.name else replace(subject, name=self.get(kind, subject.id).name)

    def person(self, person: Person) -> Person:
        if person.name:
            return person
        fact = self.get("person", person.id)
        return replace(person, name=fact.name, email=person.email or fact.ref("email"))

    def font(self, font: Font) -> Font:
        return font if font.name else replace(font, name=self.get("font", font.id).name)

    def old_name(self, kind: str, subject: Subject) -> Subject:
        """The subject under the name that it had before this event."""
        old = self.get(kind, subject.id).name
        return Subject(subject.id, old) if old and old != subject.name else Subject()

    def with_thread(self, event: Event) -> Event:
        """The event with its thread's fields, its page, and its file's id."""
        fact = self.get("thread", event.thread.id)
        number, resolved = fact.ref("number"), event.thread.resolved
        if resolved is None:
            resolved = {"yes": True, "no": False}.get(fact.ref("resolved"))
        thread: Thread = replace(
            event.thread,
            number=int(number) if event.thread.number is None and number else event.thread.number,
            first=event.thread.first or fact.ref("first"),
            board=event.thread.board or fact.ref("board"),
            resolved=resolved,
        )
        if event.comment.is_first and fact.ref("edited"):
            event = replace(event, comment=replace(event.comment, edited=True))
        page = replace(event.page, id=event.page.id or fact.ref("page"))
        file = event.file.id or fact.ref("file") or self.get("page", page.id).ref("file")
        return replace(
            event,
            thread=thread,
            page=self.named("page", page),
            file=replace(event.file, id=file) if event.thread.id or page.id else event.file,
        )

    def with_current_place(self, event: Event) -> Event:
        """The event with the current names of its file and page and the current project, as its
        own may be outdated."""
        file, page = self.get("file", event.file.id), self.get("page", event.page.id)
        project = file.ref("project")
        return replace(
            event,
            file=replace(event.file, name=file.name or event.file.name),
            page=replace(event.page, name=page.name or event.page.name),
            project=event.project if project in ("", event.project.id) else Subject(project),
        )

    def with_file(self, event: Event) -> Event:
        """The event with its file's name and its project's id."""
        if event.file.name and event.project.id:
            return event
        fact = self.get("file", event.file.id)
        return replace(
            event,
            file=replace(event.file, name=event.file.name or fact.name),
            project=replace(event.project, id=event.project.id or fact.ref("project")),
        )


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
