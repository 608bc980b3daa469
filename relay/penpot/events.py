"""Event: what happened in Penpot, in the same form for every version and encoding."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from heapq import nsmallest
from typing import Any

from relay.penpot import values
from relay.penpot.catalogue import CATALOGUE, GROUPS, Kind
from relay.penpot.subjects import MOST_FILES, Comment, File, Font, Person, Subject, Thread
from relay.penpot.text import MAX_NAME, bounded, one_line, plain_text, uuid

__all__ = [
    "CATALOGUE",
    "GROUPS",
    "Comment",
    "Event",
    "File",
    "Font",
    "Kind",
    "NotAnEvent",
    "Person",
    "Subject",
    "Thread",
    "name_of",
    "normalize",
]


_MOST_MENTIONS = 100


class NotAnEvent(ValueError):
    """A body that can be read but is no event; the text says why."""


@dataclass(frozen=True, slots=True)
class Event:
    """One event. What it does not tell is empty, never None but where said."""

    name: str
    """Penpot's name of the event, such as ``create-comment``."""
    group: str = ""
    """Its group in the catalogue; empty for an event that the catalogue does not know."""
    at: datetime | None = None
    """When it happened, aware, in UTC; None where it is not told (Penpot before 2.14)."""
    missed: bool = False
    """Whether no webhook brought it, and the watch found it late."""
    url: str = ""
    """The most telling place in Penpot."""
    actor: Person = field(default_factory=Person)
    team: Subject = field(default_factory=Subject)
    project: Subject = field(default_factory=Subject)
    """The project of the file, or the project that it is about; the destination of a move."""
    file: File = field(default_factory=File)
    files: tuple[Subject, ...] = ()
    """The files of an event that can be about several (move-files, import-binfile), the first
    ``MOST_FILES`` at most."""
    more_files: int = 0
    """How many files it is about besides those in ``files``."""
    page: Subject = field(default_factory=Subject)
    thread: Thread = field(default_factory=Thread)
    comment: Comment = field(default_factory=Comment)
    library: Subject = field(default_factory=Subject)
    font: Font = field(default_factory=Font)
    previous: Subject = field(default_factory=Subject)
    """What was before: the old name, or the original of a copy."""
    props: Mapping[str, Any] = field(default_factory=dict)
    """What Penpot sent, with camelCase keys, in bounds (``text.bounded``); nothing in it is
    cleaned."""

    def without_emails(self) -> "Event":
        """The event as a channel may show it that is not to show people's mail addresses."""
        mentions = tuple(replace(person, email="") for person in self.comment.mentions)
        author = replace(self.comment.author, email="")
        return replace(
            self,
            actor=replace(self.actor, email=""),
            comment=replace(self.comment, mentions=mentions, author=author),
            props={key: value for key, value in self.props.items() if key != "ownerEmail"},
        )

    def variables(self) -> dict[str, Any]:
        """What templates get."""
        return {
            "event": {
                "name": self.name,
                "group": self.group,
                "at": self.at,
                "missed": self.missed,
                "url": self.url,
                "file_count": len(self.files) + self.more_files,
                "props": self.props,
            },
            "actor": self.actor,
            "team": self.team,
            "project": self.project,
            "file": self.file,
            "files": self.files,
            "page": self.page,
            "thread": self.thread,
            "comment": self.comment,
            "library": self.library,
            "font": self.font,
            "previous": self.previous,
        }


def name_of(body: Any) -> str:
    """Penpot's name of the event in a decoded body; all that has to be known to keep it.

    Raises ``NotAnEvent`` where the body is no map or has no name.
    """
    if not isinstance(body, Mapping):
        raise NotAnEvent("the body is no map")
    name = one_line(body.get("name"), 100)
    if not name:
        raise NotAnEvent("the body has no name")
    return name


