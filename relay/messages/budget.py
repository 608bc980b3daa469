"""Budgets: how much of the sandbox's time each team may use."""

import time
from collections.abc import Callable
from dataclasses import dataclass

TEAM_SECONDS = 5.0  # of the sandbox's processor time, for one team in a period
PERIOD_SECONDS = 60.0  # seconds
SHORT_JOB_SECONDS = 0.02  # of processor time: nobody notices that such a job runs first
SLOW_RATIO = 0.06
"""Of the budget. A team whose longer jobs exceed that time by more, in all, runs in the process for
slow teams. One with many short jobs would wait there for the long ones of others."""
SLOW_TTL = 600.0  # seconds after which it may run in the other one again


@dataclass(slots=True)
class _Use:
    since: float
    seconds: float = 0.0
    excess: float = 0.0  # seconds, of jobs that were not short
    is_reported: bool = False
    slow_until: float = 0.0


class SandboxBudget:
    """The time that each team has used in its current period. Its methods may be called in any
    thread."""

    def __init__(
        self, team_seconds: float = TEAM_SECONDS, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.team_seconds = team_seconds
        self._clock = clock
        self._uses: dict[str, _Use] = {}  # by team, of which the config has a limited number

    def spend(self, team: str, seconds: float) -> None:
        """``seconds``: of one job."""
        use = self._use(team)
        use.seconds += seconds
        use.excess += max(0.0, seconds - SHORT_JOB_SECONDS)
        if use.excess > SLOW_RATIO * self.team_seconds:
            use.slow_until = self._clock() + SLOW_TTL

    def is_slow(self, team: str) -> bool:
        return self._clock() < self._use(team).slow_until

    def is_spent(self, team: str) -> bool:
        return self._use(team).seconds >= self.team_seconds

    def report(self, team: str) -> bool:
        """Whether this is the first call in the team's period."""
        use = self._use(team)
        is_first, use.is_reported = not use.is_reported, True
        return is_first

    def _use(self, team: str) -> _Use:
        now = self._clock()
        use = self._uses.setdefault(team, _Use(now))
        if now - use.since >= PERIOD_SECONDS:
            use.since, use.seconds, use.excess, use.is_reported = now, 0.0, 0.0, False
        return use
