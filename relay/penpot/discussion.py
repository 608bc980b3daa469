"""Comment threads and comments in Penpot's lists: the fields that sync compares, and the raw row.

Source: ``get-comment-threads`` and ``get-comments`` in Penpot's ``rpc/commands/comments.clj``. A
reply and an edit change a thread's ``modifiedAt``; resolving it and deleting a comment change only
``isResolved`` and ``countComments``.
"""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Self

from relay.penpot import values
from relay.penpot.text import uuid

Row = dict[str, Any]


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
