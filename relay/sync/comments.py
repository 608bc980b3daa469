"""Polls and scans one team's comments: what Penpot lists is compared with the stored snapshots, and
the resulting events are stored in one transaction with the new snapshots."""

import logging
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from relay.penpot import text as values
from relay.penpot.client import PenpotBusy, PenpotUnexpected
from relay.penpot.records import CommentRow, ThreadRow
from relay.penpot.text import uuid
from relay.store.sync_threads import ThreadFingerprint
from relay.sync.changes import (
    COMMENT_KEYS,
    THREAD_KEYS,
    SyntheticEvent,
    ThreadComparison,
    ThreadEvents,
    ThreadSnapshot,
    fingerprint,
    pick,
    thread_deleted,
)
from relay.sync.state import Backoff, SyncContext

log = logging.getLogger(__name__)

THREAD_BATCH_SIZE = 20  # threads whose comments are read before the results are stored
MAX_UNREADABLE_COUNT = 3  # threads skipped per batch; if more fail, the cause is not the thread
MAX_RECEIVED_COUNT = 1000  # threads whose received events are kept until they are polled
MAX_COMMENT_COUNT = 100  # received comments kept per thread until it is polled
UNREADABLE_TTL = 24 * 3600.0  # seconds


@dataclass(frozen=True, slots=True)
class FilePoll:
    """The result of polling a file."""

    rows: Sequence[ThreadRow] = ()
    """All threads of the file; empty if the token's user may not see it."""
    changed: Sequence[ThreadRow] = ()
    """Threads to be passed to ``read_threads``."""
    has_news: bool = False
    """Whether something changed since the last poll, but for unreadable threads."""
    is_listed: bool = True
    """False if Penpot can't list the file's threads."""


@dataclass(slots=True)
class UnreadableThread(Backoff):
    """A thread whose comments can't be read, and when it is tried again."""

    file: str = ""


