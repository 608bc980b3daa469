"""Names without an API token: what events teach, and what is known from earlier ones.

Penpot's events tell few names (a deleted file's author is an id), but every event teaches some.
Of each event first ``enrich``, so that a new name does not hide the old one, then store what is
``taught`` by the event as ``normalize`` made it.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from relay.penpot.catalogue import CATALOGUE
from relay.penpot.events import Event, Font, Person, Subject, Thread
from relay.penpot.text import one_line

Key = tuple[str, str]
"""Kind and id of a fact."""

LONGEST_FIRST: Final = 750
"""Characters of a thread's first comment that are remembered."""
OWN_TEAM: Final = ("own-team", "")
"""Key of the team that the webhook belongs to."""
_PLACES = frozenset({"file", "page", "project"})
_SAID: Mapping[bool | None, str] = {True: "yes", False: "no", None: ""}


@dataclass(frozen=True, slots=True)
class Fact:
    """What is known about one thing; the fields that are not known are empty.

    Kinds, with their ``refs``: person (email), file (project, at: when name and project were told),
    project (team), page (file), thread (file, page, number, first, board, resolved, edited), team,
    font, template (its id is a word), and own-team (team; its id is empty): the team that the
    webhook belongs to.
    """

    kind: str
    id: str
    name: str = ""
    refs: tuple[tuple[str, str], ...] = ()
    """Other plain texts by name, sorted; ids of other facts among them."""

    @classmethod
    def of(cls, kind: str, id: str, name: str = "", **refs: str) -> "Fact":  # noqa: A002
        """A fact with those of the refs that are not empty."""
        return cls(kind, id, name, tuple(sorted((key, ref) for key, ref in refs.items() if ref)))

    @property
    def key(self) -> Key:
        """What it is stored under."""
        return (self.kind, self.id)

    def ref(self, name: str) -> str:
        """One of its refs; empty if not known."""
        return dict(self.refs).get(name, "")

    @classmethod
    def merged(cls, old: "Fact | None", new: "Fact") -> "Fact":
        """The new fact over the old one: what it leaves empty stays known."""
        if old is None:
            return new
        return cls.of(new.kind, new.id, new.name or old.name, **dict(old.refs) | dict(new.refs))

    def dumps(self) -> str:
        """Its fields but for kind and id, as JSON text for the store."""
        return json.dumps({"name": self.name, **dict(self.refs)}, ensure_ascii=False)

    @classmethod
    def loads(cls, kind: str, id: str, text: str) -> "Fact":  # noqa: A002
        """The fact that ``dumps`` wrote."""
        fields: dict[str, str] = json.loads(text)
        return cls.of(kind, id, fields.pop("name", ""), **fields)


def taught(event: Event) -> tuple[Fact, ...]:
    """What an event teaches, as ``normalize`` made it (an enriched one would teach guesses)."""
    # What an import into a file is called is not what that file is called.
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
            first=event.thread.first[:LONGEST_FIRST],
            board=event.thread.board,
            resolved=_SAID[event.thread.resolved],
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
    known = [_at(event, fact) for fact in facts if fact.id and (fact.name or fact.refs)]
    if event.team.id:
        # Penpot tells an event only to the webhooks of the team that it names.
        known.append(Fact.of(*OWN_TEAM, team=event.team.id))
    return tuple(known)


def _at(event: Event, fact: Fact) -> Fact:
    if fact.kind != "file" or event.at is None:
        return fact
    return Fact.of("file", fact.id, fact.name, **dict(fact.refs), at=event.at.isoformat())


def learned(event: Event, old: Fact, fact: Fact) -> Fact:
    """What is known once an event has taught a fact over the ``old`` one.

    Penpot tells of a save two minutes later (``update-file``, FACTS 2), with the name and the
    project of then; and what Relay finds out by itself may come before the webhook that tells a new
    name. Such facts fill gaps only.
    """
    kind = CATALOGUE.get(event.name)
    is_late = kind is not None and kind.own and fact.kind in _PLACES
    if event.name == "update-file" and fact.kind == "file":
        is_late = not fact.ref("at") or fact.ref("at") < old.ref("at")
    new = Fact.merged(fact, old) if is_late else Fact.merged(old, fact)
    is_dated = bool(old.ref("at")) or is_late
    return old if _timeless(new) == _timeless(old) and is_dated else new


def _timeless(fact: Fact) -> tuple[str, dict[str, str]]:
    return fact.name, {key: ref for key, ref in fact.refs if key != "at"}


