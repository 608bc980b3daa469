"""Polls and scans one team's comments: what Penpot lists is compared with the stored snapshots, and
the resulting events are stored in one transaction with the new snapshots."""

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from relay.errors import RelayError
from relay.penpot import text as values
from relay.penpot.api import PenpotClient
from relay.penpot.client import PenpotBusy, PenpotError, PenpotUnexpected
from relay.penpot.records import CommentRow, ThreadRow
from relay.store.sync_threads import ThreadFingerprint
from relay.sync.budget import Backoff, SyncContext
from relay.sync.changes import (
    SyntheticEvent,
    ThreadEvents,
    ThreadSnapshot,
    compare,
    fingerprint,
    needs_comments,
    thread_deleted,
)

log = logging.getLogger(__name__)

THREAD_BATCH_SIZE = 20  # threads whose comments are read before the results are stored
MAX_UNREADABLE_COUNT = 3  # threads skipped per batch; if more fail, the cause is not the thread
MAX_RECEIVED_COUNT = 1000  # threads whose received events are kept until they are polled
UNREADABLE_TTL = 24 * 3600.0  # seconds


class TeamNotVisible(RelayError):
    """The token's user is not in the team (any more)."""


@dataclass(frozen=True, slots=True)
class FilePoll:
    """The result of polling a file."""

    is_visible: bool
    """Whether the token's user may see the file."""
    changed: tuple[ThreadRow, ...] = ()
    """Threads to be passed to ``read_threads``."""
    rows: tuple[ThreadRow, ...] = ()
    """All threads of the file."""
    event_count: int = 0
    """Events that the poll itself stored: deleted threads."""


@dataclass(slots=True)
class UnreadableThread(Backoff):
    """A thread whose comments can't be read, and when it is tried again."""

    file: str = ""


