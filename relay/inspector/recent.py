"""Events that came, for showing a template with one of them."""

import re
from collections.abc import Sequence

from relay.store.base import Store, StoredEvent
from relay.store.reading import Filters, Row

OFFERED = 20


async def of_kind(store: Store, name: str, team: str | None) -> Sequence[Row]:
    """The newest events of that name, of one team or of all."""
    return (await store.reading.events(team, Filters(kind=name), limit=OFFERED)).rows


async def one(store: Store, team: str | None, event_id: str) -> StoredEvent | None:
    """The event of that id, whole; None where there is none, or not of that team."""
    if not re.fullmatch(r"\d{1,18}", event_id):
        return None
    whole = await store.reading.event(team, int(event_id))
    return whole.event if whole else None