def enrich(
    event: Event, known: Mapping[Key, Fact], *, team_key: str, team_id: str = ""
) -> tuple[Event, frozenset[Key]]:
    """The event with what is known, and the keys that it looked for and ``known`` lacks.

    The caller adds those to ``known`` and calls again until none is left: at most six times, as
    a thread leads to its page, file, project and team. A key of which nothing is known is mapped
    to a fact without fields. ``team_key`` names the team where Penpot has not.
    """
    memory = _KnownFacts(known)
    event = replace(event, actor=memory.person(event.actor), font=memory.font(event.font))
    event = memory.thread_with_place(event)
    if event.name == "delete-comment-thread":
        event = memory.as_known(event)
    mentions = tuple(map(memory.person, event.comment.mentions))
    author = memory.person(event.comment.author)
    event = replace(event, comment=replace(event.comment, mentions=mentions, author=author))
    if event.name == "duplicate-file":
        event = replace(event, previous=memory.named("file", event.previous))
        project = event.project.id or memory.fact("file", event.previous.id).ref("project")
        event = replace(event, project=replace(event.project, id=project))
    elif event.name == "duplicate-project":
        event = replace(event, previous=memory.named("project", event.previous))
    elif event.name == "clone-template":
        template = Subject(one_line(event.props.get("templateId"), 100))
        event = replace(event, previous=memory.named("template", template))
    elif event.name == "rename-file":
        event = replace(event, previous=memory.old_name("file", event.file))
    elif event.name == "update-font":
        event = replace(event, previous=memory.old_name("font", event.font))
    event = memory.file_with_project(event)
    event = replace(
        event,
        files=tuple(memory.named("file", file) for file in event.files),
        library=memory.named("file", event.library),
        project=memory.named("project", event.project),
    )
    team = event.team.id or team_id or memory.project_team(event) or memory.own_team()
    named = memory.named("team", replace(event.team, id=team))
    event = replace(event, team=named if named else replace(named, name=team_key))
    return event, frozenset(memory.missing)


def _known(told: bool | None, remembered: str) -> bool | None:
    return {"yes": True, "no": False}.get(remembered) if told is None else told


class _KnownFacts:
    """What is known, with a list of what was asked for in vain."""

    def __init__(self, known: Mapping[Key, Fact]) -> None:
        self._known = known
        self.missing: set[Key] = set()

    def fact(self, kind: str, id: str) -> Fact:  # noqa: A002
        """What is known of one thing, of nothing too."""
        if not id:
            return Fact(kind, id)
        return self._found((kind, id))

    def own_team(self) -> str:
        """Id of the hook's own team."""
        return self._found(OWN_TEAM).ref("team")

    def _found(self, key: Key) -> Fact:
        found = self._known.get(key)
        if found is None:
            self.missing.add(key)
            return Fact(*key)
        return found

    def named(self, kind: str, subject: Subject) -> Subject:
        """The subject with its name, if it had none."""
        return subject if subject.name else replace(subject, name=self.fact(kind, subject.id).name)

    def person(self, person: Person) -> Person:
        if person.name:
            return person
        fact = self.fact("person", person.id)
        return replace(person, name=fact.name, email=person.email or fact.ref("email"))

    def font(self, font: Font) -> Font:
        return font if font.name else replace(font, name=self.fact("font", font.id).name)

    def old_name(self, kind: str, subject: Subject) -> Subject:
        """The name that something had before it got this one."""
        old = self.fact(kind, subject.id).name
        return Subject(subject.id, old) if old and old != subject.name else Subject()

    def thread_with_place(self, event: Event) -> Event:
        """The event with its thread's number and first comment, its page and its file's id."""
        fact = self.fact("thread", event.thread.id)
        number = fact.ref("number")
        thread: Thread = replace(
            event.thread,
            number=int(number) if event.thread.number is None and number else event.thread.number,
            first=event.thread.first or fact.ref("first"),
            board=event.thread.board or fact.ref("board"),
            resolved=_known(event.thread.resolved, fact.ref("resolved")),
        )
        if event.comment.is_first and fact.ref("edited"):
            event = replace(event, comment=replace(event.comment, edited=True))
        page = replace(event.page, id=event.page.id or fact.ref("page"))
        file = event.file.id or fact.ref("file") or self.fact("page", page.id).ref("file")
        return replace(
            event,
            thread=thread,
            page=self.named("page", page),
            file=replace(event.file, id=file) if event.thread.id or page.id else event.file,
        )

    def as_known(self, event: Event) -> Event:
        """The event where its file and page are by now, of which it tells what once was."""
        file, page = self.fact("file", event.file.id), self.fact("page", event.page.id)
        project = file.ref("project")
        return replace(
            event,
            file=replace(event.file, name=file.name or event.file.name),
            page=replace(event.page, name=page.name or event.page.name),
            project=event.project if project in ("", event.project.id) else Subject(project),
        )

    def file_with_project(self, event: Event) -> Event:
        """The event with its file's name and its project's id."""
        if event.file.name and event.project.id:
            return event
        fact = self.fact("file", event.file.id)
        return replace(
            event,
            file=replace(event.file, name=event.file.name or fact.name),
            project=replace(event.project, id=event.project.id or fact.ref("project")),
        )

    def project_team(self, event: Event) -> str:
        """Id of the team that the project belongs to."""
        return self.fact("project", event.project.id).ref("team")
