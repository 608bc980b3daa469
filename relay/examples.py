"""The sample events, enriched with facts of each other, for previews and checks."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from relay.penpot.events import Event, normalize
from relay.penpot.links import add_links
from relay.penpot.names import Fact, enrich
from relay.penpot.samples import SAMPLE_NAMES, sample, sample_facts


def examples() -> Iterator[Event]:
    return (example(name) for name in SAMPLE_NAMES)


def example(name: str) -> Event:
    """The sample event of a kind. Raises ``KeyError`` if there is no such kind."""
    return enriched(normalize(json.loads(sample(name))))


def enriched(event: Event) -> Event:
    """Any event, with the names in the samples."""
    known = dict(sample_facts())
    while True:
        richer, missing = enrich(event, known, team_key="acme")
        if not missing:
            return richer
        known |= {key: Fact(*key) for key in missing}


def variables(penpot_url: str) -> list[Mapping[str, Any]]:
    """Template variables of each sample."""
    return [add_links(event, penpot_url).variables() for event in examples()]
