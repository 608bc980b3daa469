"""What Penpot's RPC API answers, as records: cleaned text, checked ids, times in UTC.

The methods' fields are those of Penpot's ``backend/src/app/rpc/commands`` in 2.0 to 2.17; NULL
columns are absent from an answer, and older versions know fewer of them, so only ids are certain.
"""

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Self, TypeVar
from urllib.parse import urlunsplit

from relay.penpot import values
from relay.penpot.text import one_line, plain_text, uuid

T = TypeVar("T")
Row = dict[str, Any]

_LONGEST_URI = 5000  # characters; Penpot's own limit is 4069


@dataclass(frozen=True, slots=True)
class ProfileRecord:
    """A person, as ``get-profile`` and ``get-team-members`` tell of them."""

    id: str
    name: str = ""
    email: str = ""

    def __str__(self) -> str:
        return self.name

    @classmethod
    def of(cls, row: Row) -> Self | None:
        """The record; None without an id."""
        profile = uuid(row.get("id")) or uuid(row.get("profileId"))
        if not profile:
            return None
        name = one_line(row.get("fullname")) or one_line(row.get("name"))
        return cls(profile, name, one_line(row.get("email")))


@dataclass(frozen=True, slots=True)
class ThreadRecord:
    """A comment thread with its place, from ``get-comment-thread``."""

    id: str
    file_id: str = ""
    file_name: str = ""
    project_id: str = ""
    team_id: str = ""
    """Empty before Penpot 2.5, as is ``owner``'s name."""
    page_id: str = ""
    page_name: str = ""
    frame_id: str = ""
    """The board; empty where the thread is on none."""
    number: int | None = None
    """``seqn``: what Penpot shows at the thread's place in the file; counted per file."""
    first: str = ""
    """The first comment's text, plain, with mentions as ``@Name``."""
    mentions: tuple[str, ...] = ()
    participants: tuple[str, ...] = ()
    owner: ProfileRecord | None = None
    """Who wrote the first comment."""
    comments: int | None = None
    resolved: bool | None = None
    created_at: datetime | None = None
    modified_at: datetime | None = None

    @classmethod
    def of(cls, row: Row) -> Self | None:
        """The record; None without an id."""
        thread, owner = uuid(row.get("id")), uuid(row.get("ownerId"))
        if not thread:
            return None
        return cls(
            id=thread,
            file_id=uuid(row.get("fileId")),
            file_name=one_line(row.get("fileName")),
            project_id=uuid(row.get("projectId")),
            team_id=uuid(row.get("teamId")),
            page_id=uuid(row.get("pageId")),
            page_name=one_line(row.get("pageName")),
            frame_id=uuid(row.get("frameId")),
            number=values.number(row.get("seqn")),
            first=plain_text(row.get("content")),
            mentions=tuple(sorted(values.ids(row.get("mentions")))),
            participants=tuple(sorted(values.ids(row.get("participants")))),
            owner=ProfileRecord(
                owner, one_line(row.get("ownerFullname")), one_line(row.get("ownerEmail"))
            )
            if owner
            else None,
            comments=values.number(row.get("countComments")),
            resolved=_flag(row.get("isResolved")),
            created_at=values.instant(row.get("createdAt")),
            modified_at=values.instant(row.get("modifiedAt")),
        )


@dataclass(frozen=True, slots=True)
class TeamRecord:
    """A team of the token's user, from ``get-teams``."""

    id: str
    name: str = ""
    can_edit: bool = False
    """Whether the user is an editor there, or more."""
    is_default: bool = False
    """Whether it is the user's own, which nobody else is in."""

    @classmethod
    def of(cls, row: Row) -> Self | None:
        """The record; None without an id."""
        team, rights = uuid(row.get("id")), row.get("permissions")
        if not team:
            return None
        can_edit = isinstance(rights, dict) and rights.get("canEdit") is True
        name = one_line(row.get("name"))
        return cls(team, name, can_edit, row.get("isDefault") is True)


@dataclass(frozen=True, slots=True)
class ProjectRecord:
    """A project, from ``get-project`` and ``get-projects``."""

    id: str
    name: str = ""
    team_id: str = ""
    is_default: bool = False
    """Whether it is "Drafts"."""
    is_deleted: bool = False
    """``get-projects`` also lists deleted ones that can be restored (2.12 and later)."""
    created_at: datetime | None = None
    modified_at: datetime | None = None

    @classmethod
    def of(cls, row: Row) -> Self | None:
        """The record; None without an id."""
        project = uuid(row.get("id"))
        if not project:
            return None
        return cls(
            id=project,
            name=one_line(row.get("name")),
            team_id=uuid(row.get("teamId")),
            is_default=row.get("isDefault") is True,
            is_deleted=row.get("deletedAt") is not None,
            created_at=values.instant(row.get("createdAt")),
            modified_at=values.instant(row.get("modifiedAt")),
        )


