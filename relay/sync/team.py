"""One team under watch: what is to be done for it, and when."""

import logging
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from relay.config import Config
from relay.metrics import Metrics
from relay.penpot.api import PenpotClient
from relay.penpot.discussion import ThreadRow
from relay.penpot.rpc import PenpotError, PenpotUnexpected
from relay.penpot.text import uuid
from relay.store.base import Store
from relay.sync import state
from relay.sync.activity import ActiveFile
from relay.sync.hooks import WebhookMonitor
from relay.sync.known import COMMENT_KEYS, THREAD_KEYS, some
from relay.sync.looks import AT_ONCE, CommentPoller, FileLook
from relay.sync.pace import Backoff, spread
from relay.sync.state import SyncState
from relay.sync.sweep import NotThere, Sweep
from relay.sync.teams import SEARCHED, TeamDirectory, team_id

log = logging.getLogger(__name__)

SWEEP_EVERY = 24 * 3600.0
"""Seconds between two sweeps where Penpot's list of unread threads holds all of them."""
SWEEP_READ = 3600.0
"""The same where somebody reads with the token's account, which hides threads from that list."""
BLIND = 600.0
"""Seconds between two notes that the team can't be looked at."""
SPELL = 3600.0
"""Seconds without a note that the team can't be looked at after which Relay may have been down, or
the team looked at: half of that, or more where looks are rare."""
MOST_COMMENTS = 100
"""So many comments of a thread are remembered as told until it is looked at, the newest."""


@dataclass(frozen=True, slots=True)
class Job:
    """Something to do for a team."""

    due: float
    """In seconds since 1970."""
    rank: float
    """Seconds by which others may come before it."""
    what: str
    """Names it: what fails rests by itself."""
    work: Callable[[], Awaitable[None]]
    calls: int = 1
    """About so many."""
    is_awaited: bool = False
    """Whether people wait for it: it comes before what nobody waits for."""


