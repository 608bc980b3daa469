"""The health of a queue: one alert when a queue stops, one when it runs again."""

import logging
import time
import uuid
from collections.abc import Iterable
from typing import Any

from relay.channels.base import DeliveryError, Misconfigured
from relay.delivery.notices import NoticeRenderer
from relay.metrics import Metrics
from relay.store.base import Store
from relay.store.records import NewDelivery

log = logging.getLogger(__name__)

STOP_TIMEOUT = 900.0  # seconds of failures, of whatever kind, after which a queue counts as stopped
STOPPED, RUNNING = "queue-stopped", "queue-running"  # names of Relay's own events


class QueueHealth:
    """The state of a queue, kept in the store across restarts."""

    def __init__(
        self,
        queue: str,
        alerts_to: str | None,
        store: Store,
        metrics: Metrics,
        notices: NoticeRenderer,
    ) -> None:
        """``alerts_to`` is the queue that gets the alerts about this one, if any."""
        self._queue = queue
        self._alerts_to = alerts_to if alerts_to != queue else None
        self._store = store
        self._metrics = metrics
        self._notices = notices
        self._stopped: str | None = None  # the reason, empty for a running queue; None: not read
        self._failing_since: float | None = None
        self._alerted = ""

    async def failed(self, error: DeliveryError) -> bool:
        """Record a failed attempt; True where the queue was stopped already.

        Raises ``StoreUnavailable``.
        """
        now = time.monotonic()
        if self._failing_since is None:
            self._failing_since = now
        if await self._reason():
            return True
        if isinstance(error, Misconfigured) or now - self._failing_since > STOP_TIMEOUT:
            log.error("queue %s has stopped, its messages wait: %s", self._queue, error)
            await self._alert(STOPPED, problem={"detail": error.detail, "reason": error.reason})
            await self._set_reason(str(error))
        return False

    def answered(self) -> None:
        """The server refused a single message, so it is reachable."""
        self._failing_since = None

    def forget(self) -> None:
        """Drop the cached state: another replica may have served the queue meanwhile."""
        self._stopped = self._failing_since = None

    async def succeeded(self) -> None:
        """Record a sent message. Raises ``StoreUnavailable``."""
        self._failing_since = None
        if await self._reason():
            log.info("queue %s runs again", self._queue)
            await self._alert(RUNNING)
            await self._set_reason("")

    async def _reason(self) -> str:
        """Why the queue is stopped; empty where it is not."""
        if self._stopped is None:
            stored = await self._store.get_value(_key(self._queue))
            self._set_stopped(stored.value if stored else "")
        return self._stopped or ""

    async def _set_reason(self, reason: str) -> None:
        await self._store.put_value(_key(self._queue), reason)
        self._alerted = ""
        self._set_stopped(reason)

    def _set_stopped(self, reason: str) -> None:
        self._stopped = reason
        self._metrics.stopped(self._queue, is_stopped=bool(reason))

    async def _alert(self, event: str, **values: Any) -> None:
        """Called before the state is stored: a crash may repeat an alert, but never lose one."""
        if self._alerts_to is None or self._alerted == event:
            return
        team, _, name = self._queue.partition("/")
        message = await self._notices.render(event, team, queue={"name": name}, **values)
        delivery = NewDelivery(self._alerts_to, uuid.uuid4().hex, message.dumps())
        await self._store.announce(team, event, [delivery], message.title)
        self._alerted = event


async def stopped_queues(store: Store, queues: Iterable[str]) -> dict[str, tuple[float, str]]:
    """The stopped queues with the time since when, in seconds since 1970, and the reason."""
    stopped = {}
    for queue in queues:
        stored = await store.get_value(_key(queue))
        if stored is not None and stored.value:
            stopped[queue] = stored.at, stored.value
    return stopped


def _key(queue: str) -> str:
    return f"queue/{queue}"
