"""Objects in responses of Penpot's RPC API: cleaned text, validated ids, times in UTC.

Source of the fields: ``backend/src/app/rpc/commands`` in Penpot 2.0 to 2.17. NULL columns are
absent and older versions have fewer fields, so only ids are required.
"""

import struct
from collections import defaultdict
from collections.abc import Callable
from dataclasses import MISSING, dataclass, field, fields
from datetime import datetime
from functools import cache
from typing import Annotated, Any, NamedTuple, Self, TypeVar, get_type_hints
from urllib.parse import urlunsplit

from relay.penpot.events import Event, Person, Subject, normalize
from relay.penpot.text import instant, number, one_line, uuid
from relay.penpot.transit import camel

T = TypeVar("T")
Row = dict[str, Any]

_MAX_URI_LENGTH = 5000  # Penpot's own limit is 4069
_WHOLE_ROW = ""  # in place of a key


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


def _sent_text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _is_true(value: Any) -> bool:
    return value is True


def _is_set(value: Any) -> bool:
    return value is not None


def _count(value: Any) -> int:
    return number(value) or 0


_Id = Annotated[str, uuid]
_Name = Annotated[str, one_line]
_Time = Annotated[datetime | None, instant]
_Flag = Annotated[bool, _is_true]


@dataclass(frozen=True, slots=True)
class Record:
    """Each field is read by the function in its annotation, from the key that follows there, or
    else the field's name in camelCase. A field without a default is required."""

    id: _Id

    @classmethod
    def from_row(cls, row: Row) -> Self | None:
        values = {}
        for name, read, key, is_required in _columns(cls):  # type: ignore[arg-type]
            values[name] = value = read(row.get(key) if key else row)
            if is_required and not value:
                return None
        return cls(**values)


@cache
def _columns(kind: Any) -> list[tuple[str, Callable[[Any], Any], str, bool]]:
    """Of each field: its name, reader, key, and whether it is required."""
    hints, columns = get_type_hints(kind, include_extras=True), []
    for column in fields(kind):
        read, *keys = hints[column.name].__metadata__
        key = keys[0] if keys else camel(column.name)
        is_required = column.default is column.default_factory is MISSING
        columns.append((column.name, read, key, is_required))
    return columns


@dataclass(frozen=True, slots=True)
class TeamRecord(Record):
    """From ``get-teams``."""

    name: _Name = ""
    is_default: _Flag = False  # the user's personal team


@dataclass(frozen=True, slots=True)
class ProjectRecord(Record):
    """From ``get-project`` and ``get-projects``."""

    name: _Name = ""
    team_id: _Id = ""
    is_deleted: Annotated[bool, _is_set, "deletedAt"] = False  # listed since 2.12
    created_at: _Time = None
    modified_at: _Time = None


@dataclass(frozen=True, slots=True)
class FileRecord(Record):
    """From ``get-project-files`` and ``get-file-libraries``."""

    name: _Name = ""
    project_id: _Id = ""
    team_id: _Id = ""
    thumbnail_id: _Id = ""  # for ``/assets/by-id/…``; empty if there is no up-to-date thumbnail
    created_at: _Time = None
    modified_at: _Time = None


@dataclass(frozen=True, slots=True)
class WebhookRecord(Record):
    """From ``get-webhooks``."""

    uri: Annotated[str, _uri] = field(default="", repr=False)  # Relay's own contain a secret
    mtype: _Name = ""
    is_active: _Flag = False
    error_code: _Name = ""  # of the last delivery, such as ``connection-error``; empty on success


@dataclass(frozen=True, slots=True)
class ThreadRow(Record):
    """From ``get-comment-threads`` and ``get-unread-comment-threads``."""

    file_id: _Id
    team_id: _Id = ""  # empty before Penpot 2.5
    modified_at: Annotated[str, _sent_text] = ""  # as sent, for comparison only
    comments: Annotated[int, _count, "countComments"] = 0
    unread: Annotated[int, _count, "countUnreadComments"] = 0
    """By the token's user; at 0 the list of unread threads omits the thread."""
    resolved: Annotated[bool, _is_true, "isResolved"] = False
    content: Annotated[str, _sent_text] = ""  # the first comment, as sent
    row: Annotated[Row, dict, _WHOLE_ROW] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class CommentRow(Record):
    """From ``get-comments``."""

    created_at: _Time = None
    modified_at: Annotated[str, _sent_text] = ""
    content: Annotated[str, _sent_text] = ""
    owner_name: Annotated[str, _sent_text, "ownerFullname"] = ""
    """Empty before Penpot 2.5, whose webhooks also lack the comment's id."""
    row: Annotated[Row, dict, _WHOLE_ROW] = field(default_factory=dict, repr=False)


