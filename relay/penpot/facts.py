"""Facts: names and ids from events, and enriching later events with them.

Penpot's events carry few names (the author of a deletion is only an id), but every event carries
some. For each event, call ``enrich`` first, so that a new name does not hide the old one, then
store the ``facts_from_event`` of the event as ``normalize`` returned it.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from heapq import nlargest
from typing import Any, Final, NamedTuple, TypeVar

from relay.penpot.catalogue import SYNTHETIC
from relay.penpot.events import MAX_PARTICIPANTS, Event, File, Person, Subject, Thread
from relay.penpot.records import FileRecord, ProjectRecord

MAIL_REFERENCE = "email"  # of a person's fact
# Of a person's fact, and only from the team's list of members: a body can't change them.
MEMBER_NAME, MEMBER_MAIL = "member", "member_email"
_PEOPLE = "people"  # of a thread's fact: the ids of its participants, which are only added

Key = tuple[str, str]  # kind and id of a fact
S = TypeVar("S", bound=Subject)

MAX_FIRST_COMMENT_LENGTH: Final = 750  # characters of a thread's first comment that are stored
OWN_TEAM: Final = ("own-team", "")
"""Key of the team that events named, for links only: who knows the hook's address may name any."""
_PLACE_KINDS = frozenset({"file", "page", "project"})
_FLAGS = {"yes": True, "no": False}
_FLAG_TEXT: Mapping[bool | None, str] = {True: "yes", False: "no", None: ""}


@dataclass(frozen=True, slots=True)
class Fact:
    """What is known about one object; unknown fields are empty.

    Kinds, with their ``refs``: person (email, member, member_email), file (project, at: time of the
    event that gave name and project), project (team), page (file), thread (file, page, number,
    first, board, resolved, edited, people; home_project, home_project_name, home_file_name,
    home_in, home_out, home_undecided: see ``ThreadHome``), team, font, template (its id is a
    word), and own-team (team; its id is empty).
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
        refs = dict(old.refs) | dict(new.refs)
        if people := {*old.ref(_PEOPLE).split(), *new.ref(_PEOPLE).split()}:
            refs[_PEOPLE] = " ".join(sorted(people)[:MAX_PARTICIPANTS])
        return cls.of(new.kind, new.id, new.name or old.name, **refs)

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
    thread, project = event.thread, event.project
    files = [(event.file.id, file_name)]
    files += [(file.id, file.name) for file in event.files if file.id != event.file.id]
    at = "" if event.at is None else event.at.isoformat()
    values: list[tuple[str, str, str, dict[str, str]]] = [
        *(
            ("person", person.id, person.name, {MAIL_REFERENCE: person.email})
            for person in dict.fromkeys((event.actor, event.comment.author))
        ),
        *(
            ("file", id_, name, {"project": project.id, "at": at if name or project.id else ""})
            for id_, name in files
        ),
        ("project", project.id, project.name, {"team": event.team.id}),
        ("page", event.page.id, event.page.name, {"file": event.file.id}),
        ("team", event.team.id, event.team.name, {}),
        ("font", event.font.id, event.font.name, {}),
        (
            "thread",
            thread.id,
            "",
            {
                "file": event.file.id,
                "page": event.page.id,
                "number": "" if thread.number is None else str(thread.number),
                "first": thread.first[:MAX_FIRST_COMMENT_LENGTH],
                "board": thread.board,
                "resolved": _FLAG_TEXT[thread.resolved],
                _PEOPLE: " ".join(person.id for person in event.participants),
                "edited": "yes" if event.comment.edited and event.comment.is_first else "",
            },
        ),
    ]
    facts = [Fact.of(kind, id_, name, **refs) for kind, id_, name, refs in values if id_]
    facts = [fact for fact in facts if fact.name or fact.refs]
    if event.team.id:
        # Penpot sends an event only to the webhooks of the team that it names.
        facts.append(Fact.of(*OWN_TEAM, team=event.team.id))
    return tuple(facts)


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
    is_late = event.name in SYNTHETIC and fact.kind in _PLACE_KINDS
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
    thread = facts.get("thread", event.thread.id)
    page, file, project = _place(event, thread, facts)
    team = event.team.id or team_id or facts.get("project", project.id).ref("team")
    named = facts.named("team", replace(event.team, id=team or facts.get(*OWN_TEAM).ref("team")))
    comment = event.comment
    event = replace(
        event,
        actor=facts.person(event.actor),
        team=named if named else replace(named, name=team_key),
        project=facts.named("project", project),
        file=file,
        files=tuple(facts.named("file", each) for each in event.files),
        page=page,
        member=facts.member(comment.author.id),
        thread=_with_known(event.thread, thread),
        comment=replace(
            comment,
            mentions=tuple(map(facts.person, comment.mentions)),
            author=facts.person(comment.author),
            edited=comment.edited or (comment.is_first and bool(thread.ref("edited"))),
        ),
        participants=_participants(event, thread, facts),
        library=facts.named("file", event.library),
        font=facts.named("font", event.font),
        previous=_previous(event, facts),
    )
    return event, frozenset(facts.missing)


class _FactLookup:
    """Lookups in known facts that record the missing keys."""

    def __init__(self, known: Mapping[Key, Fact]) -> None:
        self._known = known
        self.missing: set[Key] = set()

    def get(self, kind: str, id: str) -> Fact:  # noqa: A002
        """The fact; without fields if it is unknown."""
        key = kind, id
        fact = self._known.get(key)
        if fact is not None:
            return fact
        if id or key == OWN_TEAM:
            self.missing.add(key)
        return Fact(*key)

    def named(self, kind: str, subject: S) -> S:
        return subject if subject.name else replace(subject, name=self.get(kind, subject.id).name)

    def person(self, person: Person) -> Person:
        if person.name:
            return person
        fact = self.get("person", person.id)
        return replace(person, name=fact.name, email=person.email or fact.ref(MAIL_REFERENCE))

    def member(self, id: str) -> Person:  # noqa: A002
        """The person as the team's list of members has them; without a name if it does not."""
        fact = self.get("person", id)
        name = fact.ref(MEMBER_NAME)
        return Person(id, name, email=fact.ref(MEMBER_MAIL)) if name else Person()


