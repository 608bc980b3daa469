"""The health of a queue: one alert when a queue stops, one when it runs again."""

import logging
import time
from collections.abc import Iterable

from relay.channels.base import DeliveryError, Gone, Misconfigured
from relay.delivery.alerts import Alerts, stop_key
from relay.delivery.dead import parsed_error
from relay.metrics import Metrics
from relay.store.base import Store
from relay.store.problems import AttemptTimes
from relay.store.records import Delivery, ValueChange, suspension_key

log = logging.getLogger(__name__)

STOP_TIMEOUT = 900.0  # seconds of failures, of whatever kind, after which a queue counts as stopped
SUSPENSION_POLL_INTERVAL = 5.0  # seconds after which a suspended queue sees that it is resumed
STOPPED, RUNNING = "queue-stopped", "queue-running"  # names of Relay's own events


class QueueHealth:
    """The state of a queue, kept in the store across restarts. What it writes raises
    ``StoreUnavailable``."""

    def __init__(
        self, queue: str, alerts: Alerts, store: Store, metrics: Metrics, fingerprint: str = ""
    ) -> None:
        """``fingerprint``: that of the channel's settings."""
        self._queue = queue
        self._fingerprint = fingerprint
        self._alerts = alerts
        self._store = store
        self._metrics = metrics
        self._stopped: str | None = None  # the reason, empty for a running queue; None: not read
        self._alerted: str | None = None  # the last alert; None: not read
        self._failing_since: float | None = None
        self._suspended: bool | None = None  # None: not read

    @property
    def is_stopped(self) -> bool:
        return bool(self._stopped)

    @property
    def seconds_to_stop(self) -> float:
        """Until a queue that fails counts as stopped."""
        if self._failing_since is None or self._stopped:
            return STOP_TIMEOUT
        return max(self._failing_since + STOP_TIMEOUT - time.monotonic(), 0.0)

    async def failed(self, delivery: Delivery, error: DeliveryError) -> None:
        """Record a failed attempt, whose result is stored. Raises ``LeaseLost``."""
        self._failing_since = self._failing_since or time.monotonic()
        if isinstance(error, Gone):
            await self._store.put_value(suspension_key(self._queue), self._fingerprint)
            self._suspended = True
        await self._stop_if_due(delivery, error)

    async def is_suspended(self) -> bool:
        """Whether the server wanted no further messages from a channel with these settings, and
        nobody has resumed the queue since."""
        if self._suspended is not False:
            stored = await self._store.get_value(suspension_key(self._queue))
            self._suspended = stored is not None and stored.value == self._fingerprint
            if self._suspended:
                await self._reason()  # the metric shows a stopped queue also after a restart
            elif stored is not None and stored.value:  # settings that come back are a change, too
                await resume(self._store, self._queue)
        return self._suspended

    async def waits(self, delivery: Delivery) -> None:
        """The queue waits for the next attempt at this delivery, maybe for hours, because its
        server asked for it."""
        is_due = self._failing_since is not None and not self.seconds_to_stop
        await self._reason()  # the metric shows a stopped queue also after a restart
        if is_due:
            await self._stop_if_due(delivery, parsed_error(delivery.error))

    def resumes(self, times: AttemptTimes | None) -> None:
        """Another process has made attempts at the queue's first delivery; all of them failed."""
        if times is not None and self._failing_since is None:
            self._failing_since = time.monotonic() - max(time.time() - times.first, 0.0)

    def answered(self) -> None:
        """The server refused a single message, so it is reachable."""
        self._failing_since = None

    def forget(self) -> None:
        """Drop the cached state: another replica may have served the queue meanwhile."""
        self._stopped = self._alerted = self._failing_since = self._suspended = None

    async def succeeded(self) -> None:
        """Record a sent message."""
        self._failing_since = None
        if await self._reason():
            log.info("queue %s runs again", self._queue)
            await self._set_reason("")
        if await self._last_alert() == STOPPED:
            await self._alert(RUNNING)

    async def _stop_if_due(self, delivery: Delivery, error: DeliveryError) -> None:
        was_stopped = bool(await self._reason())
        if not was_stopped:
            if not isinstance(error, Misconfigured) and self.seconds_to_stop:
                return
            log.error("queue %s has stopped, its messages wait: %s", self._queue, error)
        is_alert = await self._store.problems.is_alert(delivery.event_id)
        if is_alert or not was_stopped:
            await self._alerts.move_on(self._queue)
        if not was_stopped:
            await self._set_reason(str(error))
        if not is_alert and await self._last_alert() != STOPPED:
            problem = {"detail": error.detail, "reason": error.reason}
            await self._alert(STOPPED, problem=problem)

    async def _reason(self) -> str:
        """Why the queue is stopped; empty where it is not."""
        if self._stopped is None:
            stored = await self._store.get_value(stop_key(self._queue))
            self._set_stopped(stored.value if stored else "")
        return self._stopped or ""

    async def _set_reason(self, reason: str) -> None:
        await self._store.put_value(stop_key(self._queue), reason)
        self._set_stopped(reason)

    def _set_stopped(self, reason: str) -> None:
        self._stopped = reason
        self._metrics.stopped(self._queue, is_stopped=bool(reason))

    async def _last_alert(self) -> str:
        if self._alerted is None:
            stored = await self._store.get_value(_alert_key(self._queue))
            self._alerted = stored.value if stored else ""
        return self._alerted

    async def _alert(self, event: str, **values: object) -> None:
        """Where no channel works, ``STOPPED`` is sent later, with the next failure. ``RUNNING`` is
        sent only after it, and then not repeated."""
        team, _, name = self._queue.partition("/")
        mark = ValueChange(_alert_key(self._queue), await self._last_alert(), event)
        queue = {"name": name}
        if await self._alerts.send(team, event, mark, but=self._queue, queue=queue, **values):
            self._alerted = event
        elif event == RUNNING:
            await self._store.put_value(mark.key, event)
            self._alerted = event


async def stopped_queues(store: Store, queues: Iterable[str]) -> dict[str, tuple[float, str]]:
    """The stopped queues with the time since when, in seconds since 1970, and the reason."""
    stopped = {}
    for queue in queues:
        stored = await store.get_value(stop_key(queue))
        if stored is not None and stored.value:
            stopped[queue] = stored.at, stored.value
    return stopped


async def suspended_queues(store: Store, queues: Iterable[str]) -> set[str]:
    """Those that a person can resume."""
    values = {queue: await store.get_value(suspension_key(queue)) for queue in queues}
    return {queue for queue, stored in values.items() if stored is not None and stored.value}


async def resume(store: Store, queue: str) -> None:
    """Let a suspended queue try again."""
    await store.put_value(suspension_key(queue), "")


def _alert_key(queue: str) -> str:
    return f"alert/{queue}"
