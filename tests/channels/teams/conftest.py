from collections.abc import Iterator

import pytest

from tests.channels.teams.place import Place, place


@pytest.fixture
def at() -> Iterator[Place]:
    with place() as running:
        yield running
