"""Events that the watch found, in the form in which Penpot's webhooks would have told them."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from relay.penpot.discussion import CommentRow, ThreadRow
from relay.penpot.identity import digest
from relay.store.base import NewEvent
from relay.sync.known import COMMENT_KEYS, PLACE_KEYS, THREAD_KEYS, Row, comment_row, some

LATE = 120.0
"""Seconds after which a new comment is marked as missed: webhooks bring it sooner."""
NEW = ("create-comment-thread", "create-comment")
"""The events that Penpot has webhooks for."""

_BEGUN_KEYS = (
    "id", "fileId", "pageId", "pageName", "frameId", "seqn", "position", "isResolved",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class SyntheticEvent:
    """An event that was found."""

    name: str
    at: datetime
    """When it happened, as far as Penpot tells; else when it was noticed."""
    props: Mapping[str, Any]

    def event(self, team: str, now: float) -> NewEvent:
        """For the store. ``now`` is in seconds since 1970."""
        at = iso(self.at)
        body: dict[str, Any] = {"name": self.name, "props": dict(self.props), "createdAt": at}
        if self.name in NEW:
            body["profileId"] = self.props.get("ownerId")
            if now - self.at.timestamp() > LATE:
                body["missed"] = True
        body["trackedAt"] = at
        sent = json.dumps(body).encode()
        key = digest(body, sent)
        return NewEvent(team, "application/json", sent, key, self.name, received_at=now)


def created(thread: ThreadRow, comment: CommentRow, *, is_first: bool) -> SyntheticEvent:
    """A new comment: a reply, or the one that began its thread. It must tell its time."""
    assert comment.created_at is not None  # noqa: S101 - else it is not new to anybody
    row = comment_row(comment, thread)
    if not is_first:
        return SyntheticEvent("create-comment", comment.created_at, row)
    props = some(thread.row, _BEGUN_KEYS) | some(comment.row, COMMENT_KEYS)
    props |= {"id": thread.id, "fileId": thread.file_id, "commentId": comment.id}
    props.pop("threadId", None)
    return SyntheticEvent("create-comment-thread", comment.created_at, props)


def updated(
    thread: ThreadRow, row: Row, previous: str, at: datetime, *, is_first: bool
) -> SyntheticEvent:
    """An edited comment, with what stood there before."""
    more = {"previousContent": previous, "isFirst": is_first}
    return SyntheticEvent("update-comment", at, dict(row) | some(thread.row, PLACE_KEYS) | more)


def deleted(thread: ThreadRow, row: Row, at: datetime, *, is_first: bool) -> SyntheticEvent:
    """A comment that is not there any more."""
    more = {"isFirst": is_first}
    return SyntheticEvent("delete-comment", at, dict(row) | some(thread.row, PLACE_KEYS) | more)


def settled(thread: ThreadRow, at: datetime, *, has_first: bool) -> SyntheticEvent:
    """A thread that was resolved, or reopened. Where the comment that began it was deleted Penpot
    lists the next one's text with the thread's owner, who has not said that."""
    name = "resolve-comment-thread" if thread.resolved else "reopen-comment-thread"
    props = some(thread.row, THREAD_KEYS)
    if not has_first:
        del props["content"]
        props["isFirst"] = False
    return SyntheticEvent(name, at, props)


def thread_deleted(row: Row, at: datetime) -> SyntheticEvent:
    """A thread that is not there any more."""
    return SyntheticEvent("delete-comment-thread", at, some(row, THREAD_KEYS))


def iso(at: datetime) -> str:
    """A time as Penpot writes it."""
    text = at.astimezone(UTC).isoformat(timespec="milliseconds").removesuffix("+00:00")
    return text.removesuffix(".000") + "Z"
