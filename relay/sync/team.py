"""The jobs of one team, and when they are due."""

import logging
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from relay.delivery.directory import TeamDirectory
from relay.penpot.client import PenpotUnexpected
from relay.penpot.records import ThreadRow
from relay.penpot.text import uuid
from relay.sync.comments import THREAD_BATCH_SIZE, CommentPoller, FilePoll, TeamScan
from relay.sync.state import Backoff, SyncContext, SyncState, jittered, load_state, save_state
from relay.sync.webhooks import WebhookMonitor

log = logging.getLogger(__name__)

SCAN_INTERVAL = 24 * 3600.0  # seconds
READ_SCAN_INTERVAL = 3600.0  # seconds; if the list of unread threads is not complete
OUTAGE_SAVE_INTERVAL = 600.0  # seconds
MIN_OUTAGE_GAP_SECONDS = 3600.0  # half of the ``max_gap`` of an outage, if polls are frequent

# Poll intervals of a file in which somebody works, in seconds.
COMMENTED_POLL_INTERVAL = 10.0  # right after a comment
EDITED_POLL_INTERVAL = 25.0  # after a change of the file, as people resolve comments meanwhile
SLOWDOWN_FACTOR = 20.0  # later, the time since the last comment divided by this
COMMENTED_TTL = 3600.0  # seconds after a comment until the file is no longer active
EDITED_TTL = 600.0  # seconds after a change


@dataclass(slots=True, eq=False)
class Job:
    """A unit of work of a few calls. Times are in seconds since 1970."""

    name: str
    run: Callable[[], Awaitable[None]]
    rank: float = 0.0  # seconds added to ``due`` when jobs are ordered
    next_at: float = 0.0  # if it does not fail
    calls: int = 1  # estimate
    is_awaited: bool = False  # people wait for the result
    backoff: Backoff = field(default_factory=Backoff)

    @property
    def due(self) -> float:
        return max(self.next_at, self.backoff.until)

    @property
    def is_urgent(self) -> bool:
        """Not after a failure: the job of another team is a better test whether Penpot responds."""
        return self.is_awaited and not self.backoff.failures


@dataclass(slots=True, eq=False)
class ActiveFile(Job):
    """A file in which somebody works, polled every few seconds."""

    commented_at: float = 0.0
    edited_at: float = 0.0

    def notified(self, at: float, now: float, *, is_comment: bool) -> None:
        """There was activity in the file at the time ``at``."""
        if is_comment:
            self.commented_at = max(self.commented_at, at)
        else:
            self.edited_at = max(self.edited_at, at)
        latest = now + (self._interval(now) or COMMENTED_POLL_INTERVAL)
        self.next_at = min(self.next_at or now + COMMENTED_POLL_INTERVAL, latest)

    def polled(self, now: float, *, has_news: bool) -> bool:
        """Schedule the next poll; False if the file is no longer active."""
        if has_news:
            self.commented_at = now
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


