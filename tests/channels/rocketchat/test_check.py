"""Rocket.Chat's check of ``relay doctor``."""

import pytest

from tests.channels.builders import findings
from tests.channels.rocketchat.place import Place, hook
from tests.servers.loopback import Answer
from tests.servers.rocketchat import INFO_PATH

pytestmark = pytest.mark.anyio


async def test_the_integration_is_asked_for_without_a_message(at: Place) -> None:
    text = await findings(hook(at.url))
    assert text.startswith("ok The integration at 127.0.0.1:")
    assert text.endswith("ok Its room can't be tested without a message: run relay send.")
    assert [(request.method, request.path) for request in at.server.requests] == [
        ("GET", INFO_PATH)
    ]


async def test_an_integration_that_is_gone_is_named(at: Place) -> None:
    gone = {"success": False, "error": "Invalid integration id or token provided."}
    at.server.next.append(Answer.of(gone, 404))
    text = await findings(hook(at.url))
    assert text.startswith("no Rocket.Chat: the integration does not exist: create a new one")
