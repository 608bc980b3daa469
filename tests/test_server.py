"""How many connections the listener takes."""

import resource

import pytest

from relay import server
from relay.server import MAX_CONNECTIONS, RESERVED_DESCRIPTORS, max_connections


@pytest.mark.parametrize(
    ("descriptors", "expected"),
    [
        (256, 256 - RESERVED_DESCRIPTORS),
        (1024, MAX_CONNECTIONS),
        (resource.RLIM_INFINITY, MAX_CONNECTIONS),
        (64, 16),
    ],
)
def test_connections_leave_descriptors_for_the_rest(
    monkeypatch: pytest.MonkeyPatch, descriptors: int, expected: int
) -> None:
    monkeypatch.setattr(server.resource, "getrlimit", lambda _: (descriptors, descriptors))
    assert max_connections() == expected