class TeamSync:
    """Runs one job at a time. A job that is due again at once gets the current time, none in the
    past, so that what people wait for comes first."""

    def __init__(self, context: SyncContext, directory: TeamDirectory, team: str) -> None:
        self._context = context
        self._config = context.config
        self._store = context.store
        self._clock = context.clock
        self._directory = directory
        self._webhooks = WebhookMonitor(context, team)
        self._comments = CommentPoller(context, team)
        self._state = SyncState()
        self._scan: TeamScan | None = None
        self._files: dict[str, ActiveFile] = {}
        self._changed: dict[str, ThreadRow] = {}  # threads whose comments are to be read
        self._hidden: dict[str, None] = {}  # files with stored threads that were not listed
        self._webhook_job = Job("webhook", self._check_webhook, rank=10.0)
        self._comments_job = Job("comments", self._read_changed)
        self._scan_job = Job("scan", self._step_scan, rank=60.0)
        self._hidden_job = Job("hidden", self._poll_hidden_file, rank=5.0)
        self._team_job = Job("team", self._poll_team, rank=30.0)
        self.name = team

    def due(self) -> list[Job]:
        now = self._clock()
        return [job for job in self._jobs() if job.due <= now]

    def _jobs(self) -> Iterator[Job]:
        yield self._webhook_job
        if not self._state.team_id:
            return
        if self._changed:
            self._comments_job.calls = min(len(self._changed), THREAD_BATCH_SIZE)
            self._comments_job.is_awaited = any(map(self._is_awaited, self._changed.values()))
            yield self._comments_job
        else:
            yield self._scan_job
        if not self._state.since:
            return
        if self._hidden:
            yield self._hidden_job
        yield self._team_job
        yield from self._files.values()

    def _is_awaited(self, row: ThreadRow) -> bool:
        return row.file_id in self._files

    def notified(self, name: str, props: Mapping[str, Any], at: float) -> None:
        """An event of the team from a webhook or a poll was stored at the time ``at``."""
        is_comment = name != "update-file"
        if is_comment:
            self._comments.notified(name, props)
        file = uuid(props.get("fileId" if is_comment else "id"))
        if not file:
            return
        if file not in self._files:
            poll = partial(self._poll_active_file, file)
            self._files[file] = ActiveFile(f"file {file}", poll, is_awaited=True)
        self._files[file].notified(at, self._clock(), is_comment=is_comment)
        self._webhook_job.is_awaited = not self._state.team_id

    async def _check_webhook(self) -> None:
        penpot = self._context.penpot
        id_ = self._state.team_id or await self._directory.search(self.name, penpot)
        if id_ is None:  # not known before the next part of the directory is read
            self._webhook_job.next_at = self._clock()
            return
        if not id_:
            is_listed = bool(self._directory.listed_in(self.name))
            await self._webhooks.not_verified(is_listed=is_listed)
        else:
            if not self._state.team_id:
                await self._begin(id_)
            if await self._webhooks.check(id_):
                self.poll_soon()
        interval = self._config.sync.webhooks_every.total_seconds()
        self._webhook_job.next_at = self._after(interval)

    async def _begin(self, id_: str) -> None:
        loaded = await load_state(self._store, self.name)
        if loaded is None or loaded.team_id != id_:
            loaded = SyncState(id_)
        now = self._clock()
        self._state = state = loaded.not_after(now)
        self._webhook_job.is_awaited = False
        # If nobody reads, polls find all threads, and a scan only verifies that.
        is_verified = state.since and not state.has_read_threads
        scan_at = state.since + SCAN_INTERVAL if is_verified else 0.0
        self._scan_job.next_at = max(scan_at, now)  # so that who waits longest is first
        if state != loaded:  # saved when the clock was ahead
            await save_state(self._store, self.name, state)

    def poll_soon(self) -> None:
        """Compare the team's comments with the ones that were seen: some may have been missed."""
        self._team_job.next_at = 0.0

    async def _poll_team(self) -> None:
        try:
            poll = await self._comments.poll_team(self._state.team_id)
        except PenpotUnexpected as error:
            log.debug("team %s: scanning, can't list unread threads: %s", self.name, error)
            self._scan_soon()
            poll = [], set()
        if poll is None:
            await self._record_outage()
        else:
            changed, hidden = poll
            self._add_changed(changed)
            self._hidden |= dict.fromkeys(sorted(hidden))
        self._team_job.next_at = self._after(self._config.sync.comments_every.total_seconds())

    async def _poll_hidden_file(self) -> None:
        """Poll a file with a stored thread that was not listed: deleted, or read by somebody."""
        file = next(iter(self._hidden))
        self._hidden_job.next_at = self._clock()
        self._hidden[file] = self._hidden.pop(file)  # to the end, in case it fails
        poll = await self._comments.poll_file(file, self._state.team_id)
        self._add_changed(poll.changed)
        del self._hidden[file]
        if not self._state.has_read_threads and any(not row.unread for row in poll.rows):
            log.info(
                "team %s: somebody reads comments with the account of penpot.access_token, which "
                "costs more calls to Penpot: use a separate account for Relay",
                self.name,
            )
            await self._set_state(replace(self._state, has_read_threads=True))
            self._scan_soon()

    async def _poll_active_file(self, file: str) -> None:
        active, poll = self._files[file], FilePoll()
        try:
            poll = await self._comments.poll_file(file, self._state.team_id)
        finally:
            if not active.polled(self._clock(), has_news=poll.has_news):
                del self._files[file]
        self._add_changed(poll.changed)
        if not poll.rows:
            self._files.pop(file, None)

    def _add_changed(self, rows: Iterable[ThreadRow]) -> None:
        if not self._changed:
            self._comments_job.next_at = self._clock()
        self._changed |= {row.id: row for row in rows}

    async def _read_changed(self) -> None:
        retention = self._config.store.retention.total_seconds()
        rows = sorted(self._changed.values(), key=self._is_awaited, reverse=True)
        batch = rows[:THREAD_BATCH_SIZE]
        await self._comments.read_threads(batch, self._state.cutoff(self._clock(), retention))
        for row in batch:
            del self._changed[row.id]
        self._comments_job.next_at = self._clock()
        if self._comments.unreadable:
            await self._record_outage()

    async def _step_scan(self) -> None:
        if self._scan is None:
            is_first = not self._state.since
            team_id = self._state.team_id
            self._scan = TeamScan(self._context, self._comments, team_id, is_first=is_first)
        if not self._scan.steps:
            await self._end_scan(self._scan)
            return
        changed = await self._scan.step()
        if changed is None:  # the token's user is not in the team
            self._scan = None
            self._scan_job.next_at = self._after(self._config.sync.comments_every.total_seconds())
            await self._record_outage()
            return
        self._add_changed(changed)
        self._scan_job.next_at = self._clock()

    async def _end_scan(self, scan: TeamScan) -> None:
        """All changed threads of the scan were read: a step needs ``_changed`` to be empty."""
        if scan.is_complete:
            await self._comments.forget_other_files(scan.files)
        retention = self._config.store.retention.total_seconds()
        await self._store.sync_threads.delete_gone(self.name, self._clock() - 2 * retention)
        if self._state.since and (self._comments.unreadable or not scan.is_complete):
            state = replace(self._state, has_read_threads=scan.has_read_threads)
        else:
            state = SyncState(self._state.team_id, scan.started_at, scan.has_read_threads)
        await self._set_state(state)
        if scan.is_first:
            log.info("team %s: first scan done: %d files", self.name, len(scan.files))
        self._scan = None
        interval = READ_SCAN_INTERVAL if scan.has_read_threads else SCAN_INTERVAL
        self._scan_job.next_at = self._after(interval)

    def _scan_soon(self) -> None:
        self._scan_job.next_at = min(self._scan_job.next_at, self._clock())

    async def _record_outage(self) -> None:
        now, state = self._clock(), self._state
        if not state.since or now - state.outage_end <= OUTAGE_SAVE_INTERVAL:
            return
        interval = self._config.sync.comments_every.total_seconds()
        max_gap = 2 * max(MIN_OUTAGE_GAP_SECONDS, interval)
        await self._set_state(state.in_outage(now, max_gap))

    async def _set_state(self, state: SyncState) -> None:
        self._state = state
        await save_state(self._store, self.name, state)

    async def failed(self, job: Job) -> bool:
        """Whether it is the job's first failure in a row. Raises ``StoreUnavailable``."""
        job.backoff.failed(self._clock())
        if job is not self._webhook_job:
            await self._record_outage()
        return job.backoff.failures == 1

    def _after(self, seconds: float) -> float:
        return self._clock() + jittered(seconds)
