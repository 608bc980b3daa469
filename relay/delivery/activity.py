"""Daily lines: what a channel's lines count, and their messages and edits.

A line is counted when its event is fanned out. What it counts is stored in the same transaction, so
that an event that is fanned out again is counted once.
"""

import time
import uuid
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Protocol
from zoneinfo import ZoneInfo

from relay.config.schedule import Hold
from relay.config.settings import AnyChannel, Config
from relay.delivery.holds import hold_back, released_at
from relay.delivery.renderer import EventRenderer
from relay.messages.message import Change, Message
from relay.penpot.activity import ActivityLine, day_of, end_of, line_id
from relay.penpot.events import Event
from relay.store.activity import LineKey
from relay.store.records import LineUpdate, NewDelivery


class LineStore(Protocol):
    async def counts(self, keys: Collection[LineKey]) -> Mapping[LineKey, str]: ...


class LinePlanner:
    """Counts events in the lines of their day, in the order of a team's events."""

    def __init__(self, config: Config, store: LineStore) -> None:
        self._config = config
        self._store = store
        self._pending: dict[str, dict[LineKey, ActivityLine]] = {}  # by team; not stored yet

    def reset(self, team: str | None) -> None:
        """Forget what plans of this team, or of all, have counted: they were not stored."""
        if team is None:
            self._pending.clear()
        else:
            self._pending.pop(team, None)

    async def updates(
        self,
        event: Event,
        team: str,
        received_at: float,
        channels: Sequence[AnyChannel],
        renderer: EventRenderer,
    ) -> list[LineUpdate]:
        """Of the lines of these channels that count an enriched and linked event. Its day is that
        on which Relay received it, in seconds since 1970. Call ``reset`` once they are stored, or
        can't be. Raises ``StoreUnavailable``."""
        if not channels:
            return []
        zones = [self._config.zones[f"{team}/{channel.name}"] for channel in channels]
        keys = [
            (f"{team}/{channel.name}", line_id(event, day_of(received_at, zone)))
            for channel, zone in zip(channels, zones, strict=True)
        ]
        known = await self._known(team, keys)
        pending = self._pending.setdefault(team, {})
        updates, renderers = [], dict[tuple[str, ZoneInfo, bool], EventRenderer]()
        for channel, zone, key in zip(channels, zones, keys, strict=True):
            line = pending[key] = known[key].with_event(event, received_at)
            variant = line.dumps(), zone, not channel.edits_lines
            if line.count == 1:
                renderers[variant] = renderer  # one event reads as it would without lines
            if variant not in renderers:
                activity = line.variables(zone, is_over=not channel.edits_lines)
                more = {"activity": activity, "emoji": line.emoji}
                renderers[variant] = renderer.with_event(line.event(event), more)
            message = replace(await renderers[variant].compose(channel), line=key[1])
            updates.append(self._update(key, line, message, channel, received_at))
        return updates

    async def _known(self, team: str, keys: Sequence[LineKey]) -> dict[LineKey, ActivityLine]:
        pending = self._pending.get(team, {})
        stored = await self._store.counts([key for key in keys if key not in pending])
        lines = {key: ActivityLine.loads(counts) for key, counts in stored.items()} | pending
        return {key: lines.get(key, ActivityLine()) for key in keys}

    def _update(
        self,
        key: LineKey,
        line: ActivityLine,
        message: Message,
        channel: AnyChannel,
        received_at: float,
    ) -> LineUpdate:
        queue, id_ = key
        is_edit = channel.edits_lines and line.count > 1
        text = message.dumps()
        sent = replace(message, change=Change()).dumps() if is_edit else text
        new = NewDelivery(queue, uuid.uuid4().hex, sent, thread=id_)
        hold = self._config.holds.get(queue)
        if not channel.edits_lines:
            zone = self._config.zones[queue]
            until = _end(end_of(day_of(received_at, zone), zone), hold)
            new = replace(new, held_until=until, held_with=id_)
        elif hold is not None:
            new = hold_back(new, hold, time.time())
        return LineUpdate(queue, id_, line.dumps(), text, new, is_edit)


def _end(day_end: float, hold: Hold | None) -> float:
    """When a line is sent: with the end of its day, or when the channel's hold is over then."""
    return day_end if hold is None else released_at(hold, day_end) or day_end
