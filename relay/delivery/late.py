"""Late deliveries: an old event for a channel that did not get it, such as a new one."""

import uuid
from contextlib import closing

from relay.channels import override_formats
from relay.config.settings import AnyChannel, Config
from relay.delivery.changes import renderer_of
from relay.delivery.fact_cache import FactCache
from relay.delivery.pipeline import EventSource, prepare
from relay.errors import RelayError
from relay.messages.templates import Templates
from relay.penpot.events import NotAnEvent
from relay.penpot.wire import UnreadableBody
from relay.store.base import Store
from relay.store.queries import EventDetails
from relay.store.records import NewDelivery, StoredEvent


class NotDeliverable(RelayError):
    """The event has no message for the channel, or has one already."""


async def deliver_late(
    store: Store, config: Config, details: EventDetails, channel: AnyChannel
) -> list[int]:
    """Queue the event for a channel of its team, whatever the channel's lists say and without its
    quiet hours: a person asks for it. Its names are those that the store knows. Returns the ids of
    the deliveries.

    Raises ``NotDeliverable``, ``StoreUnavailable``.
    """
    event = details.event
    queue = f"{event.team}/{channel.name}"
    if own := [str(each.id) for each in details.deliveries if each.queue == queue]:
        text = f"event {event.id} has deliveries to {queue}, which `relay resend` sends again"
        raise NotDeliverable(f"{text}: {' '.join(own)}")
    if event.state not in ("fanned-out", "ignored") or not event.body:
        raise NotDeliverable(f"event {event.id} has no message for {queue}: {_reason(event)}")
    try:
        source = EventSource.of(config, event.team)
        facts = FactCache(store)
        prepared = await prepare(event.body, event.content_type, source, facts)
    except (UnreadableBody, NotAnEvent) as error:
        raise NotDeliverable(f"event {event.id}: {error}") from error
    with closing(Templates(config.templates.path, override_formats())) as templates:
        renderer = renderer_of(templates, prepared.linked, event.team, config)
        messages = [] if renderer.skips(channel) else await renderer.messages(channel)
    if not messages:
        why = renderer.skips(channel) or "nobody to write to"
        raise NotDeliverable(f"event {event.id} has no message for {queue}: {why}")
    new = [NewDelivery(queue, uuid.uuid4().hex, *message) for message in messages]
    return await store.add_deliveries(event, new)


def _reason(event: StoredEvent) -> str:
    reasons = {"stored": "it is not fanned out yet", "unreadable": "it is unreadable"}
    return reasons.get(event.state, "it is Relay's own")
