"""An event of Penpot in one form for all versions and encodings, and its subjects.

Names and ids are one line without control characters; unknown ones are empty.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from heapq import nsmallest
from typing import Any, Final

from relay.errors import RelayError
from relay.penpot import text as values
from relay.penpot.catalogue import CATALOGUE, SYNTHETIC
from relay.penpot.text import MAX_NAME_LENGTH, bounded, one_line, plain_text, uuid

MAX_FILES: Final = 100  # of one event; Penpot moves any number at once
MAX_PARTICIPANTS: Final = 50  # of a thread
_MAX_MENTIONS = 100


class NotAnEvent(RelayError, ValueError):
    """A decoded body that is not an event; the text gives the reason."""


@dataclass(frozen=True, slots=True)
class Subject:
    """Something that an event is about. Truthy when its name is known."""

    id: str = ""  # a UUID in lower case
    name: str = ""
    url: str = ""  # its place in Penpot; see ``links.py``

    def __bool__(self) -> bool:
        return bool(self.name)

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True, slots=True)
class File(Subject):
    thumbnail: str = ""
    """Media id, later URL, of a picture of the file or of the board that a comment is on."""


@dataclass(frozen=True, slots=True)
class Person(Subject):
    email: str = ""


@dataclass(frozen=True, slots=True)
class Font(Subject):
    """A font family, or one variant of it."""

    style: str = ""  # ``normal`` or ``italic``
    weight: int | None = None  # 100 to 950


@dataclass(frozen=True, slots=True)
class Thread:
    """A comment thread. Truthy when its number is known."""

    id: str = ""
    number: int | None = None  # as Penpot shows it at the thread; counted per file
    url: str = ""
    first: str = ""  # plain text of the first comment
    resolved: bool | None = None
    board: str = ""  # id of the board that it is on
    begun: bool = False
    """Whether the message is a reply to the thread's first message in the channel, so that file,
    page and first comment need not be repeated."""

    @property
    def name(self) -> str:
        """The number as in Penpot's emails, such as ``#15``."""
        return "" if self.number is None else f"#{self.number}"

    def __bool__(self) -> bool:
        return self.number is not None

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True, slots=True)
class Comment:
    """Truthy when it has text."""

    id: str = ""
    text: str = ""  # a ``CommentText``, unless a template or a test made it
    url: str = ""
    mentions: tuple[Person, ...] = ()  # as Penpot lists them beside the text; sorted by id
    author: Person = field(default_factory=Person)
    is_first: bool = False  # of its thread
    before: str = ""  # the text before it was edited
    edited: bool = False  # a message that shows it must mark the text as edited

    def __bool__(self) -> bool:
        return bool(self.text.strip())

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True, slots=True)
class Event:
    """Fields that the event does not have are empty, and None only where stated."""

    name: str  # Penpot's name, such as ``create-comment``
    group: str = ""  # empty for an event that is not in the catalogue
    at: datetime | None = None  # UTC; None if it was not sent (Penpot before 2.14)
    missed: bool = False  # sync found it later; no webhook delivered it
    url: str = ""  # the most specific place in Penpot
    actor: Person = field(default_factory=Person)
    team: Subject = field(default_factory=Subject)
    project: Subject = field(default_factory=Subject)
    """The file's project, the event's own subject, or the destination of a move."""
    file: File = field(default_factory=File)
    files: tuple[Subject, ...] = ()
    """Of an event about several files (move-files, import-binfile): the first ``MAX_FILES``."""
    more_files: int = 0  # how many more files the event is about
    page: Subject = field(default_factory=Subject)
    thread: Thread = field(default_factory=Thread)
    comment: Comment = field(default_factory=Comment)
    member: Person = field(default_factory=Person)
    """The comment's author as the team's list of members has them; never from a body, and no
    variable of templates."""
    participants: tuple[Person, ...] = ()
    """Who commented in the thread, as far as known; sorted by id. No variable of templates."""
    library: Subject = field(default_factory=Subject)
    font: Font = field(default_factory=Font)
    previous: Subject = field(default_factory=Subject)
    """The old name, or the original of a copy."""
    props: Mapping[str, Any] = field(default_factory=dict)
    """As sent, with camelCase keys; limited in size (``text.bounded``) but not cleaned."""

    def without_emails(self) -> "Event":
        """For channels that must not show email addresses."""
        people = (self.actor, self.comment.author, *self.comment.mentions)
        if "ownerEmail" not in self.props and not any(person.email for person in people):
            return self
        mentions = tuple(replace(person, email="") for person in self.comment.mentions)
        author = replace(self.comment.author, email="")
        return replace(
            self,
            actor=replace(self.actor, email=""),
            comment=replace(self.comment, mentions=mentions, author=author),
            props={key: value for key, value in self.props.items() if key != "ownerEmail"},
        )

    @property
    def emoji(self) -> str:
        """Of its kind; for a comment of a resolved thread that of the state, otherwise empty."""
        is_resolved = self.group == "comments" and self.thread.resolved
        kind = CATALOGUE.get("resolve-comment-thread" if is_resolved else self.name)
        return kind.emoji if kind else ""

    @property
    def opens(self) -> str:
        """What ``url`` leads to; see ``Message.opens``."""
        urls = (
            ("thread" if self.name == "delete-comment" else "comment", self.thread.url),
            ("file", self.page.url),
            ("file", self.file.url),
            ("project", self.project.url),
            ("library", self.library.url),
            ("fonts", self.font.url),
            ("team", self.team.url),
        )
        return next((name for name, url in urls if self.url == url != ""), "")

    def variables(self) -> dict[str, Any]:
        """The variables of templates."""
        names = ("name", "group", "at", "missed", "url", "opens")
        event = {name: getattr(self, name) for name in names}
        event |= {"file_count": len(self.files) + self.more_files, "props": self.props}
        return {"event": event, **{name: getattr(self, name) for name in _VARIABLES}}


