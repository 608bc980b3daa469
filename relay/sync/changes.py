"""Snapshots of comment threads, and what changed between a thread's last snapshot and what Penpot
lists now, as synthetic events in the form in which Penpot's webhooks send theirs. Without I/O."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from relay.penpot import text as values
from relay.penpot.records import CommentRow, ThreadRow, one
from relay.penpot.text import bounded, deduplication_key
from relay.store.records import NewEvent
from relay.store.sync_threads import SyncThread

Row = Mapping[str, Any]

MISSED_DELAY = 120.0  # seconds after which a new comment is marked as missed by the webhook
MAX_CLOCK_SKEW = timedelta(minutes=5)  # later times from Penpot are cut to this
WEBHOOK_EVENTS = ("create-comment-thread", "create-comment")  # Penpot has webhooks for these only
MAX_DELETED_COUNT = 100  # ids of deleted comments kept per thread

# Fields of a row that snapshots keep and synthetic events contain.
THREAD_KEYS = (
    "id", "fileId", "fileName", "projectId", "teamId", "pageId", "pageName", "frameId", "seqn",
    "position", "content", "isResolved", "ownerId", "ownerFullname", "ownerEmail", "ownerPhotoId",
    "createdAt", "modifiedAt",
)  # fmt: skip
COMMENT_KEYS = (
    "id", "threadId", "fileId", "content", "mentions", "ownerId", "ownerFullname", "ownerEmail",
    "ownerPhotoId", "createdAt", "modifiedAt",
)  # fmt: skip
# Fields of the thread's row in events about one of its comments.
PLACE_KEYS = ("fileName", "projectId", "teamId", "pageId", "pageName", "frameId", "seqn")
_NEW_THREAD_KEYS = (
    "id", "fileId", "pageId", "pageName", "frameId", "seqn", "position", "isResolved",
)  # fmt: skip
_LONG_AGO = datetime.min.replace(tzinfo=UTC)


def pick(row: Row, keys: tuple[str, ...]) -> dict[str, Any]:
    """The fields of a row with these keys, bounded in size."""
    return dict(bounded({key: row[key] for key in keys if key in row}))


def fingerprint(row: ThreadRow) -> str:
    """Differs when anything about a thread has changed that is reported: a reply and an edit change
    its time, a deletion the number of its comments."""
    return f"{row.modified_at} {row.comments} {row.resolved:d}"


@dataclass(frozen=True, slots=True)
class ThreadSnapshot:
    """A thread as of its last poll."""

    thread: ThreadRow
    comments: Mapping[str, Row] | None = None
    """By id; None if never read: the thread is older than the first scan."""
    deleted: tuple[str, ...] = ()
    """Ids of the comments whose deletion was reported, the newest."""
    gone_at: float = 0.0

    def to_stored(self) -> SyncThread:
        row = pick(self.thread.row, (*THREAD_KEYS, "countComments"))
        state = {"row": row, "comments": self.comments, "deleted": self.deleted}
        mark = fingerprint(self.thread)
        file = self.thread.file_id
        return SyncThread(self.thread.id, file, mark, self.gone_at, json.dumps(state))

    @classmethod
    def from_stored(cls, stored: SyncThread) -> "ThreadSnapshot":
        state = json.loads(stored.state)
        thread = one(ThreadRow.from_row)(state["row"])
        return cls(thread, state["comments"], tuple(state["deleted"]), stored.gone_at)


@dataclass(slots=True)
class ThreadEvents:
    """What Penpot's webhooks sent about a thread since its last poll."""

    file: str = ""
    thread: ThreadRow | None = None
    """From its ``create-comment-thread``."""
    comments: dict[str, Row] = field(default_factory=dict)
    """Props by the comment's id."""


@dataclass(frozen=True, slots=True)
class SyntheticEvent:
    """An event made from a comparison."""

    name: str
    at: datetime
    """When it happened, if Penpot's rows contain it; else when it was detected."""
    props: Row

    def to_new_event(self, team: str, now: float) -> NewEvent:
        """``now`` is in seconds since 1970."""
        at = _iso(self.at)
        body: dict[str, Any] = {"name": self.name, "props": dict(self.props), "createdAt": at}
        if self.name in WEBHOOK_EVENTS:
            body["profileId"] = self.props.get("ownerId")
            if now - self.at.timestamp() > MISSED_DELAY:
                body["missed"] = True
        body["trackedAt"] = at
        sent = json.dumps(body).encode()
        key = deduplication_key(body, sent)
        return NewEvent(team, "application/json", sent, key, self.name, received_at=now)


def thread_deleted(thread: ThreadRow, now: float) -> SyntheticEvent:
    """For a thread that is no longer listed in an existing file."""
    at = datetime.fromtimestamp(now, UTC)
    return SyntheticEvent("delete-comment-thread", at, pick(thread.row, THREAD_KEYS))