def normalize(body: Any) -> Event:
    """The event in a decoded body, of any version of Penpot since 1.17.

    Keys that are not known are ignored, values of a wrong type count as absent. Raises
    ``NotAnEvent`` where the body is no map or has no name, and nothing else.
    """
    name = name_of(body)
    sent = body.get("props")
    props: Mapping[str, Any] = sent if isinstance(sent, Mapping) else {}
    kind = CATALOGUE.get(name)
    event = Event(
        name=name,
        group=kind.group if kind else "",
        at=values.instant(body.get("trackedAt")) or values.instant(body.get("createdAt")),
        missed=body.get("missed") is True,
        actor=Person(uuid(body.get("profileId")) or uuid(props.get("profileId"))),
        team=Subject(uuid(props.get("teamId")), one_line(props.get("teamName"))),
        project=Subject(uuid(props.get("projectId")), one_line(props.get("projectName"))),
        file=File(uuid(props.get("fileId")), one_line(props.get("fileName"))),
        page=Subject(uuid(props.get("pageId")), one_line(props.get("pageName"))),
        library=Subject(uuid(props.get("libraryId"))),
        font=Font(uuid(props.get("fontId")), one_line(props.get("fontFamily"))),
        thread=Thread(uuid(props.get("threadId")), values.number(props.get("seqn"))),
        props=bounded(props),
    )
    shape = _SHAPES.get(name) or _likely_shape(name)
    return shape(event, props) if shape else event


def _thread_created(event: Event, props: Mapping[str, Any]) -> Event:
    event = _of_thread(event, props)
    author = _author(props, event.actor.id)
    return replace(event, actor=author, comment=replace(event.comment, author=author))


def _of_thread(event: Event, props: Mapping[str, Any]) -> Event:
    """Of a thread, with its first comment."""
    resolved = props.get("isResolved")
    text = plain_text(props.get("content"))
    thread = Thread(
        id=uuid(props.get("id")),
        number=values.number(props.get("seqn")),
        first=text,
        board=uuid(props.get("frameId")),
        resolved=resolved if isinstance(resolved, bool) else None,
    )
    comment = Comment(
        uuid(props.get("commentId")),
        text,
        mentions=_mentioned(props),
        author=_author(props),
        is_first=props.get("isFirst") is not False,
    )
    return replace(event, thread=thread, comment=comment)


def _thread_resolved(event: Event, props: Mapping[str, Any]) -> Event:
    event = _of_thread(event, props)
    resolved = event.name == "resolve-comment-thread"
    return replace(event, thread=replace(event.thread, resolved=resolved))


def _comment_created(event: Event, props: Mapping[str, Any]) -> Event:
    text = plain_text(props.get("content"))
    author = _author(props, event.actor.id)
    comment = Comment(uuid(props.get("id")), text, mentions=_mentioned(props), author=author)
    return replace(event, actor=author, comment=comment)


def _comment_changed(event: Event, props: Mapping[str, Any]) -> Event:
    """Edited or deleted."""
    text = plain_text(props.get("content"))
    comment = Comment(
        uuid(props.get("id")),
        text,
        mentions=_mentioned(props),
        author=_author(props),
        is_first=props.get("isFirst") is True,
        before=plain_text(props.get("previousContent")),
        edited=event.name == "update-comment",
    )
    thread = replace(event.thread, first=text) if comment.is_first else event.thread
    return replace(event, thread=thread, comment=comment)


def _author(props: Mapping[str, Any], sender: str = "") -> Person:
    """Who wrote a comment: its owner, should that ever be another than who sent it."""
    email = one_line(props.get("ownerEmail"))
    return Person(
        id=uuid(props.get("ownerId")) or sender,
        name=one_line(props.get("ownerFullname")),
        email=email if "@" in email and " " not in email else "",
    )


def _of_file(event: Event, props: Mapping[str, Any]) -> Event:
    return replace(event, file=_the_file(props))


def _file_shared(event: Event, props: Mapping[str, Any]) -> Event:
    return replace(event, file=_the_file(props), library=_itself(props))


def _of_project(event: Event, props: Mapping[str, Any]) -> Event:
    return replace(event, project=_itself(props))


def _project_renamed(event: Event, props: Mapping[str, Any]) -> Event:
    project = _itself(props)
    return replace(
        event, project=project, previous=Subject(project.id, one_line(props.get("prevName")))
    )


def _of_team(event: Event, props: Mapping[str, Any]) -> Event:
    return replace(event, team=_itself(props))


def _of_page(event: Event, props: Mapping[str, Any]) -> Event:
    return replace(event, page=_itself(props))