class CommentPoller:
    """All methods raise ``PenpotError``, ``StoreUnavailable`` and ``LeaseLost``."""

    def __init__(self, context: SyncContext, team: str) -> None:
        self._context = context
        self._penpot = context.penpot
        self._threads = context.store.sync_threads
        self._clock = context.clock
        self._team = team
        self.received: dict[str, ThreadEvents] = {}
        """By thread: what webhooks sent since its last poll."""
        self.unreadable: dict[str, UnreadableThread] = {}
        """By thread. Their stored fingerprints stay old, so that a later poll lists them again."""

    def notified(self, name: str, props: Mapping[str, Any]) -> None:
        """A webhook, or a poll, created an event about a new comment."""
        is_thread = name == "create-comment-thread"
        thread = uuid(props.get("id" if is_thread else "threadId"))
        comment = uuid(props.get("commentId" if is_thread else "id"))
        if not thread or not (is_thread or comment):
            return
        received = self.thread_events(thread)
        received.file = uuid(props.get("fileId"))
        if is_thread:
            received.thread = ThreadRow.from_row(pick(props, THREAD_KEYS))
        if comment:
            ids = {"id": comment, "threadId": thread}
            received.comments[comment] = pick(props, COMMENT_KEYS) | ids
            if len(received.comments) > MAX_COMMENT_COUNT:
                del received.comments[next(iter(received.comments))]

    def thread_events(self, thread: str) -> ThreadEvents:
        """The received events of a thread, to be added to. Drops the least recently used entry
        above the limit: a team may never be polled."""
        events = self.received[thread] = self.received.pop(thread, ThreadEvents())
        if len(self.received) > MAX_RECEIVED_COUNT:
            del self.received[next(iter(self.received))]
        return events

    async def poll_team(self, team_id: str) -> tuple[list[ThreadRow], set[str]] | None:
        """The changed threads among those that Penpot lists as unread, and the files with stored
        threads that it does not list; None if the token's user is not in the team."""
        rows = await self._penpot.unread_threads(team_id)
        if rows is None:
            return None
        stored = await self._fingerprints()
        listed = {row.id for row in rows}
        hidden = {thread.file for id_, thread in stored.items() if id_ not in listed}
        return self._changed(rows, stored), hidden

    async def poll_file(self, file: str, team_id: str, *, is_first: bool = False) -> FilePoll:
        """A file's threads. Events of deleted threads are stored; ``changed`` ones are not read.
        In the first scan of the team, with ``is_first``, only snapshots are stored."""
        try:
            return await self._poll_file(file, team_id, is_first=is_first)
        except PenpotUnexpected as error:
            log.warning("team %s: can't list the comments of a file: %s", self._team, error)
            return FilePoll(is_listed=False)

    async def _poll_file(self, file: str, team_id: str, *, is_first: bool) -> FilePoll:
        received = {id_: events for id_, events in self.received.items() if events.file == file}
        owner = await self._penpot.team_of_file(file, team_id)
        rows = await self._penpot.comment_threads(file) if owner == team_id else None
        if rows is None and owner in ("", team_id):
            for thread in received:
                del self.received[thread]
            return FilePoll()
        stored = await self._fingerprints(file)
        if rows is None or any(row.team_id not in ("", team_id) for row in rows):
            await self._store_gone(await self._existing(stored))  # moved to another team
            return FilePoll()
        if is_first:
            await self._save([], [ThreadSnapshot(row) for row in rows if row.id not in stored])
            return FilePoll(rows)
        listed = {row.id for row in rows}
        self._drop_unreadable(lambda id_, thread: thread.file == file and id_ not in listed)
        created = {id_ for id_, events in received.items() if events.thread is not None}
        count = 0
        if missing := sorted((stored.keys() | created) - listed):
            gone = await self._existing(missing)
            # Penpot lists a deleted file as one without threads.
            is_deleted = bool(rows) or await self._is_listed(file, gone, team_id)
            count = await self._store_gone(gone, is_deleted=is_deleted)
            for id_ in missing:
                self.received.pop(id_, None)
        changed = self._changed(rows, stored)
        has_news = count > 0 or any(row.id not in self.unreadable for row in changed)
        return FilePoll(rows, changed, has_news)

    async def read_threads(self, rows: Iterable[ThreadRow], since: float) -> None:
        """Read the comments of changed threads and store what is new.

        Comments from before ``since`` that are in no snapshot are not new. A thread that can't be
        read is added to ``unreadable`` and does not delay the others.
        """
        now = self._clock()
        self._drop_unreadable(lambda _, thread: thread.until <= now - UNREADABLE_TTL)
        due = [
            row
            for row in rows
            if row.id not in self.unreadable or self.unreadable[row.id].until <= now
        ]
        stored = await self._snapshots([row.id for row in due])
        events: list[SyntheticEvent] = []
        snapshots: list[ThreadSnapshot] = []
        failure: PenpotBusy | None = None
        busy_count = 0
        for row in due:
            thread = ThreadComparison(stored.get(row.id), row, self.received.get(row.id))
            try:
                comments = await self._read_comments(row) if thread.needs_comments else None
            except PenpotBusy as error:
                busy_count += 1
                is_few = busy_count <= MAX_UNREADABLE_COUNT
                if not (is_few and await self._penpot.still_responds(error)):
                    failure = error
                    break
                self._mark_unreadable(row, str(error))
                continue
            if comments is None or comments:  # else unreadable, or deleted since it was listed
                changes, snapshot = thread.result(comments, since, self._clock())
                events += changes
                snapshots.append(snapshot)
        await self._save(sorted(events, key=lambda event: event.at), snapshots)
        for snapshot in snapshots:
            self.unreadable.pop(snapshot.thread.id, None)
            self.received.pop(snapshot.thread.id, None)
        if failure is not None:
            raise failure

    async def _read_comments(self, row: ThreadRow) -> Sequence[CommentRow]:
        """Empty if they can't be read, or the thread was deleted since it was listed."""
        try:
            comments = await self._penpot.comments(row.id)
        except PenpotUnexpected as error:
            self._mark_unreadable(row, str(error))
            return ()
        if not comments:
            self._mark_unreadable(row, "Penpot lists none")
        return comments or ()

    def _mark_unreadable(self, row: ThreadRow, reason: str) -> None:
        thread = self.unreadable.setdefault(row.id, UnreadableThread(file=row.file_id))
        thread.failed(self._clock())
        if thread.failures == 2:  # a thread that was only deleted meanwhile is not listed again
            text = "can't read its comments, skipping it until a retry succeeds"
            log.warning("team %s: thread %s: %s: %s", self._team, row.id, text, reason)

    def _drop_unreadable(self, is_over: Callable[[str, UnreadableThread], bool]) -> None:
        self.unreadable = {
            id_: thread for id_, thread in self.unreadable.items() if not is_over(id_, thread)
        }

    async def forget_other_files(self, files: Collection[str]) -> None:
        """Mark the threads of files that the team no longer has as gone, without events."""
        self._drop_unreadable(lambda _, thread: thread.file not in files)
        stored = await self._fingerprints()
        removed = [id_ for id_, thread in stored.items() if thread.file not in files]
        await self._store_gone(await self._existing(removed))

    async def _fingerprints(self, file: str = "") -> dict[str, ThreadFingerprint]:
        """Of the threads that exist, by id."""
        stored = await self._threads.fingerprints(self._team, file)
        return {thread.thread: thread for thread in stored if not thread.gone_at}

    async def _snapshots(self, threads: Collection[str]) -> dict[str, ThreadSnapshot]:
        stored = await self._threads.get(self._team, threads)
        return {id_: ThreadSnapshot.from_stored(thread) for id_, thread in stored.items()}

    def _changed(
        self, rows: Iterable[ThreadRow], stored: Mapping[str, ThreadFingerprint]
    ) -> list[ThreadRow]:
        known = stored.keys() - self.received.keys()
        same = {(id_, stored[id_].fingerprint) for id_ in known}
        changed = [row for row in rows if (row.id, fingerprint(row)) not in same]
        return sorted(changed, key=lambda row: row.modified_at)

    async def _existing(self, threads: Collection[str]) -> list[ThreadSnapshot]:
        """Snapshots of threads that are not gone, also of those that only a webhook sent."""
        snapshots = await self._snapshots(threads)
        for id_ in threads:
            received = self.received.get(id_)
            if received is not None and received.thread is not None:
                snapshots.setdefault(id_, ThreadSnapshot(received.thread, {}))
        return [snapshot for snapshot in snapshots.values() if not snapshot.gone_at]

    async def _is_listed(
        self, file: str, snapshots: Iterable[ThreadSnapshot], team_id: str
    ) -> bool:
        projects = {str(snapshot.thread.row.get("projectId") or "") for snapshot in snapshots}
        for project in projects - {""}:
            if await self._penpot.team_of_project(project, team_id) != team_id:
                continue
            files = await self._penpot.project_files(project) or ()
            if any(listed.id == file for listed in files):
                return True
        return False

    async def _store_gone(
        self, snapshots: Sequence[ThreadSnapshot], *, is_deleted: bool = False
    ) -> int:
        """Store that threads are gone; the number of events, if they are deleted in Penpot."""
        now = self._clock()
        events = [thread_deleted(old.thread, now) for old in snapshots] if is_deleted else []
        return await self._save(events, [replace(old, gone_at=now) for old in snapshots])

    async def _save(
        self, events: Sequence[SyntheticEvent], snapshots: Sequence[ThreadSnapshot]
    ) -> int:
        if not events and not snapshots:
            return 0
        now = self._clock()
        count = await self._threads.save(
            self._team,
            [event.to_new_event(self._team, now) for event in events],
            [snapshot.to_stored() for snapshot in snapshots],
        )
        for event in events:
            self._context.metrics.sync_event(self._team, event.name)
        if count:
            log.info("team %s: sync stored %d events that no webhook sent", self._team, count)
            self._context.stored()
        return count


