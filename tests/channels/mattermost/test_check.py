"""Mattermost's checks of ``relay doctor``."""

import pytest

from tests.channels.builders import findings
from tests.channels.mattermost.place import Place, bot, hook

pytestmark = pytest.mark.anyio


async def test_a_bot_in_its_channel_can_post(at: Place) -> None:
    assert await findings(bot(at.url)) == (
        "ok The token is that of @relay.\nok @relay can post to acme/design."
    )
    assert at.server.posts == {}


async def test_a_bot_outside_of_its_channel_has_to_be_added(at: Place) -> None:
    at.server.members.clear()
    text = await findings(bot(at.url))
    assert text.endswith("no @relay is not in acme/design: add it with /invite @relay.")


async def test_a_channel_or_team_that_does_not_exist_is_named(at: Place) -> None:
    for channel in ("acme/other", "other/design"):
        text = await findings(bot(at.url, channel=channel))
        assert "does not exist: check channel in the config" in text


async def test_a_server_that_fails_is_no_missing_membership(at: Place) -> None:
    from tests.servers.loopback import Answer

    at.server.next += [Answer.of({"username": "relay"}), Answer.of({"id": "x" * 26})]
    at.server.next.append(Answer(b"no", 502))
    assert "no Mattermost: Mattermost answered 502" in await findings(bot(at.url))


async def test_direct_messages_need_a_token_only(at: Place) -> None:
    assert await findings(bot(at.url, direct="mentioned")) == "ok The token is that of @relay."


async def test_a_webhook_can_not_be_checked(at: Place) -> None:
    text = await findings(hook(at.url))
    assert text.startswith("ok The webhook at 127.0.0.1:")
    assert text.endswith("can't be tested without a message: run relay send.")
