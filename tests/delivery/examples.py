"""The sample events, enriched and without links."""

import asyncio
import json
from collections.abc import Mapping
from typing import Any

from relay.delivery.fact_cache import FactCache
from relay.delivery.pipeline import EventSource, examples, prepare
from relay.penpot.events import Event
from relay.penpot.samples import SAMPLE_NAMES, SampleFacts

SOURCE = EventSource("acme", "acme")
EXAMPLES = {event.name: event for event in asyncio.run(examples(SAMPLE_NAMES, SOURCE))}


def example(name: str) -> Event:
    return EXAMPLES[name]


def enriched(values: Mapping[str, Any]) -> Event:
    """The event of a body, with the names in the samples."""
    body, facts = json.dumps(values).encode(), FactCache(SampleFacts())
    return asyncio.run(prepare(body, "application/json", SOURCE, facts)).linked