class CommentPoller:
    """All methods raise ``PenpotError``, ``StoreUnavailable`` and ``LeaseLost``."""

    def __init__(self, context: SyncContext, team: str) -> None:
        self._penpot = context.penpot
        self._threads = context.store.sync_threads
        self._metrics = context.metrics
        self._stored = context.stored
        self._team = team
        self._clock = context.clock
        self.received: dict[str, ThreadEvents] = {}
        """By thread: what webhooks sent since its last poll."""
        self.unreadable: dict[str, UnreadableThread] = {}
        """By thread. Their stored fingerprints stay old, so that a later poll lists them again."""

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
        hidden = {
            thread.file
            for thread in stored.values()
            if not thread.gone_at and thread.thread not in listed
        }
        return self._changed(rows, stored), hidden

    async def poll_file(self, file: str, team_id: str) -> FilePoll:
        """A file's threads. Events of deleted threads are stored; ``changed`` ones are not read."""
        received = {
            id_: events for id_, events in self.received.items() if _file_of(events) == file
        }
        rows = await self._penpot.comment_threads(file)
        if rows is None:
            for thread in received:
                del self.received[thread]
            return FilePoll(False)
        stored = await self._fingerprints(file)
        if any(row.team_id not in ("", team_id) for row in rows):
            await self._store_gone(list(stored))  # the file was moved to another team
            return FilePoll(False)
        listed = {row.id for row in rows}
        self._drop_unreadable(lambda id_, thread: thread.file == file and id_ not in listed)
        missing = [id_ for id_, thread in stored.items() if not thread.gone_at]
        missing += [
            id_ for id_, events in received.items() if events.thread_props and id_ not in stored
        ]
        missing = [id_ for id_ in missing if id_ not in listed]
        count = await self._store_deleted(file, missing, bool(rows)) if missing else 0
        return FilePoll(True, tuple(self._changed(rows, stored)), tuple(rows), count)

    async def read_threads(self, rows: Sequence[ThreadRow], since: float) -> int:
        """Read the comments of changed threads and store what is new; the number of new events.

        Comments from before ``since`` that are in no snapshot are not new. A thread that can't be
        read is added to ``unreadable`` and does not delay the others.
        """
        now = self._clock()
        self._drop_unreadable(lambda _, thread: thread.until <= now - UNREADABLE_TTL)
        rows = [
            row
            for row in rows
            if row.id not in self.unreadable or self.unreadable[row.id].until <= now
        ]
        stored = await self._threads.get(self._team, [row.id for row in rows])
        events: list[SyntheticEvent] = []
        snapshots: list[ThreadSnapshot] = []
        received = {row.id: self.received[row.id] for row in rows if row.id in self.received}
        failure: PenpotBusy | None = None
        busy_count = 0
        for row in rows:
            old = ThreadSnapshot.from_stored(stored[row.id]) if row.id in stored else None
            comments = None
            if needs_comments(old, row, received.get(row.id)):
                try:
                    comments = await self._read_comments(row)
                except PenpotBusy as error:
                    busy_count += 1
                    is_too_many = busy_count > MAX_UNREADABLE_COUNT
                    if is_too_many or not await self._penpot.still_responds(error):
                        failure = error
                        break
                    self._mark_unreadable(row, str(error))
                if not comments:
                    received.pop(row.id, None)
                    continue  # unreadable, or deleted since it was listed
            moment = datetime.fromtimestamp(self._clock(), UTC)
            cutoff = datetime.fromtimestamp(since, UTC)
            changes, snapshot = compare(old, row, comments, received.get(row.id), cutoff, moment)
            events += changes
            snapshots.append(snapshot)
        count = await self._save(sorted(events, key=lambda event: event.at), snapshots, now)
        for snapshot in snapshots:
            self.unreadable.pop(snapshot.id, None)
            if snapshot.id in received and self.received.get(snapshot.id) is received[snapshot.id]:
                del self.received[snapshot.id]
        if failure is not None:
            raise failure
        return count

    async def _read_comments(self, row: ThreadRow) -> tuple[CommentRow, ...] | None:
        try:
            comments = await self._penpot.comments(row.id)
        except PenpotUnexpected as error:
            self._mark_unreadable(row, str(error))
            return None
        if not comments:
            self._mark_unreadable(row, "Penpot lists none")
        return comments

    def _mark_unreadable(self, row: ThreadRow, reason: str) -> None:
        thread = self.unreadable.setdefault(row.id, UnreadableThread(file=row.file_id))
        thread.failed(self._clock())
        if thread.failures == 2:  # a thread that was only deleted meanwhile is not listed again
            log.warning(
                "team %s: can't read the comments of thread %s, skipping it until a retry "
                "succeeds: %s",
                self._team,
                row.id,
                reason,
            )

    def _drop_unreadable(self, is_over: Callable[[str, UnreadableThread], bool]) -> None:
        self.unreadable = {
            id_: thread for id_, thread in self.unreadable.items() if not is_over(id_, thread)
        }

    async def save_without_events(self, rows: Sequence[ThreadRow]) -> None:
        """Store snapshots only: the threads are older than the first scan."""
        stored = await self._threads.get(self._team, [row.id for row in rows])
        snapshots = [ThreadSnapshot.from_row(row, None) for row in rows if row.id not in stored]
        await self._save([], snapshots, self._clock())

    async def forget_files(self, files: Iterable[str]) -> None:
        """Mark the threads of files that the team no longer has as gone, without events."""
        removed = set(files)
        stored = await self._fingerprints()
        self._drop_unreadable(lambda _, thread: thread.file in removed)
        await self._store_gone(
            [id_ for id_, row in stored.items() if row.file in removed and not row.gone_at]
        )

    async def _fingerprints(self, file: str = "") -> dict[str, ThreadFingerprint]:
        stored = await self._threads.fingerprints(self._team, file)
        return {thread.thread: thread for thread in stored}

    def _changed(
        self, rows: Iterable[ThreadRow], stored: dict[str, ThreadFingerprint]
    ) -> list[ThreadRow]:
        changed = [
            row
            for row in rows
            if row.id not in stored
            or stored[row.id].fingerprint != fingerprint(row)
            or stored[row.id].gone_at
            or row.id in self.received
        ]
        return sorted(changed, key=lambda row: row.modified_at)

    async def _store_deleted(self, file: str, threads: Sequence[str], has_threads: bool) -> int:
        """Store the deletion of threads. There are no events if the file itself was deleted: Penpot
        lists such a file as one without threads."""
        now = datetime.fromtimestamp(self._clock(), UTC)
        stored = await self._threads.get(self._team, threads)
        snapshots = [ThreadSnapshot.from_stored(row) for row in stored.values()]
        for id_ in threads:
            received = self.received.get(id_)
            if id_ not in stored and received is not None and received.thread_props is not None:
                snapshots.append(ThreadSnapshot.from_event(id_, received.thread_props))
        if has_threads or await self._exists(file, snapshots):
            deletions = [thread_deleted(snapshot, now) for snapshot in snapshots]
        else:
            deletions = [([], snapshot.as_gone(now.timestamp())) for snapshot in snapshots]
        events = [event for events, _ in deletions for event in events]
        count = await self._save(events, [new for _, new in deletions], now.timestamp())
        for id_ in threads:
            self.received.pop(id_, None)
        return count

    async def _exists(self, file: str, snapshots: Sequence[ThreadSnapshot]) -> bool:
        projects = {str(thread.row.get("projectId") or "") for thread in snapshots} - {""}
        for project in projects:
            files = await self._penpot.project_files(project) or ()
            if any(listed.id == file for listed in files):
                return True
        return False

    async def _store_gone(self, threads: Sequence[str]) -> None:
        now = self._clock()
        stored = await self._threads.get(self._team, threads)
        snapshots = [ThreadSnapshot.from_stored(row) for row in stored.values() if not row.gone_at]
        await self._save([], [snapshot.as_gone(now) for snapshot in snapshots], now)

    async def _save(
        self, events: Sequence[SyntheticEvent], snapshots: Sequence[ThreadSnapshot], now: float
    ) -> int:
        if not events and not snapshots:
            return 0
        count = await self._threads.save(
            self._team,
            [event.to_new_event(self._team, now) for event in events],
            [snapshot.to_stored() for snapshot in snapshots],
        )
        for event in events:
            self._metrics.sync_event(self._team, event.name)
        if count:
            log.info("team %s: sync stored %d events that no webhook sent", self._team, count)
            self._stored()
        return count


