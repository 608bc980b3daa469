"""One team under watch: what is to be done for it, and when."""

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from relay.config import Config
from relay.penpot.api import Penpot
from relay.store.base import Store
from relay.watch.hooks import Hooks
from relay.watch.pace import Rest, spread
from relay.watch.teams import team_id

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Job:
    """Something to do for a team. ``due`` is in seconds since 1970; ``rank`` says by how many
    seconds others may come before it, as what people wait for comes first."""

    due: float
    rank: float
    work: Callable[[], Awaitable[None]]


class TeamWatch:
    """Does one job at a time."""

    def __init__(
        self,
        config: Config,
        penpot: Penpot,
        store: Store,
        hooks: Hooks,
        team: str,
        clock: Callable[[], float],
    ) -> None:
        self._config = config
        self._penpot = penpot
        self._store = store
        self._hooks = hooks
        self._clock = clock
        self._hooks_at = 0.0
        self._id = ""
        self.name = team
        self.rest = Rest()

    def next(self) -> Job:
        """What comes next."""
        return Job(max(self._hooks_at, self.rest.until), 10.0, self._look_after_hook)

    async def _look_after_hook(self) -> None:
        if await self._find():
            await self._hooks.look(self.name, self._id)
        self._hooks_at = self._clock() + spread(self._config.watch.hooks_every.total_seconds())

    async def _find(self) -> bool:
        """Whether it is known which of Penpot's teams this is."""
        if not self._id:
            self._id = await team_id(self._config, self._penpot, self._store, self.name)
            if not self._id:
                await self._hooks.not_found(self.name)
        return bool(self._id)
