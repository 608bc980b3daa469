"""Snapshots of comment threads, and what changed between a thread's last snapshot and what Penpot
lists now, as synthetic events in the form in which Penpot's webhooks send theirs. Without I/O."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from relay.penpot import text as values
from relay.penpot.records import CommentRow, ThreadRow
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
_STATE_FIELDS = ("modified_at", "count", "resolved", "row", "comments", "deleted")
_NEW_THREAD_KEYS = (
    "id", "fileId", "pageId", "pageName", "frameId", "seqn", "position", "isResolved",
)  # fmt: skip
_LONG_AGO = datetime.min.replace(tzinfo=UTC)


def pick(row: Row, keys: tuple[str, ...]) -> dict[str, Any]:
    """The fields of a row with these keys, bounded in size."""
    return dict(bounded({key: row[key] for key in keys if key in row}))


def comment_row(comment: CommentRow, thread: ThreadRow) -> dict[str, Any]:
    """The fields of a comment that snapshots keep."""
    place = {"threadId": thread.id, "fileId": thread.file_id}
    return place | pick(comment.row, COMMENT_KEYS)


@dataclass(frozen=True, slots=True)
class ThreadSnapshot:
    """A thread as of its last poll."""

    id: str
    file: str
    modified_at: str
    count: int  # of comments
    resolved: bool
    row: Row
    comments: Mapping[str, Row] | None = None
    """By id; None if never read: the thread is older than the first scan."""
    deleted: tuple[str, ...] = ()
    """Ids of the comments whose deletion was reported, the newest."""
    gone_at: float = 0.0

    @classmethod
    def from_row(
        cls, row: ThreadRow, comments: Mapping[str, Row] | None, deleted: tuple[str, ...] = ()
    ) -> "ThreadSnapshot":
        return cls(
            id=row.id,
            file=row.file_id,
            modified_at=row.modified_at,
            count=row.comments,
            resolved=row.resolved,
            row=pick(row.row, THREAD_KEYS),
            comments=comments,
            deleted=deleted[-MAX_DELETED_COUNT:],
        )

    @classmethod
    def from_event(cls, thread: str, props: Row) -> "ThreadSnapshot":
        """Of a thread whose ``create-comment-thread`` was received and that no list has shown."""
        file = str(props.get("fileId", ""))
        return cls(thread, file, "", 0, False, pick(props, THREAD_KEYS), {})

    def to_stored(self) -> SyncThread:
        mark = f"{self.modified_at} {self.count} {self.resolved:d}"
        state = json.dumps({name: getattr(self, name) for name in _STATE_FIELDS})
        return SyncThread(self.id, self.file, mark, self.gone_at, state)

    @classmethod
    def from_stored(cls, stored: SyncThread) -> "ThreadSnapshot":
        state = json.loads(stored.state)
        state["deleted"] = tuple(state["deleted"])
        return cls(stored.thread, stored.file, gone_at=stored.gone_at, **state)

    def as_gone(self, now: float) -> "ThreadSnapshot":
        return replace(self, gone_at=now)


def fingerprint(row: ThreadRow) -> str:
    """Differs when anything about a thread has changed that is reported: a reply and an edit change
    its time, a deletion the number of its comments."""
    return f"{row.modified_at} {row.comments} {row.resolved:d}"


@dataclass(slots=True)
class ThreadEvents:
    """What Penpot's webhooks sent about a thread since its last poll."""

    thread_props: Row | None = None
    """The props of its ``create-comment-thread``."""
    comments: dict[str, Row] = field(default_factory=dict)
    """Props by the comment's id."""


