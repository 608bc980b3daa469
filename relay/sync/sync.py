"""One task that polls Penpot, for all teams, for what its webhooks leave out."""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from itertools import starmap

from relay.config.settings import Config
from relay.delivery.alerts import Alerts
from relay.delivery.backoff import pause
from relay.delivery.directory import TeamDirectory
from relay.metrics import Metrics
from relay.penpot.api import PenpotClient
from relay.penpot.client import CallBudget, CallPolicy, PenpotBusy, PenpotError, PenpotRefused
from relay.penpot.wire import decode_body
from relay.store.base import Store
from relay.store.records import LeaseLost, StoreUnavailable
from relay.store.sync_threads import SYNC_LEASE
from relay.sync.state import Backoff, SyncContext, forget_sync_state
from relay.sync.team import COMMENTED_TTL, Job, TeamSync

log = logging.getLogger(__name__)

MAX_CONCURRENT_TEAMS = 4
AWAITED_CALLS_RATIO = 3  # calls of awaited jobs per call of the job that waits longest
ACTIVITY_EVENTS = ("create-comment-thread", "create-comment", "update-file")
MAX_ACTIVITY_COUNT = 1000  # events read at once, the newest
ACTIVITY_OVERLAP_SECONDS = 60.0  # read again each time: the clocks of replicas differ
TURN_INTERVAL = 3.0  # seconds
MIN_BUDGET_DELAY = 1.0  # seconds to wait at least when the budget is spent
STORE_RETRY_DELAY = 5.0  # seconds; also between attempts to get the lease
REFUSED_RETRY_DELAY = 300.0  # seconds after Penpot refused the token


