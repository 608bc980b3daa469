"""The doctor's checks of a Slack app."""

import re

import pytest

from tests.channels.builders import findings, slack_bot, slack_hook
from tests.channels.slack.workplace import bot
from tests.servers.fixtures import RunningSlack
from tests.servers.slack import SCOPES, Room, Slack

pytestmark = pytest.mark.anyio


def workspace(server: RunningSlack, **changes: object) -> Slack:
    for name, value in changes.items():
        setattr(server.slack, name, value)
    return server.slack


async def test_check_finds_a_good_channel_by_id_and_by_name(slack_server: RunningSlack) -> None:
    for channel in ("C0DESIGN0", "#design", "#private"):
        text = await findings(slack_bot(slack_server.api_url, channel))
        assert 'ok The token is that of @relay in "Acme".' in text
        assert re.search(r"ok @relay can post to #(design|private)\.", text)
    assert slack_server.slack.messages == []


@pytest.mark.parametrize(
    ("channel", "words"),
    [
        ("#general", "no The bot is not in #general: invite it with /invite @relay."),
        ("C0GENERAL", "no The bot is not in #general: invite it with /invite @relay."),
        ("#old-ones", "no The channel #old-ones is archived: unarchive it, or set channel"),
        ("#nowhere", "no Slack has no channel #nowhere that @relay can see: check channel"),
        ("C0NOWHERE", "no Slack has no channel C0NOWHERE that @relay can see: check channel"),
    ],
)
async def test_check_reports_a_wrong_channel_and_how_to_fix_it(
    channel: str, words: str, slack_server: RunningSlack
) -> None:
    assert words in await findings(slack_bot(slack_server.api_url, channel))


async def test_check_accepts_a_user_or_a_direct_conversation(slack_server: RunningSlack) -> None:
    workspace(slack_server).rooms.append(Room("D0DIRECT0", ""))
    for channel in ("U0ADA0000", "D0DIRECT0"):
        text = await findings(slack_bot(slack_server.api_url, channel))
        assert f"ok @relay can post to {channel}." in text


async def test_check_finds_a_channel_on_a_later_page(slack_server: RunningSlack) -> None:
    workspace(slack_server, rooms=[Room(f"C0ROOM{n:03}", f"room-{n}") for n in range(9)])
    text = await findings(slack_bot(slack_server.api_url, "#room-8"))
    assert "ok @relay can post to #room-8." in text


async def test_check_accepts_a_bot_that_may_post_anywhere(slack_server: RunningSlack) -> None:
    workspace(slack_server, scopes=frozenset({"chat:write", "chat:write.public", "channels:read"}))
    text = await findings(slack_bot(slack_server.api_url, "C0GENERAL"))
    assert "ok @relay can post to #general." in text


async def test_check_names_missing_scopes(slack_server: RunningSlack) -> None:
    workspace(slack_server, scopes=frozenset({"users:read.email"}))
    text = await findings(slack_bot(slack_server.api_url))
    assert "no The Slack app lacks the scope chat:write" in text
    assert "channels:read and groups:read" in text


async def test_check_reports_a_bad_token(slack_server: RunningSlack) -> None:
    wrong = slack_bot(slack_server.api_url, token="xoxb-wrong-token-of-the-tests")
    assert "no Slack: Slack does not accept the token" in await findings(wrong)
    workspace(slack_server).next.append("token_revoked")
    assert "was revoked" in await findings(slack_bot(slack_server.api_url))


@pytest.mark.usefixtures("loopback_is_slack")
async def test_check_asks_the_host_of_a_webhook_and_posts_nothing(
    slack_server: RunningSlack,
) -> None:
    good = await findings(slack_hook(slack_server.webhook_url))
    assert good == (
        "ok The host of webhook_url, 127.0.0.1, responds. The webhook itself can't be tested "
        "without a message: run relay send."
    )
    assert slack_server.slack.messages == []
    wrong = await findings(slack_hook(f"{slack_server.url}/SecretElsewhere"))
    assert wrong.startswith("no webhook_url is no Slack webhook")
    closed = await findings(slack_hook("http://127.0.0.1:1/services/T0/B0/SecretPath"))
    assert "127.0.0.1:1 refuses connections: check webhook_url in the config" in closed
    assert closed.startswith("no ")
    assert "SecretPath" not in closed


async def test_check_asks_a_host_that_is_not_slacks(slack_server: RunningSlack) -> None:
    text = await findings(slack_hook(f"{slack_server.url}/hooks/SecretPath"))
    assert text.startswith("ok The host of webhook_url, 127.0.0.1, responds.")
    text = await findings(slack_hook("https://chat.invalid/hooks/SecretPath"))
    assert text.startswith("no ")
    assert "the host name of chat.invalid:443 can't be resolved" in text
    assert "SecretPath" not in text


async def test_check_names_the_scopes_of_the_settings(slack_server: RunningSlack) -> None:
    slack_server.slack.scopes = frozenset({"chat:write", "channels:read", "users:read"})
    text = await findings(bot(slack_server, thumbnails=True))
    assert "no The Slack app lacks the scope files:write to show pictures" in text
    assert "ok Only people in [people] are found in Slack." in text
    assert "add the scope users:read.email and" in text

    text = await findings(bot(slack_server, direct="mentioned"))
    assert "no The Slack app lacks the scope im:write to write to people" in text
    assert "can post to" not in text

    text = await findings(bot(slack_server, author_as_sender=True))
    assert (
        "no The Slack app lacks the scope chat:write.customize to show comments as their author's "
        "(author_as_sender = true): add it and reinstall the app." in text
    )

    slack_server.slack.scopes = SCOPES
    assert "no " not in await findings(bot(slack_server, direct="mentioned", thumbnails=True))
    assert "no " not in await findings(bot(slack_server, author_as_sender=True))


async def test_check_says_why_the_scopes_are_not_known(slack_server: RunningSlack) -> None:
    slack_server.slack.names_scopes = False
    text = await findings(bot(slack_server, author_as_sender=True))
    assert "no Slack's answers do not name the token's scopes: let the proxy in between" in text
    assert "lacks the scope" not in text