class TeamScan:
    """Polls every file of a team: call ``step`` while there are ``steps``."""

    def __init__(
        self, context: SyncContext, comments: CommentPoller, team_id: str, *, is_first: bool
    ) -> None:
        self._penpot = context.penpot
        self._comments = comments
        self._team_id = team_id
        self.is_first = is_first
        self.started_at = context.clock()
        self.is_complete = True
        """Whether all files could be listed."""
        self.has_read_threads = False
        """Whether Penpot's list of unread threads lacks some."""
        self.files: set[str] = set()
        """All files of the team, when the scan is done."""
        self._unread: set[str] = set()
        self.steps: list[Callable[[], Awaitable[Sequence[ThreadRow] | None]]] = [
            self._list_projects
        ]

    async def step(self) -> Sequence[ThreadRow] | None:
        """Make the next call: the changed threads that it shows, or None if the token's user is
        not in the team (any more). It raises the errors of ``CommentPoller``."""
        step = self.steps.pop()
        try:
            return await step()
        except Exception:
            self.steps.insert(0, step)  # others first
            raise

    async def _list_projects(self) -> Sequence[ThreadRow] | None:
        try:
            unread = await self._penpot.unread_threads(self._team_id)
        except PenpotUnexpected:  # more threads than an answer may contain
            unread, self.has_read_threads = (), True
        projects = await self._penpot.projects(self._team_id)
        if unread is None or projects is None:
            return None
        self._unread = {row.id for row in unread}
        self.steps += [
            partial(self._list_files, project.id) for project in projects if not project.is_deleted
        ]
        return ()

    async def _list_files(self, project: str) -> Sequence[ThreadRow]:
        files = await self._penpot.project_files(project)
        self.is_complete &= files is not None
        new = {file.id: None for file in files or () if file.id not in self.files}
        self.files |= new.keys()
        self.steps += [partial(self._poll_file, file) for file in new]
        return ()

    async def _poll_file(self, file: str) -> Sequence[ThreadRow]:
        poll = await self._comments.poll_file(file, self._team_id, is_first=self.is_first)
        self.is_complete &= poll.is_listed
        self.has_read_threads |= any(map(self._is_hidden, poll.rows))
        return poll.changed

    def _is_hidden(self, row: ThreadRow) -> bool:
        """Whether the list of unread threads lacks one that is older than the list."""
        changed_at = values.instant(row.modified_at)
        is_old = changed_at is not None and changed_at.timestamp() < self.started_at - 60
        return not row.unread or (is_old and row.id not in self._unread)
