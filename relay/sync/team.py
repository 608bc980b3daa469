"""The jobs of one team, and when they are due."""

import logging
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from relay.penpot.client import PenpotError, PenpotUnexpected
from relay.penpot.records import ThreadRow
from relay.penpot.text import uuid
from relay.sync.budget import Backoff, SyncContext, jittered
from relay.sync.changes import COMMENT_KEYS, THREAD_KEYS, pick
from relay.sync.comments import (
    THREAD_BATCH_SIZE,
    CommentPoller,
    FilePoll,
    TeamNotVisible,
    TeamScan,
)
from relay.sync.state import SyncState, load_state, save_state
from relay.sync.webhooks import SEARCH_BATCH_SIZE, TeamDirectory, WebhookMonitor, team_id

log = logging.getLogger(__name__)

SCAN_INTERVAL = 24 * 3600.0  # seconds
READ_SCAN_INTERVAL = 3600.0  # seconds; if the list of unread threads is not complete
OUTAGE_SAVE_INTERVAL = 600.0  # seconds
MIN_OUTAGE_GAP_SECONDS = 3600.0  # half of the ``max_gap`` of an outage, if polls are frequent
MAX_COMMENT_COUNT = 100  # received comments kept per thread until it is polled

# Poll intervals of a file in which somebody works, in seconds.
COMMENTED_POLL_INTERVAL = 10.0  # right after a comment
EDITED_POLL_INTERVAL = 25.0  # after a change of the file, as people resolve comments meanwhile
SLOWDOWN_FACTOR = 20.0  # later, the time since the last comment divided by this
COMMENTED_TTL = 3600.0  # seconds after a comment until the file is no longer active
EDITED_TTL = 600.0  # seconds after a change


@dataclass(slots=True)
class ActiveFile:
    """A file in which somebody works, polled every few seconds. Times are in seconds since 1970."""

    file: str
    commented_at: float = 0.0
    edited_at: float = 0.0
    next_at: float = 0.0

    def notified(self, at: float, now: float, *, is_comment: bool) -> None:
        """There was activity in the file at the time ``at``."""
        if is_comment:
            self.commented_at = max(self.commented_at, at)
        else:
            self.edited_at = max(self.edited_at, at)
        latest = now + (self._interval(now) or COMMENTED_POLL_INTERVAL)
        self.next_at = min(self.next_at or now + COMMENTED_POLL_INTERVAL, latest)

    def polled(self, now: float) -> bool:
        """Schedule the next poll; False if the file is no longer active."""
        interval = self._interval(now)
        self.next_at = now + (interval or 0.0)
        return interval is not None

    def _interval(self, now: float) -> float | None:
        commented, edited = now - self.commented_at, now - self.edited_at
        intervals = []
        if commented < COMMENTED_TTL:
            intervals.append(max(COMMENTED_POLL_INTERVAL, commented / SLOWDOWN_FACTOR))
        if edited < EDITED_TTL:
            intervals.append(EDITED_POLL_INTERVAL)
        return min(intervals, default=None)


@dataclass(frozen=True, slots=True)
class Job:
    """A unit of work of a few calls."""

    due: float  # in seconds since 1970
    rank: float  # seconds added to ``due`` when jobs are ordered
    name: str  # the key of its backoff
    run: Callable[[], Awaitable[None]]
    calls: int = 1  # estimate
    is_awaited: bool = False  # people wait for the result