@dataclass(frozen=True, slots=True)
class FileRecord:
    """A file, from ``get-project-files``, or a library, from ``get-file-libraries``."""

    id: str
    name: str = ""
    project_id: str = ""
    team_id: str = ""
    is_shared: bool = False
    """Whether it is published as a library."""
    thumbnail_id: str = ""
    """For ``/assets/by-id/…``; empty without a thumbnail of the file as it is now."""
    created_at: datetime | None = None
    modified_at: datetime | None = None

    @classmethod
    def of(cls, row: Row) -> Self | None:
        """The record; None without an id."""
        file = uuid(row.get("id"))
        if not file:
            return None
        return cls(
            id=file,
            name=one_line(row.get("name")),
            project_id=uuid(row.get("projectId")),
            team_id=uuid(row.get("teamId")),
            is_shared=row.get("isShared") is True,
            thumbnail_id=uuid(row.get("thumbnailId")),
            created_at=values.instant(row.get("createdAt")),
            modified_at=values.instant(row.get("modifiedAt")),
        )


@dataclass(frozen=True, slots=True)
class TemplateRecord:
    """A built-in template, from ``get-builtin-templates``; its id is a word."""

    id: str
    name: str = ""

    @classmethod
    def of(cls, row: Row) -> Self | None:
        """The record; None without an id."""
        template = one_line(row.get("id"))
        return cls(template, one_line(row.get("name"))) if template else None


@dataclass(frozen=True, slots=True)
class WebhookRecord:
    """A webhook of a team, from ``get-webhooks``."""

    id: str
    uri: str = field(default="", repr=False)
    """Relay's own hold the hook's secret: not for logs."""
    mtype: str = ""
    is_active: bool = False
    error_code: str = ""
    """Such as ``connection-error``; empty after a delivery that was none."""
    error_count: int = 0
    profile_id: str = ""
    """Who made it."""

    @classmethod
    def of(cls, row: Row) -> Self | None:
        """The record; None without an id."""
        webhook = uuid(row.get("id"))
        if not webhook:
            return None
        return cls(
            id=webhook,
            uri=_uri(row.get("uri")),
            mtype=one_line(row.get("mtype")),
            is_active=row.get("isActive") is True,
            error_code=one_line(row.get("errorCode")),
            error_count=values.number(row.get("errorCount")) or 0,
            profile_id=uuid(row.get("profileId")),
        )


def one(value: Any, of: Callable[[Row], T | None]) -> T:
    """A single record. Raises ``ValueError`` where the value is none."""
    record = of(value) if isinstance(value, dict) else None
    if record is None:
        raise ValueError("an object with an id was expected")
    return record


def many(value: Any, of: Callable[[Row], T | None]) -> tuple[T, ...]:
    """Records in Penpot's order; rows without an id are left out.

    Raises ``ValueError`` where the value is no list.
    """
    if not isinstance(value, list):
        raise ValueError("a list was expected")  # noqa: TRY004 - from outside, not a fault of ours
    records = (of(row) for row in value if isinstance(row, dict))
    return tuple(record for record in records if record is not None)


def boards(value: Any, file: str) -> dict[tuple[str, str], str]:
    """The thumbnails in an answer of ``get-file-object-thumbnails``: page and board → picture.

    Its keys are ``file/page/board/tag``. Raises ``ValueError`` where the value is no object.
    """
    if not isinstance(value, dict):
        raise ValueError("an object was expected")  # noqa: TRY004 - from outside
    found = {}
    for key, media in value.items():
        match key.split("/"):
            case [of, page, board, "frame"] if uuid(of) == file and uuid(media):
                found[uuid(page), uuid(board)] = uuid(media)
    return found


def _uri(value: Any) -> str:
    """A URI from text or from the parts that the JSON of ``get-webhooks`` has it in.

    The parts are the fields of lambdaisland.uri's record; its port is text.
    """
    if not isinstance(value, dict):
        return one_line(value, _LONGEST_URI)
    part = defaultdict(str)
    for name, found in value.items():
        part[name] = "" if found is None else one_line(str(found), _LONGEST_URI)
    port = f":{part['port']}" if part["port"] else ""
    password = f":{part['password']}" if part["password"] else ""
    user = f"{part['user']}{password}@" if part["user"] else ""
    place = f"{user}{part['host']}{port}"
    return urlunsplit((part["scheme"], place, part["path"], part["query"], part["fragment"]))


def _flag(value: Any) -> bool | None:
    return value if isinstance(value, bool) else None
