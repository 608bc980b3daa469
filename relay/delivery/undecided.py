"""Undecided deliveries: those that a filter of their channel can accept only by a name that Penpot
could not say.

They are waiting at the head of their queue, so that order holds, and Penpot is asked again with
backoff. Nothing else can make a name known later: after ``MAX_UNDECIDED_SECONDS`` they are skipped.
"""

import logging
import time
from collections.abc import Callable, Iterable
from typing import NamedTuple, Protocol

from relay.config.schedule import Hold
from relay.config.settings import AnyChannel, Config
from relay.delivery.alerts import Alerts
from relay.delivery.backoff import retry_delay
from relay.delivery.changes import renderer_of
from relay.delivery.decisions import (
    PLACE_KEYS,
    Decision,
    ThreadHome,
    decide,
    describe_undecided,
    has_place_filter,
)
from relay.delivery.fact_cache import FactCache
from relay.delivery.holds import HeldMessages
from relay.delivery.notices import report_problems
from relay.delivery.pipeline import EventPreparer, PreparedEvent
from relay.messages.message import Message
from relay.messages.templates import Templates
from relay.metrics import Metrics
from relay.store.base import Store
from relay.store.records import Delivery, LeaseLost, StoredEvent, StoreUnavailable, ValueChange

log = logging.getLogger(__name__)

MAX_UNDECIDED_SECONDS = 900.0  # since the event
ALERT_INTERVAL = 3600.0  # seconds between two alerts about a queue
SKIPPED = "messages-skipped"  # name of Relay's own event
_OLD_NAME_EVENTS = frozenset({"rename-file", "update-font"})
"""Their old name was known before the event, and is in the message only."""
_IN, _OUT = "in", "out"


class Judgement(NamedTuple):
    decision: Decision
    message: str = ""  # of an accepted delivery, with the names that are known now


class JudgesDeliveries(Protocol):
    async def judge(
        self, delivery: Delivery, stored: StoredEvent, *, is_last: bool
    ) -> Judgement: ...


class Judge:
    """Decides about undecided deliveries by what is known and what Penpot says now. Raises
    ``StoreUnavailable``."""

    def __init__(
        self,
        config: Config,
        facts: FactCache,
        templates: Templates,
        metrics: Metrics,
        preparer: EventPreparer,
        store: Store,
    ) -> None:
        self._config = config
        self._facts = facts
        self._templates = templates
        self._metrics = metrics
        self._preparer = preparer
        self._store = store

    async def judge(self, delivery: Delivery, stored: StoredEvent, *, is_last: bool) -> Judgement:
        """With ``is_last`` what is still undecided stays out, and its thread as well."""
        channel = self._config.queues()[delivery.queue]
        prepared = await self._preparer.take(stored)
        home = await self._home(delivery, stored.team, channel, prepared, is_last=is_last)
        decision = decide(
            prepared.linked,
            channel,
            home,
            is_unanswered=prepared.is_unanswered,
            keys=delivery.undecided.split(),
        )
        if decision.skipped is not None or decision.undecided:
            return Judgement(decision)
        return Judgement(decision, await self._message(delivery, stored.team, channel, prepared))

    async def _home(
        self,
        delivery: Delivery,
        team: str,
        channel: AnyChannel,
        prepared: PreparedEvent,
        *,
        is_last: bool,
    ) -> ThreadHome | None:
        """The home of the event's thread. What the queue decides about it is stored before it is
        carried out, so that any replica decides the same about all of the thread."""
        event, name = prepared.linked, channel.name
        if not event.thread.id or not has_place_filter(channel):
            return None
        home = ThreadHome.of(event, await self._facts.get(team, ("thread", event.thread.id)))
        if not set(PLACE_KEYS) & set(delivery.undecided.split()):
            return home
        key = f"home/{delivery.queue}/{event.thread.id}"
        stored = await self._store.get_value(key)
        if stored is None:
            home = home.reopened(channel, is_unanswered=prepared.is_unanswered)
            is_undecided = name in home.undecided
            if is_undecided and not is_last:
                return home
            await self._store.put_new_value(key, _IN if name in home.channels else _OUT)
            stored = await self._store.get_value(key)
            if is_undecided and (stored is None or stored.value == _OUT):
                return home
        return home.settled(name, is_in=stored is not None and stored.value == _IN)

    async def _message(
        self, delivery: Delivery, team: str, channel: AnyChannel, prepared: PreparedEvent
    ) -> str:
        """The delivery's message, rendered again."""
        event = prepared.linked
        if event.name in _OLD_NAME_EVENTS:
            return delivery.message
        picture = prepared.event.file.thumbnail
        renderer = renderer_of(self._templates, event, team, self._config, picture)
        messages = [each.message for each in await renderer.messages(channel)]
        report_problems(renderer.problems, self._metrics)
        role = _role(delivery.message)
        return next((each for each in messages if _role(each) == role), delivery.message)


