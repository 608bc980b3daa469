"""Alerts: notices that report a problem to a team, each in one of its channels.

An alert goes to the team's first channel that does not fail itself: ``alerts_to``, then those that
are not direct. If that one refuses it or stops, it moves on to the next. An alert never causes an
alert; where no channel works, log, ``relay doctor`` and metrics report the problem.
"""

import uuid
from collections.abc import Collection, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from relay.delivery.notices import NoticeRenderer
from relay.messages.locale import DEFAULT_LOCALE, Locale
from relay.store.base import Store
from relay.store.records import NewDelivery, ValueChange


class Alerts:
    """All methods raise ``StoreUnavailable``."""

    def __init__(
        self,
        queues: Mapping[str, Sequence[str]],
        store: Store,
        notices: NoticeRenderer,
        without_emoji: Collection[str] = (),
        locales: Mapping[str, Locale] = MappingProxyType({}),
    ) -> None:
        """``queues``: by team those that may get its alerts, the preferred one first.
        ``without_emoji``: the queues whose messages have none. ``locales``: by queue."""
        self._queues = queues
        self._store = store
        self._notices = notices
        self._without_emoji = without_emoji
        self._locales = locales

    async def send(
        self, team: str, name: str, mark: ValueChange | None = None, *, but: str = "", **values: Any
    ) -> bool:
        """Send the notice with this name to a queue of the team other than ``but``; False where
        none works. With ``mark`` it is sent only together with this change of a value."""
        queues = [queue for queue in self._queues.get(team, ()) if queue != but]
        target = await self._first_working(queues)
        if target is None:
            return False
        if target in self._without_emoji:
            values["emoji"] = ""
        locale = self._locales.get(target, DEFAULT_LOCALE)
        message = await self._notices.render(name, team, locale, **values)
        delivery = NewDelivery(target, uuid.uuid4().hex, message.dumps())
        title = await self._notices.title(name, team, **values)
        await self._store.announce(team, name, [delivery], title, mark)
        return True

    async def move_on(self, queue: str) -> None:
        """Move the waiting alerts of a queue that fails to the next one. Raises ``LeaseLost``."""
        if target := await self.next_queue(queue):
            alerts = await self._store.problems.waiting_alerts(queue)
            await self._store.problems.move(alerts, queue, target)

    async def next_queue(self, queue: str) -> str | None:
        """The queue of the team to which alerts go that ``queue`` does not send: a later one, so
        that none comes back; None where none works."""
        queues = self._queues.get(queue.partition("/")[0], ())
        later = queues[queues.index(queue) + 1 :] if queue in queues else queues
        return await self._first_working(later)

    async def _first_working(self, queues: Iterable[str]) -> str | None:
        for queue in queues:
            stored = await self._store.get_value(stop_key(queue))
            is_stopped = stored is not None and stored.value
            if not is_stopped and not await self._store.problems.is_failing(queue):
                return queue
        return None


def stop_key(queue: str) -> str:
    """The key of the value that says why a queue is stopped."""
    return f"queue/{queue}"
