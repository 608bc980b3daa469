"""The Prometheus metrics that ``/metrics`` exposes."""

from collections.abc import Callable, Collection, Iterator, Mapping
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

MAX_REASONS = 200
"""Distinct failure reasons with a label of their own; the others share ``other``."""


class _DeliveriesCollector(Collector):
    """``relay_queue_waiting`` and ``relay_queue_dead``, built per scrape: no gauge object for each
    of many idle queues."""

    def __init__(self) -> None:
        self.waiting: Mapping[str, int] = {}
        self.undecided: Mapping[str, int] = {}
        self.held: Mapping[str, int] = {}
        self.dead: Mapping[str, int] = {}
        self.queues: Collection[str] = ()

    def collect(self) -> Iterator[Metric]:
        waiting = GaugeMetricFamily(
            "relay_queue_waiting", "Deliveries that wait", labels=["queue", "state"]
        )
        dead = GaugeMetricFamily(
            "relay_queue_dead",
            "Dead letters of the last day that were neither resent nor dismissed",
            labels=["queue"],
        )
        for queue in self.queues:
            undecided = self.undecided.get(queue, 0)
            waiting.add_metric([queue, "waiting"], self.waiting.get(queue, 0) - undecided)
            waiting.add_metric([queue, "undecided"], undecided)
            waiting.add_metric([queue, "held"], self.held.get(queue, 0))
            dead.add_metric([queue], self.dead.get(queue, 0))
        yield from (waiting, dead)


class Metrics:
    """The metrics of one service. Label values come from the config, from ``event_names`` and from
    the channels' error tables; ``MAX_REASONS`` bounds the reasons that a foreign server makes up.

    The ``outcome`` of a call to Penpot is found, nothing, busy, refused or unexpected.
    """

    def __init__(self, event_names: Collection[str] = ()) -> None:
        """``event_names`` have a label of their own; other events share ``other``."""
        self._event_names = event_names
        self._reasons: set[str] = set()
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self._registry = CollectorRegistry()
        self.request = self._counter(
            "relay_requests", "Requests at the hook, by response status", "team", "status"
        )
        """``team`` is empty for a wrong team or secret."""
        self.connection_refused = self._counter(
            "relay_connections_refused",
            "Connections and requests that a listener's bounds refused",
            "listener",
            "reason",
        )
        self._event = self._counter(
            "relay_events", "Events, by the state that they reached", "team", "event", "state"
        )
        self._sent = self._counter("relay_deliveries_sent", "Deliveries that were sent", "queue")
        self._dead = self._counter(
            "relay_deliveries_dead", "Deliveries that became dead letters", "queue", "reason"
        )
        self._skipped = self._counter(
            "relay_deliveries_skipped", "Deliveries that were skipped", "queue", "reason"
        )
        self._failed = self._counter(
            "relay_send_failures", "Attempts that failed", "queue", "reason"
        )
        self._seconds = Histogram(
            "relay_send_seconds",
            "Time that a server took to accept a message",
            ["queue"],
            registry=self._registry,
        )
        self._deliveries = _DeliveriesCollector()
        self._registry.register(self._deliveries)
        self._stopped = self._gauge(
            "relay_queue_stopped", "1 while a queue waits for a person", "queue"
        )
        self.digest = self._counter("relay_digests", "Digests that were sent", "queue")
        self.template_problem = self._counter(
            "relay_template_problems", "Templates that failed and were replaced", "template"
        )
        self.lookup = self._counter(
            "relay_lookups", "Calls to Penpot that look up names", "method", "outcome"
        )
        self._webhooks = self._gauge(
            "relay_webhook_active", "1 while the team's webhook in Penpot is active", "team"
        )
        self.webhook_reactivated = self._counter(
            "relay_webhooks_reactivated",
            "Webhooks that Penpot had switched off and Relay switched on again",
            "team",
        )
        self._store_bytes = self._gauge("relay_store_bytes", "Bytes on disk of the store")
        self._free_bytes = self._gauge(
            "relay_store_free_bytes", "Bytes that are free on the disk of the store"
        )
        self._free_bytes.set(float("nan"))
        self._team_bytes = self._gauge(
            "relay_team_bytes", "Bytes of the team's events and messages in the store", "team"
        )
        self.sync_call = self._counter(
            "relay_sync_calls", "Calls to Penpot by the sync", "method", "outcome"
        )
        self.sync_event = self._counter(
            "relay_sync_events", "Events that the sync created", "team", "event"
        )
        """Also those that a webhook delivered at the same time."""

    def _counter(self, name: str, documentation: str, *labels: str) -> Callable[..., None]:
        """A function that adds 1, called with the values of the labels."""
        counter = cache(Counter(name, documentation, labels, registry=self._registry).labels)
        return lambda *values: counter(*values).inc()

    def _gauge(self, name: str, documentation: str, *labels: str) -> Gauge:
        return Gauge(name, documentation, labels, registry=self._registry)

    def event(self, team: str, name: str, state: str) -> None:
        self._event(team, name if name in self._event_names else "other", state)

    def sent(self, queue: str, seconds: float) -> None:
        self._sent(queue)
        self._seconds.labels(queue).observe(seconds)

    def failed(self, queue: str, reason: str) -> None:
        self._failed(queue, self._reason_label(reason))

    def dead(self, queue: str, reason: str) -> None:
        self._dead(queue, self._reason_label(reason))

    def skipped(self, queue: str, reason: str) -> None:
        self._skipped(queue, self._reason_label(reason))

    def stopped(self, queue: str, *, is_stopped: bool) -> None:
        self._stopped.labels(queue).set(is_stopped)

    def _reason_label(self, reason: str) -> str:
        if len(self._reasons) < MAX_REASONS:
            self._reasons.add(reason)
        return reason if reason in self._reasons else "other"

    def webhook(self, team: str, *, is_active: bool) -> None:
        self._webhooks.labels(team).set(is_active)

    def forget_webhooks(self) -> None:
        """Export none of them: another replica checks them now."""
        self._webhooks.clear()

    def set_store_size(self, used: int, free: int | None, teams: Mapping[str, int]) -> None:
        """Bytes; ``free`` None where it is not known; ``teams`` by their keys."""
        self._store_bytes.set(used)
        if free is not None:
            self._free_bytes.set(free)
        for team, size in teams.items():
            self._team_bytes.labels(team).set(size)

    def set_deliveries(
        self,
        waiting: Mapping[str, int],
        undecided: Mapping[str, int],
        held: Mapping[str, int],
        dead: Mapping[str, int],
        queues: Collection[str],
    ) -> None:
        """Set how many deliveries wait, of these are undecided, are held and are dead: by queue, 0
        for the rest of ``queues``."""
        counts = self._deliveries
        counts.waiting, counts.undecided, counts.held = waiting, undecided, held
        counts.dead, counts.queues = dead, queues

    def text(self) -> bytes:
        """The metrics in Prometheus' text format 0.0.4."""
        return generate_latest(self._registry)