def _role(text: str) -> tuple[str, bool]:
    """What differs between the messages of one event in a channel."""
    message = Message.loads(text)
    return message.to.id if message.to else "", message.change is None


class UndecidedHead:
    """The undecided delivery at the head of one queue. Raises ``StoreUnavailable``,
    ``LeaseLost``."""

    def __init__(
        self,
        queue: str,
        hold: Hold | None,
        judge: JudgesDeliveries | None,
        store: Store,
        metrics: Metrics,
        alerts: Alerts,
        changed: Callable[[Iterable[int]], None],
    ) -> None:
        """``judge`` None: there are no filters."""
        self._queue = queue
        self._held = HeldMessages(queue, hold, store)
        self._judge = judge
        self._store = store
        self._metrics = metrics
        self._alerts = alerts
        self._changed = changed
        self._delivery_id, self._since, self._attempts = 0, 0.0, 0

    async def settle(self, delivery: Delivery) -> float:
        """Accept or skip the delivery, and return 0; while Penpot cannot say the names: the seconds
        after which to call this again."""
        if delivery.id != self._delivery_id:
            self._delivery_id, self._since, self._attempts = delivery.id, time.monotonic(), 0
        stored = await self._store.event(delivery.event_id)
        if stored is None:  # pruned, together with the delivery
            return retry_delay(1)
        left = self._seconds_left(stored)
        decision, message = await self._judged(delivery, stored, is_last=left <= 0)
        if decision.undecided and left > 0:
            return self._wait(delivery, decision, left)
        self._delivery_id = 0
        if decision.undecided:
            await self._give_up(delivery, describe_undecided(decision.undecided))
        elif decision.skipped is not None:
            await self._skip(delivery, decision.skipped, "filter")
        else:
            await self._accept(delivery, message)
        self._changed([delivery.event_id])
        return 0.0

    def _seconds_left(self, stored: StoredEvent) -> float:
        """Since the event, or since the first look where the clock was set back. Somebody can send
        again what is skipped because the clock was set forward."""
        ages = time.time() - stored.received_at, time.monotonic() - self._since
        return MAX_UNDECIDED_SECONDS - max(ages)

    async def _judged(self, delivery: Delivery, stored: StoredEvent, *, is_last: bool) -> Judgement:
        if self._judge is None:
            return Judgement(Decision(None), delivery.message)
        try:
            return await self._judge.judge(delivery, stored, is_last=is_last)
        except (StoreUnavailable, LeaseLost):
            raise
        except Exception:  # a bug must not cost the message at once
            log.exception("queue %s: delivery %d", self._queue, delivery.id)
            return Judgement(Decision(None, undecided=delivery.undecided))

    def _wait(self, delivery: Delivery, decision: Decision, left: float) -> float:
        self._attempts += 1
        wait = min(retry_delay(self._attempts), left)
        text = "queue %s: delivery %d is waiting: %s, next look in %.0f s"
        why = describe_undecided(decision.undecided)
        log.log(
            logging.INFO if self._attempts == 1 else logging.DEBUG,
            text,
            self._queue,
            delivery.id,
            why,
            wait,
        )
        return wait

    async def _accept(self, delivery: Delivery, text: str) -> None:
        """It is sent next, unless it has to be held, or held messages of its thread go before."""
        message = Message.loads(text)
        if message.change is None:
            if await self._held.hold_back(delivery, message):
                return
            await self._held.release_before(message)
        await self._store.accept_undecided(delivery.id, text)

    async def _give_up(self, delivery: Delivery, undecided: str) -> None:
        minutes = MAX_UNDECIDED_SECONDS / 60
        reason = f"{undecided}: Penpot did not answer for {minutes:.0f} minutes"
        log.warning("queue %s: delivery %d is skipped: %s", self._queue, delivery.id, reason)
        await self._skip(delivery, reason, "undecided")
        key = f"undecided/{self._queue}"
        last, now = await self._store.get_value(key), time.time()
        if last is None or not 0 <= now - last.at < ALERT_INTERVAL:
            team, _, name = self._queue.partition("/")
            mark = ValueChange(key, last.value if last else "", repr(now))
            problem = {"detail": undecided, "reason": "undecided"}
            await self._alerts.send(team, SKIPPED, mark, queue={"name": name}, problem=problem)

    async def _skip(self, delivery: Delivery, reason: str, label: str) -> None:
        await self._store.mark_skipped(delivery.id, reason)
        self._metrics.skipped(self._queue, label)
