"""Discord's checks of ``relay doctor``."""

import pytest

from tests.channels.builders import findings
from tests.channels.discord.place import Place, hook
from tests.servers.loopback import Answer

pytestmark = pytest.mark.anyio


async def test_the_webhook_is_asked_for_without_a_post(at: Place) -> None:
    text = await findings(hook(at.url))
    assert text == 'ok The webhook "Relay" can post to channel 1400000000000000002.'
    assert [request.method for request in at.discord.requests] == ["GET"]


async def test_a_webhook_of_another_type_accepts_no_messages(at: Place) -> None:
    at.discord.kind = 3
    assert (await findings(hook(at.url))).startswith('no The webhook "Relay" accepts no messages')


async def test_a_webhook_that_is_gone_is_named(at: Place) -> None:
    at.discord.next.append(Answer.of({"code": 10015, "message": "Unknown Webhook"}, 404))
    text = await findings(hook(at.url))
    assert text.startswith("no Discord: the webhook does not exist: create a new webhook")
