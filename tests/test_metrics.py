"""The metrics' labels are bounded."""

from relay.metrics import MAX_REASONS, Metrics


def test_unknown_names_share_one_label() -> None:
    metrics = Metrics(["create-file"])
    metrics.event("acme", "create-file", "fanned-out")
    for number in range(1000):
        metrics.event("acme", f"made-up-{number}", "fanned-out")
        metrics.failed("acme/room", f"M_MADE_UP_{number}")
    lines = metrics.text().decode().splitlines()
    assert sum(line.startswith("relay_events_total{") for line in lines) == 2
    assert sum(line.startswith("relay_send_failures_total{") for line in lines) == MAX_REASONS + 1
    assert (
        f'relay_send_failures_total{{queue="acme/room",reason="other"}} {1000.0 - MAX_REASONS}'
        in lines
    )


def test_each_queue_has_its_waiting_held_and_dead_deliveries() -> None:
    metrics = Metrics()
    metrics.set_deliveries(
        {"acme/a": 3},
        {"acme/a": 1},
        {"acme/b": 4},
        {"acme/b": 2, "not/in-the-config": 1},
        ["acme/a", "acme/b"],
    )
    lines = metrics.text().decode().splitlines()
    assert [line for line in lines if line.startswith("relay_queue_")] == [
        'relay_queue_waiting{queue="acme/a",state="waiting"} 2.0',
        'relay_queue_waiting{queue="acme/a",state="undecided"} 1.0',
        'relay_queue_waiting{queue="acme/a",state="held"} 0.0',
        'relay_queue_waiting{queue="acme/b",state="waiting"} 0.0',
        'relay_queue_waiting{queue="acme/b",state="undecided"} 0.0',
        'relay_queue_waiting{queue="acme/b",state="held"} 4.0',
        'relay_queue_dead{queue="acme/a"} 0.0',
        'relay_queue_dead{queue="acme/b"} 2.0',
    ]