def person(row: Row) -> Person | None:
    """From ``get-profile`` and ``get-team-members``, whose ``id`` is the profile's, too."""
    id_ = uuid(row.get("id")) or uuid(row.get("profileId"))
    name = one_line(row.get("fullname")) or one_line(row.get("name"))
    return Person(id_, name, email=one_line(row.get("email"))) if id_ else None


def template(row: Row) -> Subject | None:
    """From ``get-builtin-templates``; the id is a word such as ``wireframing-kit``."""
    id_ = one_line(row.get("id"))
    return Subject(id_, one_line(row.get("name"))) if id_ else None


def thread(row: Row) -> Event | None:
    """From ``get-comment-thread``, as the event of the thread's creation: its props have the same
    keys. The team is unknown before Penpot 2.5, as is the author's name."""
    event = normalize({"name": "create-comment-thread", "props": row})
    return event if event.thread.id else None


def one(of: Callable[[Row], T | None], id_: str = "") -> Callable[[Any], T]:
    """A reader of a record, with that id if one is given. It raises ``ValueError``."""

    def read(value: Any) -> T:
        record = of(value) if isinstance(value, dict) else None
        if record is None:
            raise ValueError("an object with an id was expected")
        if id_ and uuid(value["id"]) != id_:
            raise ValueError("it has another id")
        return record

    return read


def many(of: Callable[[Row], T | None]) -> Callable[[Any], tuple[T, ...]]:
    """A reader of records in Penpot's order, without rows that lack an id. It raises
    ``ValueError`` for what is not a list."""

    def read(value: Any) -> tuple[T, ...]:
        if not isinstance(value, list):
            raise ValueError("a list was expected")  # noqa: TRY004 - not a programming error
        records = (of(row) for row in value if isinstance(row, dict))
        return tuple(record for record in records if record is not None)

    return read


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


_MAX_SIDE_LENGTH = 10_000  # pixels


class Asset(NamedTuple):
    """A picture in Penpot's storage; ``type`` and size are read from the bytes."""

    content: bytes
    type: str  # "image/png", "image/jpeg", "image/gif" or "image/webp"
    width: int  # pixels
    height: int  # pixels


def picture(content: bytes) -> Asset:
    """The picture in ``content``. Raises ``ValueError`` if its format is not one that every chat
    and mail program shows, or its size is out of bounds."""
    try:
        kind, width, height = _type_and_size(content)
    except (struct.error, IndexError):
        raise ValueError("a truncated picture") from None
    if not (0 < width <= _MAX_SIDE_LENGTH and 0 < height <= _MAX_SIDE_LENGTH):
        raise ValueError(f"a picture of {width} by {height} pixels")
    return Asset(content, kind, width, height)


def _type_and_size(content: bytes) -> tuple[str, int, int]:
    if content.startswith(b"\x89PNG\r\n\x1a\n") and content[12:16] == b"IHDR":
        return "image/png", *struct.unpack(">II", content[16:24])
    if content.startswith((b"GIF87a", b"GIF89a")):
        return "image/gif", *struct.unpack("<HH", content[6:10])
    if content.startswith(b"RIFF") and content[8:12] == b"WEBP":
        return "image/webp", *_webp_size(content)
    if content.startswith(b"\xff\xd8\xff"):
        return "image/jpeg", *_jpeg_size(content)
    raise ValueError("no picture in PNG, JPEG, GIF or WebP")


def _webp_size(content: bytes) -> tuple[int, int]:
    """https://developers.google.com/speed/webp/docs/riff_container"""
    match content[12:16]:
        case b"VP8X":
            width, wide, height, high = struct.unpack("<HBHB", content[24:30])
            return (width | wide << 16) + 1, (height | high << 16) + 1
        case b"VP8L":
            (bits,) = struct.unpack("<I", content[21:25])
            return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
        case _:
            width, height = struct.unpack("<HH", content[26:30])
            return width & 0x3FFF, height & 0x3FFF


def _jpeg_size(content: bytes) -> tuple[int, int]:
    """From the frame header, after any number of other segments (ITU-T T.81, B.2.2)."""
    offset = 2
    while True:
        marker, length = struct.unpack(">xBH", content[offset : offset + 4])
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height, width = struct.unpack(">HH", content[offset + 5 : offset + 9])
            return width, height
        offset += 2 + length
