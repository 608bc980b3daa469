"""The watch: one task that asks Penpot, for all teams, what its webhooks do not tell."""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from functools import partial
from itertools import starmap

from relay.config import Config
from relay.delivery.pace import pause
from relay.delivery.plan import read
from relay.metrics import Metrics
from relay.penpot.rpc import PenpotBusy, PenpotError, PenpotRefused
from relay.store.base import LeaseLost, Store, StoreUnavailable
from relay.store.seen import LEASE
from relay.sync import state
from relay.sync.activity import QUIET
from relay.sync.client import CountedPenpotClient
from relay.sync.pace import Backoff, CallBudget
from relay.sync.team import Job, TeamSync
from relay.sync.teams import TeamDirectory

log = logging.getLogger(__name__)

AT_ONCE = 4
"""Teams that are looked at side by side."""
PASS_BY = 3
"""So many calls pass by what waits longest before each of its own."""
HEARD = ("create-comment-thread", "create-comment", "update-file")
"""The events that tell where people are at work."""
MOST_HEARD = 1000
"""So many of them are heard of at once, the newest."""
OVERLAP = 60.0
"""Seconds by which what is heard begins before the end of what was heard before."""
TURN = 3.0
"""Seconds between two looks for something to do, at the most."""
BREATH = 1.0
"""Seconds to wait at the least when the budget is spent."""
STORE_PAUSE = 5.0
"""Seconds to wait when the store can't be used, or another replica watches."""
REFUSED_REST = 300.0
"""Seconds without a call after Penpot refused the token."""


class PenpotSync:
    """Looks after the hooks and the comments of all teams."""

    def __init__(
        self,
        config: Config,
        penpot: CountedPenpotClient,
        store: Store,
        metrics: Metrics,
        stored: Callable[[], None],
        clock: Callable[[], float] = time.time,
    ) -> None:
        """``penpot`` is closed with the watch; ``stored`` is called after events were kept;
        ``clock`` gives seconds since 1970."""
        self._store = store
        self._penpot = penpot
        self._clock = clock
        self._budget = CallBudget(config.watch.calls_per_minute, clock())
        self._rest = Backoff()
        self._refused = self._begun = False
        self._stop = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        penpot.spend = lambda: self._budget.spend(clock())
        directory = TeamDirectory(config, penpot, clock)
        self._team = partial(
            TeamSync, config, penpot, directory, store, metrics, stored, clock=clock
        )
        self._teams = {team: self._team(team) for team in config.teams}
        self._heard_until = 0.0
        self._heard: set[int] = set()
        self._passed_by = 0

    def stop(self) -> None:
        """End ``run`` now: what is under way is given up, and begun anew after the next start."""
        self._stop.set()
        if self._task is not None:
            self._task.cancel()

    async def run(self) -> None:
        """Watch, until ``stop``."""
        self._task = asyncio.current_task()
        try:
            while not self._stop.is_set():
                await pause(await self.turn(), self._stop)
        finally:
            await self._penpot.close()

    async def turn(self) -> float:
        """Do what is due; the seconds until there may be more."""
        try:
            if await self._store.lease(LEASE):
                return await self._work()
            self._forget()
        except LeaseLost:
            log.warning("another replica watches by now")
            self._forget()
        except StoreUnavailable as error:
            log.warning("the watch waits for the store: %s", error)
        return STORE_PAUSE

    def _forget(self) -> None:
        """Another replica watches: what is known here will be out of date."""
        self._teams = {team: self._team(team) for team in self._teams}
        self._heard_until = 0.0
        self._heard.clear()

    async def _hear(self) -> None:
        """See what was stored since the last look, by any replica. Their clocks differ a little."""
        now = self._clock()
        since = max(self._heard_until - OVERLAP, now - QUIET)
        events = await self._store.seen.recent(HEARD, since, MOST_HEARD)
        for event in events:
            team = self._teams.get(event.team)
            if event.id not in self._heard and team is not None and event.state != "unreadable":
                body = await read(event.body, event.content_type)
                props = body.get("props") if isinstance(body, Mapping) else None
                if isinstance(props, Mapping):
                    team.heard(event.name, props, event.received_at)
        self._heard = {event.id for event in events}
        self._heard_until = now

    async def _work(self) -> float:
        if self._clock() < self._heard_until - OVERLAP:
            log.warning("the clock was set back: all teams are looked at anew")
            self._forget()
            self._rest = Backoff()
        if not self._begun:
            await state.forget(self._store, self._teams)
            self._begun = True
        await self._hear()
        end = self._clock() + TURN
        while (now := self._clock()) < end and not self._stop.is_set():
            if self._rest.until > now:
                return min(self._rest.until - now, TURN)
            if wait := self._budget.wait(now):
                return max(wait, BREATH)
            if not (jobs := self._next(now)):
                return TURN
            done = await asyncio.gather(*starmap(self._do, jobs), return_exceptions=True)
            for outcome in done:
                if outcome is not None:
                    raise outcome
        return 0.0

    def _next(self, now: float) -> list[tuple[TeamSync, Job]]:
        """Some of what is due: one job of each team, and one job or no more calls than the budget
        has. What people wait for comes first, but what waits longest has a quarter of the calls."""
        due = [(team, job) for team in self._teams.values() for job in team.due()]
        jobs: dict[TeamSync, Job] = {}
        left = self._budget.left(now)
        while due and len(jobs) < AT_ONCE:
            team, job = min(due, key=lambda found: found[1].due + found[1].rank)
            if passes_by := self._passed_by < PASS_BY * job.calls:
                team, job = min(due, key=_urgency)
            if jobs and job.calls > left:
                break
            jobs[team] = job
            left -= job.calls
            self._passed_by = self._passed_by + job.calls if passes_by else 0
            due = [found for found in due if found[0] is not team]
        return list(jobs.items())

    async def _do(self, team: TeamSync, job: Job) -> None:
        """One job. What fails for one team holds up no other, unless Penpot answers nobody.

        Raises ``StoreUnavailable`` and ``LeaseLost``.
        """
        try:
            await job.work()
        except PenpotError as error:
            await self._failed(team, job, error)
        except (StoreUnavailable, LeaseLost):
            raise
        except Exception:  # one team's trouble is not that of the others
            log.exception("watching team %s", team.name)
            await team.failed(job)
        else:
            team.worked(job)
            self._works()

    async def _failed(self, team: TeamSync, job: Job, error: PenpotError) -> None:
        now = self._clock()
        if await team.failed(job):
            log.warning("team %s can't be watched for now: %s", team.name, error)
        if isinstance(error, PenpotRefused):
            self._rest.until = now + REFUSED_REST
            if not self._refused:
                log.error("the watch rests, as Penpot refuses to be asked: %s", error)
            self._refused = True
        elif isinstance(error, PenpotBusy):
            self._rest.failures += 1
            if error.after or self._rest.failures > 1:  # not one team's trouble alone
                self._rest.failed(now, error.after)

    def _works(self) -> None:
        self._rest.worked()
        self._refused = False


def _urgency(found: tuple[TeamSync, Job]) -> tuple[bool, float]:
    _, job = found
    return not job.is_awaited, job.due + job.rank
