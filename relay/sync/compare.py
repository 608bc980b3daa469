"""What is new about a thread: what Penpot lists now against what the watch saw last.

Pure: it asks nobody and keeps nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from relay.penpot import values
from relay.penpot.discussion import CommentRow, ThreadRow
from relay.sync.bodies import SyntheticEvent, created, deleted, settled, thread_deleted, updated
from relay.sync.known import Known, Row, Told, comment_row

AHEAD = timedelta(minutes=5)
"""By this Penpot's clock may be ahead; what is dated later is told as of then."""
_LONG_AGO = datetime.min.replace(tzinfo=UTC)


def needs_comments(old: Known | None, row: ThreadRow, told: Told | None) -> bool:
    """Whether a thread's comments have to be read to tell what is new about it."""
    if (
        old is None
        or old.gone_at
        or (old.modified_at, old.count) != (row.modified_at, row.comments)
    ):
        return True
    return told is not None and bool(_unknown(old, told))


def compare(
    old: Known | None,
    row: ThreadRow,
    comments: Sequence[CommentRow] | None,
    told: Told | None,
    since: datetime,
    now: datetime,
) -> tuple[list[SyntheticEvent], Known]:
    """What happened in a thread, in its order, and what to remember of it.

    ``old`` is what was seen last, if anything was; ``comments`` are None where they were not read,
    as nothing is new about them; ``told`` is what Penpot's own events told meanwhile. A comment
    from before ``since`` that was never seen is not new: its file was moved here, or restored.
    """
    told = told or Told()
    if old is None and told.begun is not None:
        old = Known.begun(row.id, told.begun)
    found: list[SyntheticEvent] = []
    if comments is None:
        after = Known.of(row, old.comments if old else None, old.deleted if old else ())
    else:
        rows = {comment.id: comment_row(comment, row) for comment in comments}
        found = _created_or_edited(old, row, comments, rows, told, since, now + AHEAD)
        gone = _deleted(old, row, comments, told, now)
        found += gone
        lost = tuple(str(one.props["id"]) for one in gone)
        after = Known.of(row, rows, (*old.deleted, *lost) if old else lost)
    if old is not None and old.resolved != row.resolved:
        rest = None if after.comments is None else after.comments.values()
        has_first = rest is None or any(_is_first(comment, row) for comment in rest)
        found.append(settled(row, now, has_first=has_first))
    return found, after


def vanished(old: Known, now: datetime) -> tuple[list[SyntheticEvent], Known]:
    """What happened where a thread is not listed any more in a file that is there."""
    return [thread_deleted(old.row, now)], old.gone(now.timestamp())


def _created_or_edited(
    old: Known | None,
    row: ThreadRow,
    comments: Sequence[CommentRow],
    rows: Mapping[str, Row],
    told: Told,
    since: datetime,
    latest: datetime,
) -> list[SyntheticEvent]:
    known = _before(old, told)
    new = _new(old, comments)
    found = []
    for number, comment in enumerate(comments):
        is_first = number == 0 and _is_first(comment.row, row)
        before = known.get(comment.id)
        if before is None and is_first and old is not None and old.comments is None:
            before = old.row
        if before is None:
            at = comment.created_at or _LONG_AGO
            # Before Penpot 2.5 there is no author, and webhooks tell no id to know it by.
            if comment.id in new and at >= since and comment.owner_name:
                new_one = replace(comment, created_at=min(at, latest))
                found.append(created(row, new_one, is_first=is_first))
            continue
        text = rows[comment.id]
        if (previous := str(before.get("content", ""))) != str(text.get("content", "")):
            at = values.instant(comment.modified_at) or comment.created_at or _LONG_AGO
            at = min(at, latest)
            found.append(updated(row, text, previous, at, is_first=is_first))
    return found


def _deleted(
    old: Known | None,
    row: ThreadRow,
    comments: Sequence[CommentRow],
    told: Told,
    now: datetime,
) -> list[SyntheticEvent]:
    there = {comment.id for comment in comments}
    has_first = any(_is_first(comment.row, row) for comment in comments)
    return [
        deleted(row, before, now, is_first=not has_first and _is_first(before, row))
        for id_, before in _before(old, told).items()
        if id_ not in there
    ]


def _before(old: Known | None, told: Told) -> Mapping[str, Row]:
    """The comments by id, as the watch saw or Penpot told them last."""
    return _unknown(old, told) | dict((old.comments if old else None) or {})


def _unknown(old: Known | None, told: Told) -> dict[str, Row]:
    """What was told of comments that the watch has not seen."""
    seen = {*(old.comments or ()), *old.deleted} if old else set()
    return {id_: row for id_, row in told.comments.items() if id_ not in seen}


def _new(old: Known | None, comments: Sequence[CommentRow]) -> set[str]:
    """Which comments may be new. Of a thread that was there before the watch only their number and
    its time of change are known: who waited for another's reply may be dated before it."""
    if old is None or old.comments is not None:
        return {comment.id for comment in comments}
    changed_at = values.instant(old.modified_at) or _LONG_AGO
    later = sum((comment.created_at or _LONG_AGO) > changed_at for comment in comments)
    more = max(later, len(comments) - old.count)
    by_age = sorted(comments, key=lambda comment: comment.created_at or _LONG_AGO)
    return {comment.id for comment in by_age[len(by_age) - more :]}


def _is_first(comment: Row, thread: ThreadRow) -> bool:
    """Whether the thread was begun with it; both are dated alike then."""
    return bool(comment.get("createdAt")) and comment["createdAt"] == thread.row.get("createdAt")
