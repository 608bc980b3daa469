"""The errors and names of the store."""

import pytest

from relay.errors import RelayError
from relay.store.records import (
    DELIVERY_STATES,
    EVENT_STATES,
    MAX_UNREADABLE_BYTES,
    LeaseLost,
    NewEvent,
    StoreMissing,
    StoreUnavailable,
    StoreUnusable,
    queue_lease,
)
from relay.store.search import FILTER_STATES


@pytest.mark.parametrize("error", [LeaseLost, StoreUnavailable, StoreMissing])
def test_every_error_is_one_of_relays(error: type[Exception]) -> None:
    assert issubclass(error, RelayError)


def test_a_missing_store_is_unusable() -> None:
    assert issubclass(StoreMissing, StoreUnusable)


def test_a_state_has_one_meaning() -> None:
    assert not set(EVENT_STATES) & set(DELIVERY_STATES)
    assert set(FILTER_STATES) <= {*EVENT_STATES, *DELIVERY_STATES}


def test_the_leases_of_queues_have_names_of_their_own() -> None:
    assert queue_lease("acme/ops") == "queue:acme/ops"
    assert queue_lease("fan-out") != "fan-out"


def test_an_accepted_event_waits_for_the_fan_out() -> None:
    assert NewEvent("acme", "application/json", b"{}", b"1", "x").state == "stored"


@pytest.mark.parametrize(
    ("size", "stored", "truncated_from"),
    [
        (MAX_UNREADABLE_BYTES, MAX_UNREADABLE_BYTES, 0),
        (MAX_UNREADABLE_BYTES + 1, MAX_UNREADABLE_BYTES, MAX_UNREADABLE_BYTES + 1),
    ],
)
def test_a_long_body_is_truncated(size: int, stored: int, truncated_from: int) -> None:
    event = NewEvent("acme", "application/json", b"x" * size, b"1", "x").truncated()
    assert (event.body, event.truncated_from) == (b"x" * stored, truncated_from)
