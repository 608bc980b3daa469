"""Comment threads and comments as Penpot's API lists them: what is compared, and the row itself.

The columns are those of ``get-comment-threads`` and ``get-comments`` in Penpot's
``rpc/commands/comments.clj``. A reply and an edit move a thread's ``modifiedAt``; resolving it and
deleting a comment do not, but change ``isResolved`` and ``countComments``.
"""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Self

from relay.penpot import values
from relay.penpot.text import uuid

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class ThreadRow:
    """A thread in a list of them."""

    id: str
    file_id: str
    team_id: str = ""
    """Empty before Penpot 2.5."""
    modified_at: str = ""
    """As Penpot wrote it, to be compared."""
    comments: int = 0
    unread: int = 0
    """How many of them the token's user has not read: 0 hides the thread from a list of what is
    unread."""
    resolved: bool = False
    content: str = ""
    """The first comment's text, as it was written."""
    row: Row = field(default_factory=dict, repr=False)
    """As Penpot sent it."""

    @classmethod
    def of(cls, row: Row) -> Self | None:
        """The record; None without its ids."""
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
    """A comment of a thread."""

    id: str
    created_at: datetime | None = None
    modified_at: str = ""
    content: str = ""
    owner_name: str = ""
    """Empty before Penpot 2.5, whose webhooks tell no comment's id either."""
    row: Row = field(default_factory=dict, repr=False)

    @classmethod
    def of(cls, row: Row) -> Self | None:
        """The record; None without an id."""
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
