"""The health of lanes: one that is broken is told of once, and once more when it works again."""

import logging
import time
import uuid
from collections.abc import Callable, Iterable
from datetime import UTC, datetime

from relay.channels.base import Failure
from relay.messages.escape import escape
from relay.messages.message import Message
from relay.metrics import Metrics
from relay.store.base import NewDelivery, Store

log = logging.getLogger(__name__)

PATIENCE = 900.0
"""Seconds of failures without a break after which a lane counts as broken whatever they are."""
BROKEN, MENDED = "lane-broken", "lane-mended"
"""The names of Relay's own events about it."""


class Health:
    """What is known of every lane, also across a restart: the store's notes keep it."""

    def __init__(
        self, store: Store, metrics: Metrics, alerts_to: Callable[[str], str | None]
    ) -> None:
        """``alerts_to`` tells the lane that is told of a lane's trouble, if there is one."""
        self._store = store
        self._metrics = metrics
        self._alerts_to = alerts_to
        self._broken: dict[str, str] = {}
        self._failing_since: dict[str, float] = {}
        self._told: dict[str, str] = {}

    async def failed(self, lane: str, failure: Failure) -> bool:
        """A try failed; whether the lane's state was known already, so that nobody need be told.

        Raises ``StoreUnavailable``.
        """
        now = time.monotonic()
        since = self._failing_since.setdefault(lane, now)
        if await self._why(lane):
            return True
        if failure.verdict == "broken" or now - since > PATIENCE:
            why = str(failure)
            log.error("lane %s has stopped, its messages wait: %s", lane, why)
            text = (
                f"Messages to **{escape(_name(lane))}** have stopped: {escape(failure.detail)} "
                f"({escape(failure.reason)}). They wait, and go out when this is mended."
            )
            await self._tell(lane, BROKEN, f"Messages to {_name(lane)} have stopped", text)
            await self._keep(lane, why)
        return False

    def answered(self, lane: str) -> None:
        """Its server has judged a message, though it did not take it."""
        self._failing_since.pop(lane, None)

    def look_again(self, lane: str) -> None:
        """Another replica may have served the lane meanwhile."""
        self._broken.pop(lane, None)
        self._failing_since.pop(lane, None)

    async def works(self, lane: str) -> None:
        """A message was taken. Raises ``StoreUnavailable``."""
        self._failing_since.pop(lane, None)
        if not await self._why(lane):
            return
        log.info("lane %s works again", lane)
        text = f"Messages to **{escape(_name(lane))}** go out again."
        await self._tell(lane, MENDED, f"Messages to {_name(lane)} go out again", text)
        await self._keep(lane, "")

    async def _why(self, lane: str) -> str:
        """Why the lane is broken; empty where it is not."""
        if lane not in self._broken:
            note = await self._store.note(_key(lane))
            self._broken[lane] = note.value if note else ""
            self._metrics.broken(lane, is_broken=bool(self._broken[lane]))
        return self._broken[lane]

    async def _keep(self, lane: str, why: str) -> None:
        await self._store.keep_note(_key(lane), why)
        self._told.pop(lane, None)
        self._broken[lane] = why
        self._metrics.broken(lane, is_broken=bool(why))

    async def _tell(self, lane: str, event: str, title: str, text: str) -> None:
        """Before it is kept that it was told: it may be told twice, but is never left untold."""
        other = self._alerts_to(lane)
        if other is None or other == lane or self._told.get(lane) == event:
            return
        team = lane.partition("/")[0]
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        message = Message(title, text, event=event, team=team, at=now)
        delivery = NewDelivery(other, uuid.uuid4().hex, message.dumps())
        await self._store.announce(team, event, [delivery], title)
        self._told[lane] = event


async def broken(store: Store, lanes: Iterable[str]) -> dict[str, tuple[float, str]]:
    """The lanes that are broken, with the time since when, in seconds since 1970, and why."""
    found = {}
    for lane in lanes:
        note = await store.note(_key(lane))
        if note is not None and note.value:
            found[lane] = note.at, note.value
    return found


def _key(lane: str) -> str:
    return f"lane/{lane}"


def _name(lane: str) -> str:
    return lane.partition("/")[2]