def _place(event: Event, thread: Fact, facts: _FactLookup) -> tuple[Subject, File, Subject]:
    """The event's page, file and project; the last without its name."""
    page = replace(event.page, id=event.page.id or thread.ref("page"))
    file_id = event.file.id or thread.ref("file") or facts.get("page", page.id).ref("file")
    page, file = facts.named("page", page), replace(event.file, id=file_id)
    project = event.project
    if event.name == "delete-comment-thread":  # its own place may be outdated
        fact = facts.get("file", file.id)
        page = replace(page, name=facts.get("page", page.id).name or page.name)
        file = replace(file, name=fact.name or file.name)
        if fact.ref("project") not in ("", project.id):
            project = Subject(fact.ref("project"))
    elif event.name == "duplicate-file" and not project.id:
        project = replace(project, id=facts.get("file", event.previous.id).ref("project"))
    if not (file.name and project.id):
        fact = facts.get("file", file.id)
        file = replace(file, name=file.name or fact.name)
        project = replace(project, id=project.id or fact.ref("project"))
    return page, file, project


def _with_known(thread: Thread, fact: Fact) -> Thread:
    number, resolved = fact.ref("number"), thread.resolved
    return replace(
        thread,
        number=int(number) if thread.number is None and number else thread.number,
        first=thread.first or fact.ref("first"),
        board=thread.board or fact.ref("board"),
        resolved=_FLAGS.get(fact.ref("resolved")) if resolved is None else resolved,
    )


def _participants(event: Event, thread: Fact, facts: _FactLookup) -> tuple[Person, ...]:
    """Of a reply, for which they get messages."""
    if event.name != "create-comment":
        return event.participants
    people = {person.id for person in event.participants} | {*thread.ref(_PEOPLE).split()}
    return tuple(facts.person(Person(id_)) for id_ in sorted(people))