class PenpotSync:
    def __init__(
        self,
        config: Config,
        penpot: PenpotClient,
        directory: TeamDirectory,
        store: Store,
        metrics: Metrics,
        alerts: Alerts,
        stored: Callable[[], None],
        clock: Callable[[], float] = time.time,
    ) -> None:
        """``stored`` is called after events were stored; ``clock`` returns seconds since 1970."""
        self._store = store
        self._clock = clock
        self._budget = CallBudget(config.sync.calls_per_minute, clock)
        penpot = penpot.with_policy(CallPolicy(metrics.sync_call, budget=self._budget))
        self._backoff = Backoff()
        self._is_refused = False
        self._stop = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._context = SyncContext(config, penpot, store, metrics, stored, clock, alerts)
        self._directory = directory
        self._awaited_calls = 0  # since the last job that was chosen because it waited longest
        self._reset()

    def _reset(self) -> None:
        """Without what is in memory: it becomes stale while another replica runs the sync."""
        self._context.metrics.forget_webhooks()
        teams = self._context.config.teams
        self._teams = {team: TeamSync(self._context, self._directory, team) for team in teams}
        self._activity_until = 0.0
        self._activity_ids: set[int] = set()

    def poll_soon(self, team: str) -> None:
        """Comments of the team may have been missed."""
        self._teams[team].poll_soon()

    def stop(self) -> None:
        """Cancel ``run``. Unfinished jobs are repeated after the next start."""
        self._stop.set()
        if self._task is not None:
            self._task.cancel()

    async def run(self) -> None:
        self._task = asyncio.current_task()
        while not self._stop.is_set():
            await pause(await self.turn(), self._stop)

    async def turn(self) -> float:
        """Run the due jobs; the seconds to wait until the next turn."""
        try:
            if await self._store.acquire_lease(SYNC_LEASE):
                return await self._run_due_jobs()
            self._reset()
        except LeaseLost:
            log.warning("lease lost: another replica runs the sync")
            self._reset()
        except StoreUnavailable as error:
            log.warning("the sync waits for the store: %s", error)
        return STORE_RETRY_DELAY

    async def _read_activity(self) -> None:
        """Pass on the events that any replica stored since the last call."""
        now = self._clock()
        since = max(self._activity_until - ACTIVITY_OVERLAP_SECONDS, now - COMMENTED_TTL)
        events = await self._store.sync_threads.recent_events(
            ACTIVITY_EVENTS, since, MAX_ACTIVITY_COUNT
        )
        for event in events:
            team = self._teams.get(event.team)
            if event.id in self._activity_ids or team is None or event.state == "unreadable":
                continue
            body = await decode_body(event.body, event.content_type)
            props = body.get("props") if isinstance(body, Mapping) else None
            if isinstance(props, Mapping):
                team.notified(event.name, props, event.received_at)
        self._activity_ids = {event.id for event in events}
        self._activity_until = now

    async def _run_due_jobs(self) -> float:
        if self._clock() < self._activity_until - ACTIVITY_OVERLAP_SECONDS:
            log.warning("the clock was set back: starting the sync of all teams again")
            self._reset()
            self._backoff = Backoff()
        if not self._activity_until:
            await forget_sync_state(self._store, self._teams)
        await self._read_activity()
        end = self._clock() + TURN_INTERVAL
        while (now := self._clock()) < end and not self._stop.is_set():
            if self._backoff.until > now:
                return min(self._backoff.until - now, TURN_INTERVAL)
            if wait := self._budget.wait():
                return max(wait, MIN_BUDGET_DELAY)
            if not (jobs := self._next_jobs()):
                return TURN_INTERVAL
            results = await asyncio.gather(*starmap(self._run_job, jobs), return_exceptions=True)
            for error in results:
                if error is not None:
                    raise error
        return 0.0

    def _next_jobs(self) -> list[tuple[TeamSync, Job]]:
        """Due jobs, at most one of each team, together within the budget (the first one may exceed
        it). Awaited jobs come first, but a quarter of the calls is for what waits longest."""
        due = [(team, job) for team in self._teams.values() for job in team.due()]
        jobs: dict[TeamSync, Job] = {}
        left = self._budget.left()
        while due and len(jobs) < MAX_CONCURRENT_TEAMS:
            team, job = min(due, key=_age)
            if prefer_awaited := self._awaited_calls < AWAITED_CALLS_RATIO * job.calls:
                team, job = min(due, key=_urgency)
            if jobs and job.calls > left:
                break
            jobs[team] = job
            left -= job.calls
            self._awaited_calls = self._awaited_calls + job.calls if prefer_awaited else 0
            due = [candidate for candidate in due if candidate[0] is not team]
        return list(jobs.items())

    async def _run_job(self, team: TeamSync, job: Job) -> None:
        """A failure for one team does not delay the others, unless Penpot responds to nobody.

        Raises ``StoreUnavailable`` and ``LeaseLost``.
        """
        try:
            await job.run()
        except PenpotError as error:
            await self._failed(team, job, error)
        except (StoreUnavailable, LeaseLost):
            raise
        except Exception:  # a bug that one team triggers must not stop the others
            log.exception("team %s: sync job failed: %s", team.name, job.name)
            await team.failed(job)
        else:
            job.backoff.reset()
            self._backoff.reset()
            self._is_refused = False

    async def _failed(self, team: TeamSync, job: Job, error: PenpotError) -> None:
        now = self._clock()
        if await team.failed(job):
            log.warning("team %s: sync job failed, retrying later: %s", team.name, error)
        if isinstance(error, PenpotRefused):
            self._backoff.until = now + REFUSED_RETRY_DELAY
            if not self._is_refused:
                log.error("the sync pauses, Penpot refuses the calls: %s", error)
            self._is_refused = True
        elif isinstance(error, PenpotBusy):
            self._backoff.failures += 1
            if error.retry_after or self._backoff.failures > 1:  # not a problem of one team only
                self._backoff.failed(now, error.retry_after)


def _age(candidate: tuple[TeamSync, Job]) -> float:
    return candidate[1].due + candidate[1].rank


def _urgency(candidate: tuple[TeamSync, Job]) -> tuple[bool, float]:
    return not candidate[1].is_urgent, _age(candidate)