@dataclass(frozen=True, slots=True)
class SyntheticEvent:
    """An event made from a comparison."""

    name: str
    at: datetime
    """When it happened, if Penpot's rows tell; else when it was detected."""
    props: Mapping[str, Any]

    def to_new_event(self, team: str, now: float) -> NewEvent:
        """``now`` is in seconds since 1970."""
        at = iso(self.at)
        body: dict[str, Any] = {"name": self.name, "props": dict(self.props), "createdAt": at}
        if self.name in WEBHOOK_EVENTS:
            body["profileId"] = self.props.get("ownerId")
            if now - self.at.timestamp() > MISSED_DELAY:
                body["missed"] = True
        body["trackedAt"] = at
        sent = json.dumps(body).encode()
        key = deduplication_key(body, sent)
        return NewEvent(team, "application/json", sent, key, self.name, received_at=now)


def needs_comments(
    old: ThreadSnapshot | None, row: ThreadRow, received: ThreadEvents | None
) -> bool:
    """Whether ``compare`` needs the thread's comments."""
    if (
        old is None
        or old.gone_at
        or (old.modified_at, old.count) != (row.modified_at, row.comments)
    ):
        return True
    return received is not None and bool(_not_in_snapshot(old, received))


def compare(
    old: ThreadSnapshot | None,
    row: ThreadRow,
    comments: Sequence[CommentRow] | None,
    received: ThreadEvents | None,
    since: datetime,
    now: datetime,
) -> tuple[list[SyntheticEvent], ThreadSnapshot]:
    """The changes of a thread, in their order, and its new snapshot.

    ``old`` is the last snapshot, if any; ``comments`` are None if they were not read because
    nothing about them changed; ``received`` is what webhooks sent since. A comment from before
    ``since`` that is in no snapshot is not new: its file was moved to this team, or restored.
    """
    received = received or ThreadEvents()
    if old is None and received.thread_props is not None:
        old = ThreadSnapshot.from_event(row.id, received.thread_props)
    events: list[SyntheticEvent] = []
    old_deleted = old.deleted if old else ()
    if comments is None:
        new = ThreadSnapshot.from_row(row, old.comments if old else None, old_deleted)
    else:
        rows = {comment.id: comment_row(comment, row) for comment in comments}
        latest = now + MAX_CLOCK_SKEW
        events = _created_or_edited(old, row, comments, rows, received, since, latest)
        deletions = _deletions(old, row, comments, received, now)
        events += deletions
        deleted = tuple(str(event.props["id"]) for event in deletions)
        new = ThreadSnapshot.from_row(row, rows, (*old_deleted, *deleted))
    if old is not None and old.resolved != row.resolved:
        has_first = new.comments is None or any(
            _is_first(comment, row) for comment in new.comments.values()
        )
        events.append(_resolution_changed(row, now, has_first=has_first))
    return events, new


def thread_deleted(
    old: ThreadSnapshot, now: datetime
) -> tuple[list[SyntheticEvent], ThreadSnapshot]:
    """The change and the new snapshot of a thread that is no longer listed in an existing file."""
    event = SyntheticEvent("delete-comment-thread", now, pick(old.row, THREAD_KEYS))
    return [event], old.as_gone(now.timestamp())


def _created_or_edited(
    old: ThreadSnapshot | None,
    row: ThreadRow,
    comments: Sequence[CommentRow],
    rows: Mapping[str, Row],
    received: ThreadEvents,
    since: datetime,
    latest: datetime,
) -> list[SyntheticEvent]:
    known = _known_comments(old, received)
    new_ids = _new_ids(old, comments)
    events = []
    for index, comment in enumerate(comments):
        is_first = index == 0 and _is_first(comment.row, row)
        before = known.get(comment.id)
        if before is None and is_first and old is not None and old.comments is None:
            before = old.row
        if before is None:
            at = comment.created_at or _LONG_AGO
            # Before Penpot 2.5 rows have no author, and its webhooks no id to match them by.
            if comment.id in new_ids and at >= since and comment.owner_name:
                created = replace(comment, created_at=min(at, latest))
                events.append(_comment_created(row, created, is_first=is_first))
            continue
        after = rows[comment.id]
        if (previous := str(before.get("content", ""))) != str(after.get("content", "")):
            at = values.instant(comment.modified_at) or comment.created_at or _LONG_AGO
            props = {"previousContent": previous, "isFirst": is_first}
            events.append(_comment_event("update-comment", row, after, min(at, latest), props))
    return events