class ThreadComparison:
    """A listed thread, its last snapshot, if any, and what webhooks sent since."""

    def __init__(
        self, old: ThreadSnapshot | None, row: ThreadRow, received: ThreadEvents | None
    ) -> None:
        received = received or ThreadEvents()
        if old is None and received.thread is not None:
            old = ThreadSnapshot(replace(row, modified_at="", resolved=False), {})
        self._old = old
        self._row = row
        known = {*(old.comments or ()), *old.deleted} if old else set()
        self._received = {id_: row for id_, row in received.comments.items() if id_ not in known}

    @property
    def needs_comments(self) -> bool:
        """Whether the result depends on the thread's comments."""
        if self._old is None or self._old.gone_at or self._received:
            return True
        before = self._old.thread
        return (before.modified_at, before.comments) != (self._row.modified_at, self._row.comments)

    def result(
        self, comments: Sequence[CommentRow] | None, since: float, now: float
    ) -> tuple[list[SyntheticEvent], ThreadSnapshot]:
        """The changes, and the new snapshot. ``comments`` are None if they were not read.

        A comment from before ``since`` that is in no snapshot is not new: its file was moved to
        this team, or restored.
        """
        at, start = datetime.fromtimestamp(now, UTC), datetime.fromtimestamp(since, UTC)
        events: list[SyntheticEvent] = []
        new = replace(self._old or ThreadSnapshot(self._row), thread=self._row, gone_at=0.0)
        if comments is not None:
            known = self._known_comments(comments)
            new_ids = self._new_ids(comments)
            for comment in comments:
                if comment.id in known:
                    events += self._edits(known[comment.id], comment, at)
                elif comment.id in new_ids and _created_at(comment) >= start:
                    events.append(self._comment_created(comment, at))
            rows = {comment.id: self._comment_row(comment) for comment in comments}
            gone = {id_: row for id_, row in known.items() if id_ not in rows}
            events += [
                self._comment_event("delete-comment", row, at, isFirst=self._is_first(row))
                for row in gone.values()
            ]
            new = replace(new, comments=rows, deleted=(*new.deleted, *gone)[-MAX_DELETED_COUNT:])
        if self._old is not None and self._old.thread.resolved != self._row.resolved:
            events.append(self._resolution_changed(new.comments, at))
        return events, new

    def _known_comments(self, comments: Sequence[CommentRow]) -> dict[str, Row]:
        """Rows by id, from the snapshot and from webhooks."""
        if self._old is None:
            return self._received
        if self._old.comments is not None:
            return self._received | dict(self._old.comments)
        # The row of a thread older than the first scan has the text of its first comment.
        first = [comment.id for comment in comments[:1] if self._is_first(comment.row)]
        return dict.fromkeys(first, self._old.thread.row) | self._received

    def _new_ids(self, comments: Sequence[CommentRow]) -> set[str]:
        """The ids of comments that may be new. The snapshot of a thread older than the first scan
        has only its time of change and the number of comments; a new comment may be dated before
        that time, because its transaction waited for another reply's."""
        # Before Penpot 2.5 rows have no author, and its webhooks no id to match them by.
        candidates = {comment.id for comment in comments if comment.owner_name}
        old = self._old
        if old is None or old.comments is not None:
            return candidates
        changed_at = values.instant(old.thread.modified_at) or _LONG_AGO
        by_age = sorted(comments, key=_created_at)
        later = sum(_created_at(comment) > changed_at for comment in comments)
        count = max(later, len(comments) - old.thread.comments)
        return candidates & {comment.id for comment in by_age[len(by_age) - count :]}

    def _comment_created(self, comment: CommentRow, now: datetime) -> SyntheticEvent:
        at = min(_created_at(comment), now + MAX_CLOCK_SKEW)
        if not self._is_first(comment.row):
            return SyntheticEvent("create-comment", at, self._comment_row(comment))
        thread = self._row
        props = pick(thread.row, _NEW_THREAD_KEYS) | pick(comment.row, COMMENT_KEYS)
        props |= {"id": thread.id, "fileId": thread.file_id, "commentId": comment.id}
        props.pop("threadId", None)
        return SyntheticEvent("create-comment-thread", at, props)

    def _edits(self, before: Row, comment: CommentRow, now: datetime) -> list[SyntheticEvent]:
        """One event if the text of a comment changed, else none."""
        after = self._comment_row(comment)
        previous = str(before.get("content", ""))
        if previous == str(after.get("content", "")):
            return []
        at = values.instant(comment.modified_at) or _created_at(comment)
        props = {"previousContent": previous, "isFirst": self._is_first(after)}
        at = min(at, now + MAX_CLOCK_SKEW)
        return [self._comment_event("update-comment", after, at, **props)]

    def _comment_event(self, name: str, row: Row, at: datetime, **props: object) -> SyntheticEvent:
        return SyntheticEvent(name, at, dict(row) | pick(self._row.row, PLACE_KEYS) | props)

    def _resolution_changed(
        self, comments: Mapping[str, Row] | None, now: datetime
    ) -> SyntheticEvent:
        """If the thread's first comment was deleted, Penpot lists the next one's text with the
        author of the first, so that the text is left out."""
        name = "resolve-comment-thread" if self._row.resolved else "reopen-comment-thread"
        props = pick(self._row.row, THREAD_KEYS)
        if comments is not None and not any(map(self._is_first, comments.values())):
            props.pop("content", None)
            props["isFirst"] = False
        return SyntheticEvent(name, now, props)

    def _is_first(self, comment: Row) -> bool:
        """Whether the thread was created with this comment: both have the same time then."""
        at = comment.get("createdAt")
        return bool(at) and at == self._row.row.get("createdAt")

    def _comment_row(self, comment: CommentRow) -> dict[str, Any]:
        place = {"threadId": self._row.id, "fileId": self._row.file_id}
        return place | pick(comment.row, COMMENT_KEYS)


def _created_at(comment: CommentRow) -> datetime:
    return comment.created_at or _LONG_AGO


def _iso(at: datetime) -> str:
    """A time in Penpot's format."""
    text = at.astimezone(UTC).isoformat(timespec="milliseconds").removesuffix("+00:00")
    return text.removesuffix(".000") + "Z"
