"""Fixtures for the tests of Matrix."""

import pytest

from tests.channels.matrix.house import House
from tests.channels.matrix.rooms import Room
from tests.servers.synapse import Synapse


@pytest.fixture
def room(synapse: Synapse) -> Room:
    """A private room with the bot in it."""
    made = Room(synapse)
    made.ada.invite(made.id, made.bot.id)
    made.bot.join(made.id)
    return made


@pytest.fixture
def house(synapse: Synapse) -> House:
    return House(synapse)
