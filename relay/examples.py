"""The sample events with the names that they teach each other: for previews and checks."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from relay.penpot.events import Event, normalize
from relay.penpot.links import add_links
from relay.penpot.names import Fact, enrich
from relay.penpot.samples import ORDER, sample
from relay.penpot.samples import known as known_names


def examples() -> Iterator[Event]:
    """One event of each kind, enriched."""
    return (example(name) for name in ORDER)


def example(name: str) -> Event:
    """The sample of one kind, enriched. Raises ``KeyError`` where there is no such kind."""
    return enriched(normalize(json.loads(sample(name))))


def enriched(event: Event) -> Event:
    """Any event, with the names that the samples teach."""
    known = dict(known_names())
    while True:
        richer, missing = enrich(event, known, team_key="acme")
        if not missing:
            return richer
        known |= {key: Fact(*key) for key in missing}


def variables(penpot_url: str) -> list[Mapping[str, Any]]:
    """What templates get for each of the samples."""
    return [add_links(event, penpot_url).variables() for event in examples()]
