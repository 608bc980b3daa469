"""A stage after the first scan."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from relay.sync.state import load_state
from tests.penpot.standin import StandIn
from tests.sync.stage import Stage, stage

MINUTE, HOUR, DAY = 60.0, 3600.0, 86400.0
NEXT_POLL = 17 * MINUTE


@asynccontextmanager
async def synced(penpot: StandIn, folder: Path, **more: Any) -> AsyncIterator[Stage]:
    """A stage after the first scan."""
    async with stage(penpot, folder, **more) as on:
        on.hook()
        await on.pass_time(MINUTE)
        assert await load_state(on.store, "acme") is not None
        on.clock.now += HOUR
        yield on