_VARIABLES = (
    "actor", "team", "project", "file", "files", "page", "thread", "comment", "library", "font",
    "previous",
)  # fmt: skip
_Changes = dict[str, Any]  # fields of an event


def name_of(body: Any) -> str:
    """The event's name in a decoded body. Raises ``NotAnEvent`` if there is none."""
    if not isinstance(body, dict):
        raise NotAnEvent("the body is not an object")
    name = one_line(body.get("name"), 100)
    if not name:
        raise NotAnEvent("the body has no name")
    return name


def normalize(body: Any) -> Event:
    """The event in a decoded body, of any version of Penpot since 1.17.

    Ignores unknown keys; a value of the wrong type counts as absent. Raises only ``NotAnEvent``,
    if the body is not an object or has no name.
    """
    name = name_of(body)
    sent = body.get("props")
    props: Mapping[str, Any] = sent if isinstance(sent, Mapping) else {}
    own = next((keys for end, keys in _OWN_KEYS.items() if name.endswith(end)), {})
    subjects: dict[str, Any] = {
        variable: _CLASSES.get(variable, Subject)(
            uuid(props.get(id_key)), one_line(props.get(name_key))
        )
        for variable, (id_key, name_key) in (_COMMON_KEYS | own).items()
    }
    kind = CATALOGUE.get(name)
    event = Event(
        name=name,
        group=kind.group if kind else "",
        at=values.instant(body.get("trackedAt")) or values.instant(body.get("createdAt")),
        missed=body.get("missed") is True,
        actor=Person(uuid(body.get("profileId")) or uuid(props.get("profileId"))),
        thread=Thread(uuid(props.get("threadId")), values.number(props.get("seqn"))),
        props=bounded(props),
        **subjects,
    )
    read = next((read for end, read in _READERS.items() if name.endswith(end)), None)
    return replace(event, **read(event, props)) if read else event


_CLASSES: dict[str, type[Subject]] = {"file": File, "font": Font}
# By variable: the keys of its id and name in the props of any event.
_COMMON_KEYS = {
    "team": ("teamId", "teamName"),
    "project": ("projectId", "projectName"),
    "file": ("fileId", "fileName"),
    "page": ("pageId", "pageName"),
    "library": ("libraryId", ""),
    "font": ("fontId", "fontFamily"),
}
# Those of an event by the end of its name; the first match counts. They also fit events of newer
# versions: ``restore-file`` is probably about a file. Penpot does not send the id of a copy.
_OWN = ("id", "name")
_OWN_KEYS: dict[str, dict[str, tuple[str, str]]] = {
    "set-file-shared": {"file": _OWN, "library": _OWN},
    "duplicate-file": {"file": ("", "name"), "previous": ("fileId", "")},
    "duplicate-project": {"project": ("", "name"), "previous": ("projectId", "")},
    "rename-project": {"project": _OWN, "previous": ("id", "prevName")},
    "move-project": {},
    "-file": {"file": _OWN},
    "-project": {"project": _OWN},
    "-project-pin": {"project": _OWN},
    "-team": {"team": _OWN},
    "-page": {"page": _OWN},
    "-font": {"font": _OWN},
}