def _deletions(
    old: ThreadSnapshot | None,
    row: ThreadRow,
    comments: Sequence[CommentRow],
    received: ThreadEvents,
    now: datetime,
) -> list[SyntheticEvent]:
    listed = {comment.id for comment in comments}
    has_first = any(_is_first(comment.row, row) for comment in comments)
    return [
        _comment_event(
            "delete-comment",
            row,
            before,
            now,
            {"isFirst": not has_first and _is_first(before, row)},
        )
        for id_, before in _known_comments(old, received).items()
        if id_ not in listed
    ]


def _known_comments(old: ThreadSnapshot | None, received: ThreadEvents) -> Mapping[str, Row]:
    """Rows by id, from the snapshot and from webhooks."""
    return _not_in_snapshot(old, received) | dict((old.comments if old else None) or {})


def _not_in_snapshot(old: ThreadSnapshot | None, received: ThreadEvents) -> dict[str, Row]:
    """Received comments that the snapshot lacks."""
    known = {*(old.comments or ()), *old.deleted} if old else set()
    return {id_: row for id_, row in received.comments.items() if id_ not in known}


def _new_ids(old: ThreadSnapshot | None, comments: Sequence[CommentRow]) -> set[str]:
    """The ids of comments that may be new. The snapshot of a thread older than the first scan has
    only its time of change and the number of comments; a new comment may be dated before that
    time, because its transaction waited for another reply's."""
    if old is None or old.comments is not None:
        return {comment.id for comment in comments}
    changed_at = values.instant(old.modified_at) or _LONG_AGO
    later = sum((comment.created_at or _LONG_AGO) > changed_at for comment in comments)
    count = max(later, len(comments) - old.count)
    by_age = sorted(comments, key=lambda comment: comment.created_at or _LONG_AGO)
    return {comment.id for comment in by_age[len(by_age) - count :]}


def _is_first(comment: Row, thread: ThreadRow) -> bool:
    """Whether the thread was created with this comment: both have the same time then."""
    return bool(comment.get("createdAt")) and comment["createdAt"] == thread.row.get("createdAt")


def _comment_created(thread: ThreadRow, comment: CommentRow, *, is_first: bool) -> SyntheticEvent:
    assert comment.created_at is not None  # noqa: S101 - the caller sets it
    if not is_first:
        row = comment_row(comment, thread)
        return SyntheticEvent("create-comment", comment.created_at, row)
    props = pick(thread.row, _NEW_THREAD_KEYS) | pick(comment.row, COMMENT_KEYS)
    props |= {"id": thread.id, "fileId": thread.file_id, "commentId": comment.id}
    props.pop("threadId", None)
    return SyntheticEvent("create-comment-thread", comment.created_at, props)


def _comment_event(
    name: str, thread: ThreadRow, row: Row, at: datetime, props: Row
) -> SyntheticEvent:
    return SyntheticEvent(name, at, dict(row) | pick(thread.row, PLACE_KEYS) | dict(props))


def _resolution_changed(thread: ThreadRow, at: datetime, *, has_first: bool) -> SyntheticEvent:
    """If the thread's first comment was deleted, Penpot lists the next one's text with the author
    of the first, so that the text is left out."""
    name = "resolve-comment-thread" if thread.resolved else "reopen-comment-thread"
    props = pick(thread.row, THREAD_KEYS)
    if not has_first:
        del props["content"]
        props["isFirst"] = False
    return SyntheticEvent(name, at, props)


def iso(at: datetime) -> str:
    """A time in Penpot's format."""
    text = at.astimezone(UTC).isoformat(timespec="milliseconds").removesuffix("+00:00")
    return text.removesuffix(".000") + "Z"
