"""Each team's share of the store, and alerts before the disk is full.

A flood at one hook is stored like any other events, since Penpot never repeats one. Only a team
that has used up its share is refused.
"""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable, Iterable

from relay.config.settings import Config
from relay.delivery.alerts import Alerts
from relay.delivery.backoff import pause
from relay.metrics import Metrics
from relay.store.base import Store
from relay.store.records import NewEvent, StoreUnavailable
from relay.store.usage import event_bytes

log = logging.getLogger(__name__)

DEFAULT_SHARE_RATIO = 0.25  # of what the disk has for the store at the start
MEASURE_INTERVAL = 10.0  # seconds; longer where measuring takes more than ``MAX_MEASURE_RATIO``
MAX_MEASURE_RATIO = 0.02  # of the time
MIN_FREE_BYTES = 1024**3  # less is reported, or less than a tenth of a small disk
NOTICE_INTERVAL = 3600.0  # seconds; at most one notice per team and reason in it
DISK_FULL = "disk-full"  # the event name of the notice


class Quota:
    """Between two measurements only the bodies that arrive here are counted, also equal ones, which
    are stored once."""

    def __init__(
        self,
        config: Config,
        store: Store,
        metrics: Metrics,
        alerts: Alerts,
        poll_comments: Callable[[str], None] = lambda _: None,
    ) -> None:
        """``poll_comments`` is called for a team whose comments may have been missed."""
        self._config = config
        self._store = store
        self._metrics = metrics
        self._alerts = alerts
        self._poll_comments = poll_comments
        teams = config.teams.items()
        self._channels = {name: len(team.channels) for name, team in teams}
        self._limits = {name: int(team.max_disk) for name, team in teams if team.max_disk}
        self._measured: dict[str, int] = {}
        self._arrived: Counter[str] = Counter()
        self._refused: set[str] = set()
        self._stop = asyncio.Event()

    def is_used_up(self, team: str) -> bool:
        """Whether the team's events are refused. Costs no query."""
        used = self._measured.get(team, 0) + self._arrived[team]
        if team not in self._limits or used < self._limits[team]:
            return False
        self._refused.add(team)
        return True

    def add(self, event: NewEvent) -> None:
        """It was stored."""
        channels = 0 if event.state == "unreadable" else self._channels[event.team]
        self._arrived[event.team] += event_bytes(len(event.body), channels)

    def stop(self) -> None:
        self._stop.set()

    async def run(self) -> None:
        while not self._stop.is_set():
            started = time.monotonic()
            try:
                await self._measure()
            except StoreUnavailable as error:
                log.warning("the size of the store can't be measured: %s", error)
            took = time.monotonic() - started
            await pause(max(MEASURE_INTERVAL, took / MAX_MEASURE_RATIO), self._stop)

    async def _measure(self) -> None:
        """Raises ``StoreUnavailable``."""
        space = await self._store.disk_space()
        if space.free is not None and space.total is not None:
            # what the store uses is part of the share, which would otherwise shrink with each start
            share = int((space.free + space.used) * DEFAULT_SHARE_RATIO)
            self._limits = dict.fromkeys(self._config.teams, share) | self._limits
            await self._report_free(space.free, space.total)
        counted = self._arrived.copy()
        measured = await self._store.usage.by_team(self._channels)
        self._arrived -= counted  # what arrived meanwhile may be counted twice until the next time
        self._measured = measured
        sizes = {team: measured.get(team, 0) for team in self._config.teams}
        self._metrics.set_store_size(space.used, space.free, sizes)
        await self._report_refused()

    async def _report_free(self, free: int, total: int) -> None:
        if free < min(MIN_FREE_BYTES, total // 10):
            size, teams = _in_megabytes(free), self._config.teams
            text = f"the disk of the store is almost full, {size} are free: free some of it, or set"
            informed = [team for team in teams if teams[team].alerts_to] or teams
            await self._report(
                "disk/free", f"{text} a shorter store.retention", informed, "disk", size
            )

    async def _report_refused(self) -> None:
        for team in sorted(self._refused):
            is_used_up = self.is_used_up(team)
            size = _in_megabytes(self._limits[team])
            text = f"team {team}: events are refused, its share of {size} is used up: set a larger"
            key = f"disk/share/{team}"
            is_new = await self._report(key, f"{text} max_disk", [team], "share", size)
            if not is_used_up:
                self._refused.discard(team)
                log.warning("team %s: its events are accepted again", team)
            if is_new or not is_used_up:
                self._poll_comments(team)

    async def _report(
        self, key: str, text: str, teams: Iterable[str], reason: str, size: str
    ) -> bool:
        """False if the same was reported a short time ago, before a restart or by another replica
        too. After an error of the store it is reported with the next measurement."""
        last = await self._store.get_value(key)
        if last is not None and 0 <= time.time() - last.at < NOTICE_INTERVAL:
            return False
        log.error("%s", text)
        for team in teams:
            problem = {"reason": reason, "detail": size}
            await self._alerts.send(team, DISK_FULL, problem=problem)
        await self._store.put_value(key, "")
        return True


def _in_megabytes(size: int) -> str:
    return f"{size / 1e6:,.0f} MB"
