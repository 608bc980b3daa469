"""The rules of Slack's settings, with the exact text of every problem."""

from pathlib import Path

import pytest

from relay.config.load import load, warnings
from tests.config.files import SLACK, problems_of, write

CASES = {
    "direct in a channel": (
        SLACK + 'token = "t"\nchannel = "#a"\ndirect = "mentioned"\nbroadcast = true'
        "\nauthor_as_sender = true",
        [
            'teams.acme.channels.a.channel = "#a": does not work with direct: each '
            "person gets a direct message",
            "teams.acme.channels.a.broadcast = true: does not work with direct",
            "teams.acme.channels.a.author_as_sender = true: does not work with direct: these "
            "messages say who mentions the person",
            "teams.acme.channels.a.author_as_sender = true: needs penpot.access_token, to get the "
            "team's members from Penpot",
        ],
    ),
    "direct by webhook": (
        SLACK + 'webhook_url = "https://h/x"\ndirect = "mentioned"\nauthor_as_sender = true',
        [
            'teams.acme.channels.a.direct = "mentioned": needs a token: an incoming webhook '
            "can only post to its channel",
            "teams.acme.channels.a.author_as_sender = true: needs a token: an incoming webhook has "
            "a fixed name and picture",
            "teams.acme.channels.a.author_as_sender = true: needs penpot.access_token, to get the "
            "team's members from Penpot",
        ],
    ),
    "slack without credentials": (
        SLACK,
        ["teams.acme.channels.a.token: one of token and webhook_url is required"],
    ),
    "slack with both": (
        SLACK + 'token = "a"\nchannel = "#c"\nwebhook_url = "https://h"',
        ["teams.acme.channels.a.webhook_url: only one of token and webhook_url is allowed"],
    ),
    "slack without channel": (
        SLACK + 'token = "a"',
        ['teams.acme.channels.a.channel: is required with token: an id or "#name"'],
    ),
    "slack's channel": (
        SLACK + 'token = "a"\nchannel = "design"',
        [
            'teams.acme.channels.a.channel = "design": must be a channel\'s id such as '
            '"C0123456789" or its name such as "#design"'
        ],
    ),
    "Discord's own webhook": (
        SLACK + 'webhook_url = "https://Discord.com/api/webhooks/1/x"',
        [
            "teams.acme.channels.a.webhook_url = ***: is Discord's own webhook: set type = "
            '"discord", or add "/slack" to its path, for Slack\'s format'
        ],
    ),
    "the webhook of a workflow": (
        SLACK + 'webhook_url = "https://hooks.slack.com/workflows/T0/A0/1/x"',
        [
            "teams.acme.channels.a.webhook_url = ***: is the URL of a workflow (Slack's Workflow "
            "Builder), which posts no messages of Relay: it must be the URL of an incoming "
            'webhook, "https://hooks.slack.com/services/…"'
        ],
    ),
    "the newer webhook of a workflow": (
        SLACK + 'webhook_url = "https://Hooks.Slack-Gov.com/triggers/T0/1/x"',
        [
            "teams.acme.channels.a.webhook_url = ***: is the URL of a workflow (Slack's Workflow "
            "Builder), which posts no messages of Relay: it must be the URL of an incoming "
            'webhook, "https://hooks.slack.com/services/…"'
        ],
    ),
    "slack's webhook with a channel": (
        SLACK + 'webhook_url = "https://h"\nchannel = "#c"',
        [
            'teams.acme.channels.a.channel = "#c": needs a token: an incoming '
            "webhook has a fixed channel"
        ],
    ),
}


@pytest.mark.parametrize(("text", "expected"), CASES.values(), ids=CASES)
def test_a_problem_names_key_value_and_rule(tmp_path: Path, text: str, expected: list[str]) -> None:
    assert problems_of(write(tmp_path, text), {}) == expected


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("https://hooks.slack.com/services/T0/B0/x", ""),
        ("https://HOOKS.slack-gov.com/services/T0/B0/x", ""),
        ("https://chat.example/hooks/workflows/x", "chat.example"),
        ("https://discord.com/api/webhooks/1/x/slack", "discord.com"),
        ("https://hooks.slack.com.evil.example/services/T0/B0/x", "hooks.slack.com.evil.example"),
        ("http://[fd00::1]:8065/hooks/x", "fd00::1"),
    ],
)
def test_a_webhook_of_another_host_is_named(tmp_path: Path, url: str, host: str) -> None:
    config = load(write(tmp_path, SLACK + 'webhook_url = { env = "HOOK" }'), {"HOOK": url})
    advice = [text for text in warnings(config) if "webhook_url" in text]
    assert len(advice) == bool(host)
    for text in advice:
        assert text.startswith(f"teams.acme.channels.a: the host of webhook_url, {host}, is not")


def test_a_command_without_secrets_does_not_know_the_host(tmp_path: Path) -> None:
    file = write(tmp_path, SLACK + 'webhook_url = { env = "HOOK" }')
    assert not any("webhook_url" in text for text in warnings(load(file, {}, secrets=False)))
