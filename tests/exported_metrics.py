"""What ``/metrics`` can show, one sample of each."""

from prometheus_client.parser import text_string_to_metric_families

from relay.metrics import Metrics


def exported_metrics() -> dict[str, tuple[str, set[str]]]:
    """Type and labels by name."""
    metrics = Metrics()
    metrics.request("acme", 204)
    metrics.connection_refused("hook", "all connections in use")
    metrics.event("acme", "create-file", "stored")
    metrics.sent("acme/room", 0.1)
    metrics.failed("acme/room", "timeout")
    metrics.dead("acme/room", "timeout")
    metrics.skipped("acme/room", "no_address")
    metrics.stopped("acme/room", is_stopped=True)
    metrics.digest("acme/room")
    metrics.template_problem("create-file.md.j2")
    metrics.lookup("get-team", "found")
    metrics.sync_call("get-team", "found")
    metrics.sync_event("acme", "update-comment")
    metrics.webhook("acme", is_active=True)
    metrics.webhook_reactivated("acme")
    metrics.set_deliveries({}, {}, {}, {}, ["acme/room"])
    metrics.set_store_size(1, 2, {"acme": 3})
    by_name = {}
    for family in text_string_to_metric_families(metrics.text().decode()):
        labels = {label for sample in family.samples for label in sample.labels} - {"le"}
        assert family.samples, f"{family.name} has no value here"
        by_name[family.name + "_total" * (family.type == "counter")] = family.type, labels
    return by_name
