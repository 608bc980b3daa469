"""What the watch remembers of a comment thread."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from relay.penpot.discussion import CommentRow, ThreadRow
from relay.penpot.text import bounded
from relay.store.seen import SeenThread

Row = Mapping[str, Any]

THREAD_KEYS = (
    "id", "fileId", "fileName", "projectId", "teamId", "pageId", "pageName", "frameId", "seqn",
    "position", "content", "isResolved", "ownerId", "ownerFullname", "ownerEmail", "ownerPhotoId",
    "createdAt", "modifiedAt",
)  # fmt: skip
"""What is remembered of a thread's row, and told of it."""
PLACE_KEYS = ("fileName", "projectId", "teamId", "pageId", "pageName", "frameId", "seqn")
"""What is told of a thread beside one of its comments."""
COMMENT_KEYS = (
    "id", "threadId", "fileId", "content", "mentions", "ownerId", "ownerFullname", "ownerEmail",
    "ownerPhotoId", "createdAt", "modifiedAt",
)  # fmt: skip
"""What is remembered of a comment's row, and told of it."""
MOST_DELETED = 100
"""So many deleted comments of a thread are remembered as such."""


def some(row: Row, keys: tuple[str, ...]) -> dict[str, Any]:
    """The part of a row that has these keys, in bounds."""
    return dict(bounded({key: row[key] for key in keys if key in row}))


@dataclass(frozen=True, slots=True)
class Known:
    """A thread as the watch saw it."""

    id: str
    file: str
    modified_at: str
    count: int
    """Of its comments."""
    resolved: bool
    row: Row
    comments: Mapping[str, Row] | None = None
    """By id; None where they were never read: the thread was there before the watch."""
    deleted: tuple[str, ...] = ()
    """Comments that were deleted under the watch's eyes, the last ones."""
    gone_at: float = 0.0

    @classmethod
    def of(
        cls, row: ThreadRow, comments: Mapping[str, Row] | None, deleted: tuple[str, ...] = ()
    ) -> "Known":
        """What a list shows of it."""
        return cls(
            id=row.id,
            file=row.file_id,
            modified_at=row.modified_at,
            count=row.comments,
            resolved=row.resolved,
            row=some(row.row, THREAD_KEYS),
            comments=comments,
            deleted=deleted[-MOST_DELETED:],
        )

    @classmethod
    def begun(cls, thread: str, props: Row) -> "Known":
        """A thread that its own event told of and no list has shown yet."""
        file = str(props.get("fileId", ""))
        return cls(thread, file, "", 0, False, some(props, THREAD_KEYS), {})

    @property
    def mark(self) -> str:
        """See ``mark``."""
        return f"{self.modified_at} {self.count} {self.resolved:d}"

    def stored(self) -> SeenThread:
        """For the store."""
        state = {
            "modified": self.modified_at,
            "count": self.count,
            "resolved": self.resolved,
            "row": self.row,
            "comments": self.comments,
            "deleted": self.deleted,
        }
        return SeenThread(self.id, self.file, self.mark, self.gone_at, json.dumps(state))

    @classmethod
    def loads(cls, seen: SeenThread) -> "Known":
        """What ``stored`` made."""
        state = json.loads(seen.state)
        return cls(
            id=seen.thread,
            file=seen.file,
            modified_at=state["modified"],
            count=state["count"],
            resolved=state["resolved"],
            row=state["row"],
            comments=state["comments"],
            deleted=tuple(state["deleted"]),
            gone_at=seen.gone_at,
        )

    def gone(self, now: float) -> "Known":
        """The same when it is not there any more."""
        return replace(self, gone_at=now)


def mark(row: ThreadRow) -> str:
    """Changes with all about a thread that is told: a reply and an edit move its time, a deleted
    comment changes their number."""
    return f"{row.modified_at} {row.comments} {row.resolved:d}"


def comment_row(comment: CommentRow, thread: ThreadRow) -> dict[str, Any]:
    """What is remembered of a comment."""
    place = {"threadId": thread.id, "fileId": thread.file_id}
    return place | some(comment.row, COMMENT_KEYS)


@dataclass(slots=True)
class Told:
    """What Penpot's own events told of a thread since it was looked at last."""

    begun: Row | None = None
    """The props of the thread's own event."""
    comments: dict[str, Row] = field(default_factory=dict)
    """By id, as they were told."""