class TeamSync:
    """Runs one job at a time."""

    def __init__(self, context: SyncContext, directory: TeamDirectory, team: str) -> None:
        self._config = context.config
        self._penpot = context.penpot
        self._store = context.store
        self._clock = context.clock
        self._directory = directory
        self._webhooks = WebhookMonitor(context)
        self._comments = CommentPoller(context, team)
        self._id = ""
        self._state: SyncState | None = None
        self._scan: TeamScan | None = None
        self._files: dict[str, ActiveFile] = {}
        self._changed: dict[str, ThreadRow] = {}  # threads whose comments are to be read
        self._awaited: set[str] = set()  # those of them that are in active files
        self._hidden: dict[str, None] = {}  # files with stored threads that were not listed
        # When the jobs are due next.
        self._read_at = self._hidden_at = self._webhook_at = self._poll_at = self._scan_at = 0.0
        self._backoffs: dict[str, Backoff] = {}
        self.name = team

    def due(self) -> list[Job]:
        now = self._clock()
        return [job for job in map(self._with_backoff, self._jobs()) if job.due <= now]

    def _with_backoff(self, job: Job) -> Job:
        backoff = self._backoffs.get(job.name)
        if backoff is None:
            return job
        # Not awaited: the job of another team is a better test whether Penpot responds.
        return replace(job, due=max(job.due, backoff.until), is_awaited=False)

    def _jobs(self) -> Iterator[Job]:
        check = partial(Job, self._webhook_at, 10.0, "webhook", self._check_webhook)
        if not self._id:
            yield check(SEARCH_BATCH_SIZE, bool(self._files))
            return
        yield check()
        if self._changed:
            calls = min(len(self._changed), THREAD_BATCH_SIZE)
            awaited = bool(self._awaited)
            yield Job(self._read_at, 0.0, "comments", self._read_changed, calls, awaited)
        else:
            yield Job(self._scan_at, 60.0, "scan", self._step_scan)
        if self._state is None:
            return
        if self._hidden:
            yield Job(self._hidden_at, 5.0, "hidden", self._poll_hidden_file)
        yield Job(self._poll_at, 30.0, "team", self._poll_team)
        for file in self._files.values():
            poll = partial(self._poll_active_file, file)
            yield Job(file.next_at, 0.0, f"file {file.file}", poll, is_awaited=True)

    def notified(self, name: str, props: Mapping[str, Any], at: float) -> None:
        """An event of the team from a webhook or a poll was stored at the time ``at``."""
        now = self._clock()
        if name == "create-comment-thread" and (thread := uuid(props.get("id"))):
            received = self._comments.thread_events(thread)
            received.thread_props = pick(props, THREAD_KEYS)
            if comment := uuid(props.get("commentId")):
                ids = {"id": comment, "threadId": thread}
                received.comments[comment] = pick(props, COMMENT_KEYS) | ids
        elif (
            name == "create-comment"
            and (thread := uuid(props.get("threadId")))
            and (comment := uuid(props.get("id")))
        ):
            received = self._comments.thread_events(thread)
            received.comments[comment] = pick(props, COMMENT_KEYS)
            if len(received.comments) > MAX_COMMENT_COUNT:
                del received.comments[next(iter(received.comments))]
        is_comment = name != "update-file"
        if file := uuid(props.get("fileId" if is_comment else "id")):
            active = self._files.setdefault(file, ActiveFile(file))
            active.notified(at, now, is_comment=is_comment)

    async def _check_webhook(self) -> None:
        if not self._id:
            id_ = await team_id(self._config, self._directory, self._store, self.name)
            if id_ is None:
                self._webhook_at = self._clock()  # as in _poll_hidden_file
                return
            await self._begin(id_)
        if self._id and await self._webhooks.check(self.name, self._id):
            self._poll_at = 0.0
        self._webhook_at = self._after(self._config.sync.webhooks_every.total_seconds())

    async def _begin(self, id_: str) -> None:
        if not id_:
            await self._webhooks.not_found(self.name)
            return
        state = await load_state(self._store, self.name)
        if state is not None and state.team_id == id_:
            self._state = state.not_after(self._clock())
            if self._state != state:  # saved when the clock was ahead
                await save_state(self._store, self.name, self._state)
            # If nobody reads, polls find all threads, and a scan only verifies that.
            self._scan_at = state.since + (0.0 if state.has_read_threads else SCAN_INTERVAL)
        self._scan_at = max(self._scan_at, self._clock())  # so that who waits longest is first
        self._id = id_  # last: a scan without the loaded state would be a first scan

    async def _poll_team(self) -> None:
        assert self._state is not None  # noqa: S101 - not yielded before
        try:
            poll = await self._comments.poll_team(self._id)
        except PenpotUnexpected as error:
            log.debug("team %s: scanning, can't list unread threads: %s", self.name, error)
            self._scan_at = min(self._scan_at, self._clock())
            poll = [], set()
        if poll is None:
            await self._record_outage()
        else:
            changed, hidden = poll
            self._add_changed(changed)
            self._hidden |= dict.fromkeys(sorted(hidden))
            if hidden and not self._state.has_read_threads:
                log.debug("team %s: %d files have unlisted threads", self.name, len(hidden))
        self._poll_at = self._after(self._config.sync.comments_every.total_seconds())

    async def _poll_hidden_file(self) -> None:
        """Poll a file with a stored thread that was not listed: deleted, or read by somebody."""
        assert self._state is not None  # noqa: S101 - not yielded before
        file = next(iter(self._hidden))
        self._hidden_at = self._clock()  # not in the past, so that awaited jobs come first
        self._hidden[file] = self._hidden.pop(file)  # to the end, in case it fails
        poll = await self._poll_file(file)
        del self._hidden[file]
        if not self._state.has_read_threads and any(not row.unread for row in poll.rows):
            log.info(
                "team %s: somebody reads comments with the account of penpot.access_token, which "
                "costs more calls to Penpot: use a separate account for Relay",
                self.name,
            )
            await self._set_state(replace(self._state, has_read_threads=True))
            self._scan_at = min(self._scan_at, self._clock())

    async def _poll_active_file(self, active: ActiveFile) -> None:
        now = self._clock()
        try:
            poll = await self._poll_file(active.file)
        except PenpotError:
            if not active.polled(self._clock()):
                self._files.pop(active.file, None)
            raise
        changed = {row.id for row in poll.changed} - self._comments.unreadable.keys()
        self._awaited |= changed
        if changed or poll.event_count:
            active.notified(now, now, is_comment=True)
        if not active.polled(self._clock()) or not poll.is_visible or not poll.rows:
            self._files.pop(active.file, None)

    async def _poll_file(self, file: str) -> FilePoll:
        try:
            poll = await self._comments.poll_file(file, self._id)
        except PenpotUnexpected as error:
            log.warning("team %s: can't list the comments of a file: %s", self.name, error)
            return FilePoll(False)
        self._add_changed(poll.changed)
        return poll

    def _add_changed(self, rows: Iterable[ThreadRow]) -> None:
        if not self._changed:
            self._read_at = self._clock()
        self._changed |= {row.id: row for row in rows}

    async def _read_changed(self) -> None:
        assert self._state is not None  # noqa: S101 - a first scan returns no changed threads
        retention = self._config.store.retention.total_seconds()
        rows = sorted(self._changed.values(), key=lambda row: row.id not in self._awaited)
        batch = rows[:THREAD_BATCH_SIZE]
        await self._comments.read_threads(batch, self._state.cutoff(self._clock(), retention))
        for row in batch:
            del self._changed[row.id]
            self._awaited.discard(row.id)
        self._read_at = self._clock()  # as in _poll_hidden_file
        if self._comments.unreadable:
            await self._record_outage()

    async def _step_scan(self) -> None:
        if self._scan is None:
            is_first = self._state is None
            self._scan = TeamScan(self._penpot, self._comments, self._id, is_first, self._clock())
        try:
            self._add_changed(await self._scan.step())
        except TeamNotVisible:
            self._scan = None
            self._scan_at = self._after(self._config.sync.comments_every.total_seconds())
            await self._record_outage()
            return
        self._scan_at = self._clock()  # as in _poll_hidden_file
        if self._scan.is_done:
            await self._end_scan(self._scan)

    async def _end_scan(self, scan: TeamScan) -> None:
        """All changed threads of the scan were read: a step needs ``_changed`` to be empty."""
        threads = self._store.sync_threads
        if scan.is_complete:
            stored = {thread.file for thread in await threads.fingerprints(self.name)}
            await self._comments.forget_files(stored - scan.files)
        retention = self._config.store.retention.total_seconds()
        await threads.delete_gone(self.name, self._clock() - 2 * retention)
        if self._state is not None and (self._comments.unreadable or not scan.is_complete):
            state = replace(self._state, has_read_threads=scan.has_read_threads)
        else:
            state = SyncState(self._id, scan.started_at, scan.has_read_threads)
        await self._set_state(state)
        if scan.is_first:
            log.info("team %s: first scan done: %d files", self.name, len(scan.files))
        self._scan = None
        self._scan_at = self._after(READ_SCAN_INTERVAL if scan.has_read_threads else SCAN_INTERVAL)

    async def _record_outage(self) -> None:
        if self._state is None or self._clock() - self._state.outage_end <= OUTAGE_SAVE_INTERVAL:
            return
        interval = self._config.sync.comments_every.total_seconds()
        max_gap = 2 * max(MIN_OUTAGE_GAP_SECONDS, interval)
        await self._set_state(self._state.in_outage(self._clock(), max_gap))

    async def _set_state(self, state: SyncState) -> None:
        self._state = state
        await save_state(self._store, self.name, state)

    async def failed(self, job: Job) -> bool:
        """Whether it is the job's first failure in a row. Raises ``StoreUnavailable``."""
        backoff = self._backoffs.setdefault(job.name, Backoff())
        backoff.failed(self._clock())
        if job.name != "webhook":
            await self._record_outage()
        return backoff.failures == 1

    def succeeded(self, job: Job) -> None:
        self._backoffs.pop(job.name, None)

    def _after(self, seconds: float) -> float:
        return self._clock() + jittered(seconds)