def _about_thread(event: Event, props: Mapping[str, Any]) -> _Changes:
    changes = _comment(event, props, "commentId", is_first=props.get("isFirst") is not False)
    resolved = _RESOLVED.get(event.name, props.get("isResolved"))
    thread = Thread(
        id=uuid(props.get("id")),
        number=event.thread.number,
        first=changes["comment"].text,
        board=uuid(props.get("frameId")),
        resolved=resolved if isinstance(resolved, bool) else None,
    )
    people = {person.id for person in changes["participants"]}
    people |= values.ids(props.get("participants"))
    participants = tuple(map(Person, _first(people, MAX_PARTICIPANTS)))
    return changes | {"thread": thread, "participants": participants}


def _about_comment(event: Event, props: Mapping[str, Any]) -> _Changes:
    is_first = props.get("isFirst") is True
    changes = _comment(event, props, "id", is_first=is_first)
    first = changes["comment"].text if is_first else ""
    return changes | {"thread": replace(event.thread, first=first)}


def _comment(event: Event, props: Mapping[str, Any], id_key: str, *, is_first: bool) -> _Changes:
    email = one_line(props.get("ownerEmail"))
    mentioned = values.ids(props.get("mentions"))
    author = Person(  # in theory another person than the sender
        id=uuid(props.get("ownerId")) or event.actor.id,
        name=one_line(props.get("ownerFullname")),
        email=email if "@" in email and " " not in email else "",
    )
    comment = Comment(
        uuid(props.get(id_key)),
        plain_text(props.get("content"), mentioned),
        mentions=tuple(map(Person, _first(mentioned, _MAX_MENTIONS))),
        author=author,
        is_first=is_first,
        before=plain_text(props.get("previousContent"), mentioned),
        edited=event.name == "update-comment",
    )
    return {
        "comment": comment,
        "actor": event.actor if event.name in SYNTHETIC else author,
        "participants": (Person(author.id),) if author.id else (),
    }


def _font_variant(event: Event, props: Mapping[str, Any]) -> _Changes:
    style, weight = one_line(props.get("fontStyle")), values.number(props.get("fontWeight"))
    return {"font": replace(event.font, style=style, weight=weight)}


def _template(event: Event, props: Mapping[str, Any]) -> _Changes:
    return {"previous": Subject(one_line(props.get("templateId"), 100))}


def _files_moved(event: Event, props: Mapping[str, Any]) -> _Changes:
    ids = values.ids(props.get("ids"))
    files = tuple(map(Subject, _first(ids, MAX_FILES)))
    file = File(files[0].id) if len(ids) == 1 else File()
    return {"files": files, "more_files": len(ids) - len(files), "file": file}


def _files_imported(event: Event, props: Mapping[str, Any]) -> _Changes:
    """An API client may send an object of names; its keys are ids that the import replaces."""
    sent = props.get("name")
    texts = sent.values() if isinstance(sent, Mapping) else ()
    names = [text for text in texts if isinstance(text, str) and text[:MAX_NAME_LENGTH].strip()]
    files = tuple(Subject(name=line) for line in map(one_line, names[:MAX_FILES]) if line)
    more = len(names[MAX_FILES:])
    name = files[0].name if len(files) == 1 and not more else one_line(sent)
    return {"files": files, "more_files": more, "file": File(event.file.id, name)}


def _first(ids: Iterable[str], limit: int) -> tuple[str, ...]:
    """The first ids in sorted order, as the order of a set is arbitrary."""
    return tuple(nsmallest(limit, ids))


_RESOLVED = {"resolve-comment-thread": True, "reopen-comment-thread": False}
_READERS: dict[str, Callable[[Event, Mapping[str, Any]], _Changes]] = {
    "-comment-thread": _about_thread,
    "-comment": _about_comment,
    "create-font-variant": _font_variant,
    "clone-template": _template,
    "move-files": _files_moved,
    "import-binfile": _files_imported,
}
