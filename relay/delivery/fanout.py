"""Fan-out: stored events, in their order, into one message for each channel that takes them."""

import asyncio
import logging
import uuid
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from relay.config import Config
from relay.delivery.lanes import Lanes
from relay.delivery.memory import Memory
from relay.delivery.pace import pause
from relay.messages.rendering import Problem
from relay.messages.templates import Rendered, Templates
from relay.metrics import Metrics
from relay.penpot.events import Event, NotAnEvent, normalize
from relay.penpot.links import add_links
from relay.penpot.wire import UnreadableBody, decode
from relay.store.base import FannedOut, NewDelivery, Store, StoredEvent, StoreUnavailable

log = logging.getLogger(__name__)

BATCH = 64
"""Events that are written in one transaction, at the most."""
LARGE_BODY = 64 * 1024
"""Bytes from which a body is decoded beside the event loop."""
BREATH = 0.02
"""Seconds between two events while intake is crowded."""
STORE_PAUSE = 1.0
"""Seconds to wait when the store can't be read or written."""


def render(config: Config, templates: Templates, event: Event, team: str, kind: str) -> Rendered:
    """The message about ``event`` for one kind of channel, with links into Penpot."""
    linked = add_links(event, config.penpot.url)
    return templates.render(event.name, linked.variables(), team=team, channel_kind=kind)


async def read(body: bytes, content_type: str) -> Any:
    """The plain values in a body; large ones are decoded in a thread.

    Raises ``UnreadableBody``.
    """
    if len(body) < LARGE_BODY:
        return decode(body, content_type)
    return await asyncio.to_thread(decode, body, content_type)


class FanOut:
    """One task that turns stored events into deliveries."""

    def __init__(
        self,
        config: Config,
        store: Store,
        templates: Templates,
        lanes: Lanes,
        metrics: Metrics,
        stand_back: Callable[[], bool],
    ) -> None:
        """While ``stand_back`` says so, the fan-out goes on only now and then: what is stored can
        wait, Penpot can't."""
        self._config = config
        self._stand_back = stand_back
        self._store = store
        self._templates = templates
        self._lanes = lanes
        self._metrics = metrics
        self._memory = Memory(store)
        self._batch: list[FannedOut] = []
        self._woken = asyncio.Event()
        self._stop = asyncio.Event()

    def wake(self) -> None:
        """An event was stored."""
        self._woken.set()

    def stop(self) -> None:
        """End ``run`` soon; events that wait stay in the store."""
        self._stop.set()
        self._woken.set()

    async def run(self) -> None:
        """Fan out what is stored and what comes, until ``stop``."""
        while not self._stop.is_set():
            self._woken.clear()
            try:
                if not await self._fan_out():
                    await self._woken.wait()
            except StoreUnavailable as error:
                log.warning("fan-out waits for the store: %s", error)
                self._memory.forget()
                await pause(STORE_PAUSE, self._stop)

    async def _fan_out(self) -> bool:
        """One batch; False when nothing was stored."""
        self._batch = batch = list[FannedOut]()
        for stored in await self._store.stored(BATCH):
            batch.append(await self._plan(stored))
            await asyncio.sleep(BREATH if self._stand_back() else 0)
        if not batch:
            return False
        await self._store.fanned_out(batch)
        for plan in batch:
            self._lanes.wake(delivery.lane for delivery in plan.deliveries)
        return True

    async def _plan(self, stored: StoredEvent) -> FannedOut:
        try:
            plan = await self._plan_readable(stored)
        except (UnreadableBody, NotAnEvent) as error:
            plan = FannedOut(stored.id, stored.team, "unreadable", str(error))
        except StoreUnavailable:
            raise
        except Exception as error:  # one event must not hold up those behind it
            log.exception("event %d", stored.id)
            plan = FannedOut(stored.id, stored.team, "unreadable", f"bug: {type(error).__name__}")
        self._metrics.event(stored.team, stored.name, plan.state)
        log.info(
            "event %d of %s, %s: %s%s",
            stored.id,
            stored.team,
            stored.name,
            plan.state,
            f" ({plan.reason})" if plan.reason else "",
        )
        return plan

    async def _begun(self, thread: str) -> set[str]:
        """The lanes in which a message of a thread stands already, or is on its way."""
        if not thread:
            return set()
        lanes = await self._store.threads(thread)
        return lanes | {
            delivery.lane
            for plan in self._batch
            for delivery in plan.deliveries
            if delivery.thread == thread
        }

    def _render(self, event: Event, team: str, kind: str, begun: bool) -> Rendered:
        if begun and kind != "email":  # a mail is read by itself, also in a thread
            event = replace(event, thread=replace(event.thread, begun=True))
        return render(self._config, self._templates, event, team, kind)

    async def _plan_readable(self, stored: StoredEvent) -> FannedOut:
        event = normalize(await read(stored.body, stored.content_type))
        settings = self._config.teams.get(stored.team)
        if settings is None:
            return FannedOut(stored.id, stored.team, "ignored", "its team is not in the config")
        enriched = await self._memory.enriched(
            event, stored.team, self._config.team_name(stored.team), settings.team_id
        )
        facts = await self._memory.learned(event, stored.team)
        begun = await self._begun(event.thread.id)
        messages: dict[tuple[str, bool], str] = {}
        problems: set[Problem] = set()
        deliveries = []
        passed = []
        for channel in settings.channels:
            if not channel.selection.takes(event.name, event.group):
                entry = channel.selection.deciding(event.name, event.group)
                passed.append(f"{channel.name} by {entry}" if entry else channel.name)
                continue
            lane = f"{stored.team}/{channel.name}"
            kind = channel.type, lane in begun
            if kind not in messages:
                rendered = self._render(enriched, stored.team, *kind)
                messages[kind] = rendered.message.dumps()
                problems.update(rendered.problems)
            thread = event.thread.id if channel.in_threads else ""
            deliveries.append(NewDelivery(lane, uuid.uuid4().hex, messages[kind], thread))
        for problem in problems:
            log.error("template %s", problem)
            self._metrics.template_problem(problem.file)
        state = "fanned-out" if deliveries else "ignored"
        reason = f"not chosen: {', '.join(passed)}" if passed else ""
        if not settings.channels:
            reason = "the team has no channels"
        return FannedOut(stored.id, stored.team, state, reason, deliveries, facts)
