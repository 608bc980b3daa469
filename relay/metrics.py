"""The numbers that Prometheus reads at ``/metrics``."""

from collections.abc import Collection, Iterator, Mapping
from functools import cache

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from relay.penpot.events import CATALOGUE

REASONS = 200
"""Different reasons of failures that get a label of their own."""


class _Waiting(Collector):
    """``relay_waiting``, made when it is asked for: thousands of idle queues are no objects."""

    def __init__(self) -> None:
        self.counted: Mapping[str, int] = {}
        self.queues: Collection[str] = ()

    def collect(self) -> Iterator[Metric]:
        """See ``Collector``."""
        family = GaugeMetricFamily("relay_waiting", "Messages that wait", labels=["queue"])
        for queue in self.queues:
            family.add_metric([queue], self.counted.get(queue, 0))
        yield family


class Metrics:
    """One service's counters. Labels hold names of the config, of the catalogue and of the
    channels' error tables; a server that makes up reasons is cut off at ``REASONS``."""

    def __init__(self) -> None:
        self._reasons: set[str] = set()
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self._registry = registry = CollectorRegistry()
        requests = Counter(
            "relay_requests", "Answers at the hook", ["team", "status"], registry=registry
        )
        self._answers = cache(requests.labels)
        self._events = Counter(
            "relay_events",
            "Events by what became of them",
            ["team", "event", "state"],
            registry=registry,
        )
        self._sent = Counter(
            "relay_sent", "Messages taken by a server", ["queue"], registry=registry
        )
        self._dead = Counter(
            "relay_dead", "Messages set aside for good", ["queue", "reason"], registry=registry
        )
        self._failures = Counter(
            "relay_send_failures", "Tries that failed", ["queue", "reason"], registry=registry
        )
        self._seconds = Histogram(
            "relay_send_seconds",
            "Time that a server took for a message",
            ["queue"],
            registry=registry,
        )
        self._waiting = _Waiting()
        registry.register(self._waiting)
        self._broken = Gauge(
            "relay_queue_broken", "1 while a queue has stopped", ["queue"], registry=registry
        )
        self._digests = Counter(
            "relay_digests", "Messages that put several together", ["queue"], registry=registry
        )
        self._templates = Counter(
            "relay_template_problems",
            "Templates that failed and were stood in for",
            ["template"],
            registry=registry,
        )
        self._lookups = Counter(
            "relay_lookups",
            "Calls to Penpot for names, by what they came to",
            ["method", "outcome"],
            registry=registry,
        )
        self._hooks = Gauge(
            "relay_hook_active",
            "1 while Penpot's webhook for the team is on",
            ["team"],
            registry=registry,
        )
        self._switched_on = Counter(
            "relay_hook_switched_on",
            "Webhooks that Penpot had switched off, and Relay on again",
            ["team"],
            registry=registry,
        )
        self._watched = Counter(
            "relay_watch_calls",
            "Calls to Penpot of the watch, by what they came to",
            ["method", "outcome"],
            registry=registry,
        )
        self._found = Counter(
            "relay_watch_found",
            "Events that the watch found",
            ["team", "event"],
            registry=registry,
        )

    def answered(self, team: str, status: int) -> None:
        """The hook answered; ``team`` is empty where none was named rightly."""
        self._answers(team, status).inc()

    def event(self, team: str, name: str, state: str) -> None:
        """An event got its state."""
        self._events.labels(team, name if name in CATALOGUE else "other", state).inc()

    def sent(self, queue: str, seconds: float) -> None:
        """A message was taken."""
        self._sent.labels(queue).inc()
        self._seconds.labels(queue).observe(seconds)

    def failed(self, queue: str, reason: str) -> None:
        """A try failed."""
        self._failures.labels(queue, self._known(reason)).inc()

    def dead(self, queue: str, reason: str) -> None:
        """A message was set aside."""
        self._dead.labels(queue, self._known(reason)).inc()

    def broken(self, queue: str, *, is_broken: bool) -> None:
        """A queue has stopped, or works."""
        self._broken.labels(queue).set(is_broken)

    def digest(self, queue: str) -> None:
        """Several messages were taken as one."""
        self._digests.labels(queue).inc()

    def _known(self, reason: str) -> str:
        if len(self._reasons) < REASONS:
            self._reasons.add(reason)
        return reason if reason in self._reasons else "other"

    def template_problem(self, template: str) -> None:
        """A template failed."""
        self._templates.labels(template).inc()

    def lookup(self, method: str, outcome: str) -> None:
        """A call to Penpot ended: found, nothing, busy, refused or unexpected."""
        self._lookups.labels(method, outcome).inc()

    def watched(self, method: str, outcome: str) -> None:
        """A call of the watch ended: found, nothing, busy, refused or unexpected."""
        self._watched.labels(method, outcome).inc()

    def found(self, team: str, event: str) -> None:
        """The watch found an event, also one that a webhook brought at the same time."""
        self._found.labels(team, event).inc()

    def hook(self, team: str, *, is_active: bool) -> None:
        """A team's webhook was looked at."""
        self._hooks.labels(team).set(is_active)

    def hook_switched_on(self, team: str) -> None:
        """A team's webhook was off, and is on again."""
        self._switched_on.labels(team).inc()

    def backlog(self, waiting: Mapping[str, int], queues: Collection[str]) -> None:
        """How many messages wait in each of the queues."""
        self._waiting.counted, self._waiting.queues = waiting, queues

    def text(self) -> bytes:
        """All of it in Prometheus' text format."""
        return generate_latest(self._registry)