def _previous(event: Event, facts: _FactLookup) -> Subject:
    match event.name:
        case "duplicate-file":
            return facts.named("file", event.previous)
        case "duplicate-project":
            return facts.named("project", event.previous)
        case "clone-template":
            return facts.named("template", event.previous)
        case "rename-file":
            old = Subject(event.file.id, facts.get("file", event.file.id).name)
            return old if old.name not in ("", event.file.name) else Subject()
        case "update-font":
            old = Subject(event.font.id, facts.get("font", event.font.id).name)
            return old if old.name not in ("", event.font.name) else Subject()
    return event.previous


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
    if (
        thread.id
        and file.id
        and not (
            file.name
            and project.id
            and event.page.id
            and thread.number is not None
            and (thread.first or event.name == "create-comment-thread")
        )
    ):
        calls.add(LookupCall(THREAD, (file.id, thread.id)))
    if project.id and not (project.name and team.id):
        calls.add(LookupCall(PROJECT, (project.id,)))
    if nameless and team.id:
        calls.add(LookupCall(MEMBERS, (team.id,)))
    if event.name == "clone-template" and event.previous.id and not event.previous.name:
        calls.add(LookupCall(TEMPLATES))
    is_link = event.name == "link-file-to-library"
    if is_link and file.id and not event.library.name:
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
    file, project, team = event.file, event.project, event.team
    is_file = event.name in ("create-file", "duplicate-file", "import-binfile")
    if is_file and file.name and not file.id and project.id:
        return LookupCall(FILES, (project.id,))
    is_project = event.name in ("create-project", "duplicate-project")
    if is_project and project.name and not project.id and team.id:
        return LookupCall(PROJECTS, (team.id,))
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


def with_current(
    event: Event, enriched: Event, answers: Mapping[LookupCall, Any], at: datetime
) -> Event:
    """The event with what is true of this moment and must not be cached."""
    for answer in answers.values():
        if isinstance(answer, Event) and event.thread.resolved is None:
            event = replace(event, thread=replace(event.thread, resolved=answer.thread.resolved))
    call = created_object_call(enriched)
    if call is None or not answers.get(call):
        return event
    kind = "project" if call.method == PROJECTS else "file"
    id_ = closest_created(answers[call], getattr(enriched, kind).name, at)
    return replace(event, **{kind: replace(getattr(event, kind), id=id_)}) if id_ else event


def recently_modified(projects: Iterable[ProjectRecord]) -> tuple[str, ...]:
    """Ids of the ``MAX_PROJECTS`` projects modified last, without deleted ones."""
    existing = (project for project in projects if not project.is_deleted)
    never = datetime.min.replace(tzinfo=UTC)
    latest = nlargest(MAX_PROJECTS, existing, key=lambda project: project.modified_at or never)
    return tuple(project.id for project in latest)


def own_part(call: LookupCall, answer: Any, team_id: str) -> Any:
    """What of an answer belongs to the team; None for an object of another team."""

    def is_own(record: Any) -> bool:
        if isinstance(record, Event) and record.file.id != call.ids[0]:
            return False
        team = record.team.id if isinstance(record, Event) else getattr(record, "team_id", "")
        return team in ("", team_id)

    if isinstance(answer, tuple):
        return tuple(filter(is_own, answer))
    return answer if answer is not None and is_own(answer) else None


def facts_from_answer(answer: Any) -> Iterator[Fact]:
    for record in answer if isinstance(answer, tuple) else (answer,):
        yield from (fact for fact in _facts(record) if fact.id and (fact.name or fact.refs))


def _facts(record: Any) -> Iterator[Fact]:
    match record:
        case Event():  # of a thread, which may be resolved or reopened without an event
            yield from facts_from_event(
                replace(record, thread=replace(record.thread, resolved=None))
            )
        case Person():
            refs = {MEMBER_NAME: record.name, MEMBER_MAIL: record.email}
            yield Fact.of("person", record.id, record.name, email=record.email, **refs)
        case ProjectRecord():
            yield Fact.of("project", record.id, record.name, team=record.team_id)
        case FileRecord():
            yield Fact.of("file", record.id, record.name, project=record.project_id)
            yield Fact.of("project", record.project_id, team=record.team_id)
        case Subject():
            yield Fact.of("template", record.id, record.name)