def _file_of(events: ThreadEvents) -> str:
    row = events.thread_props or next(iter(events.comments.values()), {})
    return str(row.get("fileId", ""))


@dataclass(slots=True)
class TeamScan:
    """Polls every file of a team, one call after the other: call ``step`` until ``is_done``.

    The first scan of a team stores snapshots without events.
    """

    penpot: PenpotClient
    comments: CommentPoller
    team_id: str
    is_first: bool
    started_at: float
    is_done: bool = False
    is_complete: bool = True
    """Whether all files could be listed."""
    has_read_threads: bool = False
    """Whether Penpot's list of unread threads lacks some."""
    files: set[str] = field(default_factory=set)
    """All files of the team, when the scan is done."""
    _unread: set[str] | None = None
    _projects: list[str] | None = None
    _queue: list[str] = field(default_factory=list)

    async def step(self) -> list[ThreadRow]:
        """Make the next call; the changed threads that it shows.

        Raises ``TeamNotVisible``, and the errors of ``CommentPoller``.
        """
        if self._projects is None:
            await self._list_projects()
        elif self._projects:
            await self._list_files(self._projects[-1])
            self._projects.pop()
        elif self._queue:
            try:
                rows = await self._poll_file(self._queue[-1])
            except PenpotUnexpected as error:
                log.warning("can't list the comments of a file: %s", error)
                self.is_complete, rows = False, []
            except PenpotError:
                self._queue.insert(0, self._queue.pop())  # try another file first
                raise
            self._queue.pop()
            return rows
        else:
            self.is_done = True
        return []

    async def _list_projects(self) -> None:
        try:
            unread = await self.penpot.unread_threads(self.team_id)
        except PenpotUnexpected:  # more threads than an answer may contain
            unread, self.has_read_threads = (), True
        projects = await self.penpot.projects(self.team_id)
        if unread is None or projects is None:
            raise TeamNotVisible
        self._unread = {row.id for row in unread}
        self._projects = [project.id for project in projects if not project.is_deleted]

    async def _list_files(self, project: str) -> None:
        files = await self.penpot.project_files(project)
        self.is_complete &= files is not None
        for file in files or ():
            if file.id not in self.files:
                self.files.add(file.id)
                self._queue.append(file.id)

    async def _poll_file(self, file: str) -> list[ThreadRow]:
        if self.is_first:
            rows = await self.penpot.comment_threads(file) or ()
            await self.comments.save_without_events(rows)
            self.has_read_threads |= any(map(self._is_hidden, rows))
            return []
        poll = await self.comments.poll_file(file, self.team_id)
        self.has_read_threads |= any(map(self._is_hidden, poll.rows))
        return list(poll.changed)

    def _is_hidden(self, row: ThreadRow) -> bool:
        """Whether the list of unread threads lacks one that is older than the list."""
        changed_at = values.instant(row.modified_at)
        is_old = changed_at is not None and changed_at.timestamp() < self.started_at - 60
        return not row.unread or (is_old and row.id not in (self._unread or ()))
