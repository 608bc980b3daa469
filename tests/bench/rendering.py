"""Processor time of the fan-out of one event, by how many of its channels share a rendering."""

import time
from collections.abc import Collection, Mapping

from relay.channels import override_formats
from relay.config.settings import Config
from relay.delivery.fact_cache import FactCache
from relay.delivery.pipeline import EventSource, PreparedEvent, examples
from relay.delivery.routing import Planner
from relay.messages.templates import Templates
from relay.metrics import Metrics
from relay.penpot.catalogue import CATALOGUE
from relay.penpot.samples import SampleFacts
from relay.store.activity import LineKey
from relay.store.records import StoredEvent
from tests.bench.common import say

_LANGUAGES = ("en", "es", "de", "fr")
_ZONES = ("UTC", "Europe/Madrid", "America/Sao_Paulo", "Asia/Tokyo")
_EVENTS = 300


def _config(locales: list[tuple[str, str]]) -> Config:
    channels = [
        {
            "name": f"c{number}",
            "type": "slack",
            "token": "xoxb-bench",
            "channel": f"C{number:010}",
            "language": language,
            "timezone": zone,
        }
        for number, (language, zone) in enumerate(locales)
    ]
    return Config.model_validate({"teams": {"acme": {"secret": "x" * 24, "channels": channels}}})


class _NoLines:
    """No daily line has counted anything."""

    async def counts(self, keys: Collection[LineKey]) -> Mapping[LineKey, str]:
        return {}


async def _milliseconds(config: Config, templates: Templates) -> float:
    """Of processor time for one event: its messages, ready for the store."""
    source, facts = EventSource.of(config, "acme"), FactCache(SampleFacts())
    (event,) = await examples(["create-comment"], source)
    prepared = PreparedEvent(event, event)
    stored = StoredEvent(1, "acme", "application/json", b"{}", event.name, "stored", "", 0.0)
    planner = Planner(config, facts, _NoLines(), templates, Metrics(CATALOGUE))
    await planner.plan(stored, prepared)
    started = time.process_time()
    for _ in range(_EVENTS):
        plan = await planner.plan(stored, prepared)
        assert len(plan.deliveries) == len(config.teams["acme"].channels)
    return (time.process_time() - started) / _EVENTS * 1000


async def rendering() -> None:
    """A reply to a comment, to 1 channel, to 16 that share language and zone, and to 16 that do
    not; three times in turn."""
    shared, differing = [("es", "Europe/Madrid")], [(a, b) for a in _LANGUAGES for b in _ZONES]
    for _ in range(3):
        templates = Templates(None, override_formats())
        figures = {
            name: round(await _milliseconds(_config(locales), templates), 2)
            for name, locales in (
                ("one_ms", shared),
                ("sixteen_shared_ms", shared * 16),
                ("sixteen_differing_ms", differing),
            )
        }
        say("rendering", **figures)