class TeamSync:
    """Does one job at a time, each of a few calls."""

    def __init__(
        self,
        config: Config,
        penpot: PenpotClient,
        directory: TeamDirectory,
        store: Store,
        metrics: Metrics,
        stored: Callable[[], None],
        team: str,
        clock: Callable[[], float],
    ) -> None:
        """``stored`` is called after events were kept."""
        self._config = config
        self._penpot = penpot
        self._directory = directory
        self._store = store
        self._clock = clock
        self._hooks = WebhookMonitor(config, penpot, store, metrics, clock)
        self._looks = CommentPoller(penpot, store, metrics, stored, team, clock)
        self._id = ""
        self._state: SyncState | None = None
        self._sweep: Sweep | None = None
        self._files: dict[str, ActiveFile] = {}
        self._changed: dict[str, ThreadRow] = {}
        self._awaited: set[str] = set()
        self._hidden: dict[str, None] = {}
        self._listed_at = 0.0
        self._hidden_at = 0.0
        self._hooks_at = 0.0
        self._look_at = 0.0
        self._sweep_at = 0.0
        self._rests: dict[str, Backoff] = {}
        self.name = team

    # What comes next

    def due(self) -> list[Job]:
        """The jobs that are due."""
        now = self._clock()
        return [job for job in map(self._rested, self._jobs()) if job.due <= now]

    def _rested(self, job: Job) -> Job:
        rest = self._rests.get(job.what)
        if rest is None:
            return job
        # Others may show that Penpot answers.
        return replace(job, due=max(job.due, rest.until), is_awaited=False)

    def _jobs(self) -> Iterator[Job]:
        if not self._id:
            at_work = bool(self._files)
            yield Job(self._hooks_at, 10.0, "hook", self._look_after_hook, SEARCHED, at_work)
            return
        yield Job(self._hooks_at, 10.0, "hook", self._look_after_hook)
        if self._changed:
            calls = min(len(self._changed), AT_ONCE)
            awaited = bool(self._awaited)
            yield Job(self._listed_at, 0.0, "comments", self._take, calls, awaited)
        else:
            yield Job(self._sweep_at, 60.0, "sweep", self._step)
        if self._state is None:
            return
        if self._hidden:
            yield Job(self._hidden_at, 5.0, "hidden", self._look_at_hidden)
        yield Job(self._look_at, 30.0, "team", self._look)
        for file in self._files.values():
            look = partial(self._look_at_file, file)
            yield Job(file.next_at, 0.0, f"file {file.file}", look, is_awaited=True)

    # What is heard of the team

    def heard(self, name: str, props: Mapping[str, Any], at: float) -> None:
        """An event of the team's was stored at that time."""
        now = self._clock()
        if name == "create-comment-thread" and (thread := uuid(props.get("id"))):
            told = self._looks.told_of(thread)
            told.begun = some(props, THREAD_KEYS)
            if comment := uuid(props.get("commentId")):
                more = {"id": comment, "threadId": thread}
                told.comments[comment] = some(props, COMMENT_KEYS) | more
        elif (
            name == "create-comment"
            and (thread := uuid(props.get("threadId")))
            and (comment := uuid(props.get("id")))
        ):
            told = self._looks.told_of(thread)
            told.comments[comment] = some(props, COMMENT_KEYS)
            if len(told.comments) > MOST_COMMENTS:
                del told.comments[next(iter(told.comments))]
        is_comment = name != "update-file"
        if file := uuid(props.get("fileId" if is_comment else "id")):
            active = self._files.setdefault(file, ActiveFile(file))
            active.heard(at, now, is_comment=is_comment)

    # The jobs

    async def _look_after_hook(self) -> None:
        if not self._id:
            found = await team_id(self._config, self._directory, self._store, self.name)
            if found is None:
                self._hooks_at = self._clock()  # as in _look_at_hidden
                return
            await self._begin(found)
        if self._id and await self._hooks.look(self.name, self._id):
            self._look_at = 0.0
        self._hooks_at = self._in(self._config.watch.hooks_every.total_seconds())

    async def _begin(self, id_: str) -> None:
        """It is known which of Penpot's teams this is, or that none is."""
        if not id_:
            await self._hooks.not_found(self.name)
            return
        known = await state.load(self._store, self.name)
        if known is not None and known.team_id == id_:
            if known.newest > self._clock():  # a clock that was ahead has told it
                known = known.not_after(self._clock())
                await state.keep(self._store, self.name, known)
            self._state = known
            # Who never reads has all comments in one list: a sweep only makes sure of that.
            self._sweep_at = known.since + (0.0 if known.is_read else SWEEP_EVERY)
        self._sweep_at = max(self._sweep_at, self._clock())  # who has waited long goes first
        self._id = id_  # last: a sweep without what was known would take all as seen

    async def _look(self) -> None:
        """The team as a whole, in one call."""
        assert self._state is not None  # noqa: S101 - it is no job before that
        try:
            looked = await self._looks.unread(self._id)
        except PenpotUnexpected as error:
            log.debug("team %s is swept, as its list can't be had: %s", self.name, error)
            self._sweep_at = min(self._sweep_at, self._clock())
            looked = [], set()
        if looked is None:
            await self._blind()
        else:
            changed, hidden = looked
            self._list(changed)
            self._hidden |= dict.fromkeys(sorted(hidden))
            if hidden and not self._state.is_read:
                log.debug(
                    "team %s: %d files have threads that are not listed", self.name, len(hidden)
                )
        self._look_at = self._in(self._config.watch.catch_up_every.total_seconds())

    async def _look_at_hidden(self) -> None:
        """A file with a known thread that was not listed: it is gone, or somebody has read it."""
        assert self._state is not None  # noqa: S101 - it is no job before that
        file = next(iter(self._hidden))
        self._hidden_at = self._clock()  # what people wait for comes before the next one
        self._hidden[file] = self._hidden.pop(file)  # where it fails another one may work
        look = await self._file(file)
        del self._hidden[file]
        if not self._state.is_read and any(not row.unread for row in look.rows):
            log.info(
                "team %s: somebody reads comments with the account of penpot.access_token, so that "
                "Relay has to ask more: an account of its own is better",
                self.name,
            )
            self._state = replace(self._state, is_read=True)
            await state.keep(self._store, self.name, self._state)
            self._sweep_at = min(self._sweep_at, self._clock())

    async def _look_at_file(self, active: ActiveFile) -> None:
        """A file in which somebody is at work."""
        now = self._clock()
        try:
            look = await self._file(active.file)
        except PenpotError:
            if not active.looked(self._clock()):
                self._files.pop(active.file, None)
            raise
        changed = {row.id for row in look.changed} - self._looks.aside.keys()
        self._awaited |= changed
        if changed or look.found:
            active.heard(now, now, is_comment=True)
        if not active.looked(self._clock()) or not look.is_there or not look.rows:
            self._files.pop(active.file, None)

    async def _file(self, file: str) -> FileLook:
        """A look at a file; nothing where its list can't be had."""
        try:
            look = await self._looks.file(file, self._id)
        except PenpotUnexpected as error:
            log.warning("team %s: a file's comments can't be listed: %s", self.name, error)
            return FileLook(False)
        self._list(look.changed)
        return look

    def _list(self, changed: Iterable[ThreadRow]) -> None:
        """Threads are to be taken; what was listed before is known anew."""
        if not self._changed:
            self._listed_at = self._clock()
        self._changed |= {row.id: row for row in changed}

    async def _take(self) -> None:
        """Some of the threads that have changed."""
        assert self._state is not None  # noqa: S101 - what a first sweep shows is not to be taken
        retention = self._config.store.retention.total_seconds()
        rows = sorted(self._changed.values(), key=lambda row: row.id not in self._awaited)
        taken = rows[:AT_ONCE]
        await self._looks.take(taken, self._state.cutoff(self._clock(), retention))
        for row in taken:
            del self._changed[row.id]
            self._awaited.discard(row.id)
        self._listed_at = self._clock()  # as in _look_at_hidden
        if self._looks.aside:
            await self._blind()

    async def _step(self) -> None:
        """One call of a sweep."""
        if self._sweep is None:
            first = self._state is None
            self._sweep = Sweep(self._penpot, self._looks, self._id, first, self._clock())
        try:
            self._list(await self._sweep.step())
        except NotThere:
            self._sweep = None
            self._sweep_at = self._in(self._config.watch.catch_up_every.total_seconds())
            await self._blind()
            return
        self._sweep_at = self._clock()  # as in _look_at_hidden
        if self._sweep.is_done:
            await self._swept(self._sweep)

    async def _swept(self, sweep: Sweep) -> None:
        """All that there was has been seen, or stands in ``_changed``, which was taken before."""
        marks = await self._store.seen.marks(self.name)
        if sweep.is_whole:
            await self._looks.forget({one.file for one in marks} - sweep.files)
        retention = self._config.store.retention.total_seconds()
        await self._store.seen.forget(self.name, self._clock() - 2 * retention)
        if self._state is not None and (self._looks.aside or not sweep.is_whole):
            self._state = replace(self._state, is_read=sweep.is_read)  # not all has been seen
        else:
            self._state = SyncState(self._id, sweep.begun_at, sweep.is_read)
        await state.keep(self._store, self.name, self._state)
        if sweep.is_first:
            log.info("team %s is watched: %d files", self.name, len(sweep.files))
        self._sweep = None
        self._sweep_at = self._in(SWEEP_READ if sweep.is_read else SWEEP_EVERY)

    async def _blind(self) -> None:
        """The team can't be looked at, while its hook may bring events."""
        if self._state is not None and self._clock() - self._state.blind_until > BLIND:
            spell = 2 * max(SPELL, self._config.watch.catch_up_every.total_seconds())
            self._state = self._state.blind(self._clock(), spell)
            await state.keep(self._store, self.name, self._state)

    async def failed(self, job: Job) -> bool:
        """A job failed, and rests; whether it did not fail before. Raises ``StoreUnavailable``."""
        rest = self._rests.setdefault(job.what, Backoff())
        rest.failed(self._clock())
        if job.what != "hook":
            await self._blind()
        return rest.failures == 1

    def worked(self, job: Job) -> None:
        """A job is done."""
        self._rests.pop(job.what, None)

    def _in(self, seconds: float) -> float:
        return self._clock() + spread(seconds)
