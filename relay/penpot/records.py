"""Objects in responses of Penpot's RPC API: cleaned text, validated ids, times in UTC.

Source of the fields: ``backend/src/app/rpc/commands`` in Penpot 2.0 to 2.17. NULL columns are
absent and older versions have fewer fields, so every field but the id has a default.
"""

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Self, TypeVar
from urllib.parse import urlunsplit

from relay.penpot import text as values
from relay.penpot.text import one_line, plain_text, uuid

T = TypeVar("T")
Row = dict[str, Any]

_MAX_URI_LENGTH = 5000  # Penpot's own limit is 4069


@dataclass(frozen=True, slots=True)
class ProfileRecord:
    """From ``get-profile`` and ``get-team-members``."""

    id: str
    name: str = ""
    email: str = ""

    def __str__(self) -> str:
        return self.name

    @classmethod
    def from_row(cls, row: Row) -> Self | None:
        profile = uuid(row.get("id")) or uuid(row.get("profileId"))
        if not profile:
            return None
        name = one_line(row.get("fullname")) or one_line(row.get("name"))
        return cls(profile, name, one_line(row.get("email")))


@dataclass(frozen=True, slots=True)
class ThreadRecord:
    """From ``get-comment-thread``."""

    id: str
    file_id: str = ""
    file_name: str = ""
    project_id: str = ""
    team_id: str = ""  # empty before Penpot 2.5, as is the owner's name
    page_id: str = ""
    page_name: str = ""
    frame_id: str = ""  # of the board; empty if the thread is not on one
    number: int | None = None  # ``seqn``, which Penpot shows at the thread; counted per file
    first: str = ""  # plain text of the first comment, with mentions as ``@Name``
    mentions: tuple[str, ...] = ()
    participants: tuple[str, ...] = ()
    owner: ProfileRecord | None = None  # author of the first comment
    comments: int | None = None
    resolved: bool | None = None
    created_at: datetime | None = None
    modified_at: datetime | None = None

    @classmethod
    def from_row(cls, row: Row) -> Self | None:
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
    """From ``get-teams``."""

    id: str
    name: str = ""
    can_edit: bool = False  # the token's user is an editor, admin or owner
    is_default: bool = False  # the user's personal team

    @classmethod
    def from_row(cls, row: Row) -> Self | None:
        team, rights = uuid(row.get("id")), row.get("permissions")
        if not team:
            return None
        can_edit = isinstance(rights, dict) and rights.get("canEdit") is True
        name = one_line(row.get("name"))
        return cls(team, name, can_edit, row.get("isDefault") is True)


@dataclass(frozen=True, slots=True)
class ProjectRecord:
    """From ``get-project`` and ``get-projects``."""

    id: str
    name: str = ""
    team_id: str = ""
    is_default: bool = False  # "Drafts"
    is_deleted: bool = False  # ``get-projects`` lists deleted projects since 2.12
    created_at: datetime | None = None
    modified_at: datetime | None = None

    @classmethod
    def from_row(cls, row: Row) -> Self | None:
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
    """From ``get-project-files`` and ``get-file-libraries``."""

    id: str
    name: str = ""
    project_id: str = ""
    team_id: str = ""
    is_shared: bool = False  # published as a library
    thumbnail_id: str = ""  # for ``/assets/by-id/…``; empty if there is no up-to-date thumbnail
    created_at: datetime | None = None
    modified_at: datetime | None = None

    @classmethod
    def from_row(cls, row: Row) -> Self | None:
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
    """From ``get-builtin-templates``; the id is a word such as ``wireframing-kit``."""

    id: str
    name: str = ""

    @classmethod
    def from_row(cls, row: Row) -> Self | None:
        template = one_line(row.get("id"))
        return cls(template, one_line(row.get("name"))) if template else None


@dataclass(frozen=True, slots=True)
class WebhookRecord:
    """From ``get-webhooks``."""

    id: str
    uri: str = field(default="", repr=False)  # Relay's own contain a secret
    mtype: str = ""
    is_active: bool = False
    error_code: str = ""  # of the last delivery, such as ``connection-error``; empty on success
    error_count: int = 0
    profile_id: str = ""  # of its creator

    @classmethod
    def from_row(cls, row: Row) -> Self | None:
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


