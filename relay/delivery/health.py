"""The health of queues: one alert when a queue stops, one when it runs again."""

import logging
import time
import uuid
from collections.abc import Callable, Iterable
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
    """The state of every queue, kept in the store across restarts."""

    def __init__(
        self,
        store: Store,
        metrics: Metrics,
        alerts_to: Callable[[str], str | None],
        notices: NoticeRenderer,
    ) -> None:
        """``alerts_to`` returns the queue that gets the alerts about a queue, if any."""
        self._store = store
        self._metrics = metrics
        self._alerts_to = alerts_to
        self._notices = notices
        self._stopped: dict[str, str] = {}
        self._failing_since: dict[str, float] = {}
        self._alerted: dict[str, str] = {}

    async def failed(self, queue: str, error: DeliveryError) -> bool:
        """Record a failed attempt; True where the queue was stopped already.

        Raises ``StoreUnavailable``.
        """
        now = time.monotonic()
        since = self._failing_since.setdefault(queue, now)
        if await self._reason(queue):
            return True
        if isinstance(error, Misconfigured) or now - since > STOP_TIMEOUT:
            log.error("queue %s has stopped, its messages wait: %s", queue, error)
            problem = {"detail": error.detail, "reason": error.reason}
            await self._alert(queue, STOPPED, problem=problem)
            await self._set_reason(queue, str(error))
        return False

    def answered(self, queue: str) -> None:
        """The server refused a single message, so it is reachable."""
        self._failing_since.pop(queue, None)

    def forget(self, queue: str) -> None:
        """Drop the cached state: another replica may have served the queue meanwhile."""
        self._stopped.pop(queue, None)
        self._failing_since.pop(queue, None)

    async def succeeded(self, queue: str) -> None:
        """Record a sent message. Raises ``StoreUnavailable``."""
        self._failing_since.pop(queue, None)
        if not await self._reason(queue):
            return
        log.info("queue %s runs again", queue)
        await self._alert(queue, RUNNING)
        await self._set_reason(queue, "")

    async def _reason(self, queue: str) -> str:
        """Why the queue is stopped; empty where it is not."""
        if queue not in self._stopped:
            stored = await self._store.get_value(_key(queue))
            self._stopped[queue] = stored.value if stored else ""
            self._metrics.stopped(queue, is_stopped=bool(self._stopped[queue]))
        return self._stopped[queue]

    async def _set_reason(self, queue: str, reason: str) -> None:
        await self._store.put_value(_key(queue), reason)
        self._alerted.pop(queue, None)
        self._stopped[queue] = reason
        self._metrics.stopped(queue, is_stopped=bool(reason))

    async def _alert(self, queue: str, event: str, **values: Any) -> None:
        """Called before the state is stored: a crash may repeat an alert, but never lose one."""
        receiver = self._alerts_to(queue)
        if receiver is None or receiver == queue or self._alerted.get(queue) == event:
            return
        team, _, name = queue.partition("/")
        message = await self._notices.render(event, team, queue={"name": name}, **values)
        delivery = NewDelivery(receiver, uuid.uuid4().hex, message.dumps())
        await self._store.announce(team, event, [delivery], message.title)
        self._alerted[queue] = event


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
