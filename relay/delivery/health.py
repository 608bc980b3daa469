"""The health of queues: one that is broken is told of once, and once more when it works again."""

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
"""Seconds of failures without a break after which a queue counts as broken whatever they are."""
BROKEN, MENDED = "queue-broken", "queue-mended"
"""The names of Relay's own events about it."""


class QueueHealth:
    """What is known of every queue, also across a restart: the store's notes keep it."""

    def __init__(
        self, store: Store, metrics: Metrics, alerts_to: Callable[[str], str | None]
    ) -> None:
        """``alerts_to`` tells the queue that is told of a queue's trouble, if there is one."""
        self._store = store
        self._metrics = metrics
        self._alerts_to = alerts_to
        self._broken: dict[str, str] = {}
        self._failing_since: dict[str, float] = {}
        self._told: dict[str, str] = {}

    async def failed(self, queue: str, failure: Failure) -> bool:
        """A try failed; whether the queue's state was known already, so that nobody need be told.

        Raises ``StoreUnavailable``.
        """
        now = time.monotonic()
        since = self._failing_since.setdefault(queue, now)
        if await self._why(queue):
            return True
        if failure.verdict == "broken" or now - since > PATIENCE:
            why = str(failure)
            log.error("queue %s has stopped, its messages wait: %s", queue, why)
            text = (
                f"Messages to **{escape(_name(queue))}** have stopped: {escape(failure.detail)} "
                f"({escape(failure.reason)}). They wait, and go out when this is mended."
            )
            await self._tell(queue, BROKEN, f"Messages to {_name(queue)} have stopped", text)
            await self._keep(queue, why)
        return False

    def answered(self, queue: str) -> None:
        """Its server has judged a message, though it did not take it."""
        self._failing_since.pop(queue, None)

    def look_again(self, queue: str) -> None:
        """Another replica may have served the queue meanwhile."""
        self._broken.pop(queue, None)
        self._failing_since.pop(queue, None)

    async def works(self, queue: str) -> None:
        """A message was taken. Raises ``StoreUnavailable``."""
        self._failing_since.pop(queue, None)
        if not await self._why(queue):
            return
        log.info("queue %s works again", queue)
        text = f"Messages to **{escape(_name(queue))}** go out again."
        await self._tell(queue, MENDED, f"Messages to {_name(queue)} go out again", text)
        await self._keep(queue, "")

    async def _why(self, queue: str) -> str:
        """Why the queue is broken; empty where it is not."""
        if queue not in self._broken:
            note = await self._store.note(_key(queue))
            self._broken[queue] = note.value if note else ""
            self._metrics.broken(queue, is_broken=bool(self._broken[queue]))
        return self._broken[queue]

    async def _keep(self, queue: str, why: str) -> None:
        await self._store.keep_note(_key(queue), why)
        self._told.pop(queue, None)
        self._broken[queue] = why
        self._metrics.broken(queue, is_broken=bool(why))

    async def _tell(self, queue: str, event: str, title: str, text: str) -> None:
        """Before it is kept that it was told: it may be told twice, but is never left untold."""
        other = self._alerts_to(queue)
        if other is None or other == queue or self._told.get(queue) == event:
            return
        team = queue.partition("/")[0]
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        message = Message(title, text, event=event, team=team, at=now)
        delivery = NewDelivery(other, uuid.uuid4().hex, message.dumps())
        await self._store.announce(team, event, [delivery], title)
        self._told[queue] = event


async def broken(store: Store, queues: Iterable[str]) -> dict[str, tuple[float, str]]:
    """The queues that are broken, with the time since when, in seconds since 1970, and why."""
    found = {}
    for queue in queues:
        note = await store.note(_key(queue))
        if note is not None and note.value:
            found[queue] = note.at, note.value
    return found


def _key(queue: str) -> str:
    return f"queue/{queue}"


def _name(queue: str) -> str:
    return queue.partition("/")[2]