def record_from(value: Any, of: Callable[[Row], T | None]) -> T:
    """The record in ``value``. Raises ``ValueError`` if there is none."""
    record = of(value) if isinstance(value, dict) else None
    if record is None:
        raise ValueError("an object with an id was expected")
    return record


def records_from(value: Any, of: Callable[[Row], T | None]) -> tuple[T, ...]:
    """The records in Penpot's order, without rows that lack an id. Raises ``ValueError`` if
    ``value`` is not a list."""
    if not isinstance(value, list):
        raise ValueError("a list was expected")  # noqa: TRY004 - input, not a programming error
    records = (of(row) for row in value if isinstance(row, dict))
    return tuple(record for record in records if record is not None)


def board_thumbnails(value: Any, file_id: str) -> dict[tuple[str, str], str]:
    """The response of ``get-file-object-thumbnails``: (page id, board id) → media id.

    Its keys are ``file/page/board/tag``. Raises ``ValueError`` if ``value`` is not an object.
    """
    if not isinstance(value, dict):
        raise ValueError("an object was expected")  # noqa: TRY004 - input
    thumbnails = {}
    for key, media in value.items():
        match key.split("/"):
            case [file, page, board, "frame"] if uuid(file) == file_id and uuid(media):
                thumbnails[uuid(page), uuid(board)] = uuid(media)
    return thumbnails


def _uri(value: Any) -> str:
    """A URI from text or from the fields of ``lambdaisland.uri``, as ``get-webhooks`` has it."""
    if not isinstance(value, dict):
        return one_line(value, _MAX_URI_LENGTH)
    part = defaultdict(str)
    for name, text in value.items():
        part[name] = "" if text is None else one_line(str(text), _MAX_URI_LENGTH)
    port = f":{part['port']}" if part["port"] else ""
    password = f":{part['password']}" if part["password"] else ""
    user = f"{part['user']}{password}@" if part["user"] else ""
    authority = f"{user}{part['host']}{port}"
    return urlunsplit((part["scheme"], authority, part["path"], part["query"], part["fragment"]))


def _flag(value: Any) -> bool | None:
    return value if isinstance(value, bool) else None


@dataclass(frozen=True, slots=True)
class ThreadRow:
    id: str
    file_id: str
    team_id: str = ""  # empty before Penpot 2.5
    modified_at: str = ""  # as sent, for comparison only
    comments: int = 0
    unread: int = 0  # by the token's user; at 0 the list of unread threads omits the thread
    resolved: bool = False
    content: str = ""  # the first comment, as sent
    row: Row = field(default_factory=dict, repr=False)

    @classmethod
    def from_row(cls, row: Row) -> Self | None:
        thread, file = uuid(row.get("id")), uuid(row.get("fileId"))
        if not thread or not file:
            return None
        return cls(
            id=thread,
            file_id=file,
            team_id=uuid(row.get("teamId")),
            modified_at=_text(row.get("modifiedAt")),
            comments=values.number(row.get("countComments")) or 0,
            unread=values.number(row.get("countUnreadComments")) or 0,
            resolved=row.get("isResolved") is True,
            content=_text(row.get("content")),
            row=row,
        )


@dataclass(frozen=True, slots=True)
class CommentRow:
    id: str
    created_at: datetime | None = None
    modified_at: str = ""
    content: str = ""
    owner_name: str = ""  # empty before Penpot 2.5, whose webhooks also lack the comment's id
    row: Row = field(default_factory=dict, repr=False)

    @classmethod
    def from_row(cls, row: Row) -> Self | None:
        comment = uuid(row.get("id"))
        if not comment:
            return None
        return cls(
            id=comment,
            created_at=values.instant(row.get("createdAt")),
            modified_at=_text(row.get("modifiedAt")),
            content=_text(row.get("content")),
            owner_name=_text(row.get("ownerFullname")),
            row=row,
        )


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