def _of_font(event: Event, props: Mapping[str, Any]) -> Event:
    return replace(event, font=Font(uuid(props.get("id")), one_line(props.get("name"))))


def _font_variant_created(event: Event, props: Mapping[str, Any]) -> Event:
    style = one_line(props.get("fontStyle"))
    return replace(
        event, font=replace(event.font, style=style, weight=values.number(props.get("fontWeight")))
    )


def _file_duplicated(event: Event, props: Mapping[str, Any]) -> Event:
    """The copy's id is not told: ``fileId`` is the original."""
    copy = File(name=one_line(props.get("name")))
    return replace(event, file=copy, previous=Subject(event.file.id))


def _project_duplicated(event: Event, props: Mapping[str, Any]) -> Event:
    copy = Subject(name=one_line(props.get("name")))
    return replace(event, project=copy, previous=Subject(event.project.id))


def _files_moved(event: Event, props: Mapping[str, Any]) -> Event:
    ids = values.ids(props.get("ids"))
    files = tuple(map(Subject, _first(ids, MOST_FILES)))
    return replace(
        event,
        files=files,
        more_files=len(ids) - len(files),
        file=File(files[0].id) if len(files) == 1 else File(),
    )


def _files_imported(event: Event, props: Mapping[str, Any]) -> Event:
    """An API client may send a map of names; its keys are ids that the import replaces."""
    told = props.get("name")
    values = told.values() if isinstance(told, Mapping) else ()
    names = [name for name in values if isinstance(name, str) and name[:MAX_NAME].strip()]
    files = tuple(Subject(name=line) for line in map(one_line, names[:MOST_FILES]) if line)
    more = len(names[MOST_FILES:])
    name = files[0].name if len(files) == 1 and not more else one_line(told)
    return replace(event, files=files, more_files=more, file=File(event.file.id, name))


_Shape = Callable[[Event, Mapping[str, Any]], Event]

_SHAPES: dict[str, _Shape] = {
    "create-comment-thread": _thread_created,
    "create-comment": _comment_created,
    "resolve-comment-thread": _thread_resolved,
    "reopen-comment-thread": _thread_resolved,
    "delete-comment-thread": _of_thread,
    "update-comment": _comment_changed,
    "delete-comment": _comment_changed,
    "create-file": _of_file,
    "rename-file": _of_file,
    "delete-file": _of_file,
    "update-file": _of_file,
    "set-file-shared": _file_shared,
    "create-project": _of_project,
    "rename-project": _project_renamed,
    "delete-project": _of_project,
    "update-project-pin": _of_project,
    "create-font-variant": _font_variant_created,
    "update-font": _of_font,
    "delete-font": _of_font,
    "duplicate-file": _file_duplicated,
    "duplicate-project": _project_duplicated,
    "move-files": _files_moved,
    "import-binfile": _files_imported,
}
"""What an event's own keys mean. An event that is not here has nothing but the common keys."""

_LIKELY: dict[str, _Shape] = {
    "-comment-thread": _thread_created,
    "-comment": _comment_created,
    "-file": _of_file,
    "-project": _of_project,
    "-team": _of_team,
    "-page": _of_page,
    "-font": _of_font,
}


def _likely_shape(name: str) -> _Shape | None:
    """A guess at an event of a newer Penpot: ``restore-file`` will tell of a file."""
    if name in CATALOGUE:
        return None
    return next((shape for end, shape in _LIKELY.items() if name.endswith(end)), None)


def _itself(props: Mapping[str, Any]) -> Subject:
    """What the event is about, where ``id`` and ``name`` are its own."""
    return Subject(uuid(props.get("id")), one_line(props.get("name")))


def _the_file(props: Mapping[str, Any]) -> File:
    return File(uuid(props.get("id")), one_line(props.get("name")))


def _mentioned(props: Mapping[str, Any]) -> tuple[Person, ...]:
    return tuple(map(Person, _first(values.ids(props.get("mentions")), _MOST_MENTIONS)))


def _first(ids: Iterable[str], most: int) -> tuple[str, ...]:
    """The first ids in their own order, as that of a set is arbitrary."""
    return tuple(nsmallest(most, ids))
