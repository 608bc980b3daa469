"""The rules of Slack's settings, with the exact text of every problem."""

from pathlib import Path

import pytest

from tests.config.files import SLACK, problems_of, write

CASES = {
    "direct in a channel": (
        SLACK + 'token = "t"\nchannel = "#a"\ndirect = "mentioned"\nbroadcast = true',
        [
            'teams.acme.channels[0].channel = "#a": does not work with direct: each '
            "person gets a direct message",
            "teams.acme.channels[0].broadcast = True: does not work with direct",
        ],
    ),
    "direct by webhook": (
        SLACK + 'webhook_url = "https://h/x"\ndirect = "mentioned"',
        [
            'teams.acme.channels[0].direct = "mentioned": needs a token: an incoming webhook '
            "can only post to its channel"
        ],
    ),
    "slack without credentials": (
        SLACK,
        ["teams.acme.channels[0].token: one of token and webhook_url is required"],
    ),
    "slack with both": (
        SLACK + 'token = "a"\nchannel = "#c"\nwebhook_url = "https://h"',
        ["teams.acme.channels[0].webhook_url: only one of token and webhook_url is allowed"],
    ),
    "slack without channel": (
        SLACK + 'token = "a"',
        ['teams.acme.channels[0].channel: is required with token: an id or "#name"'],
    ),
    "slack's channel": (
        SLACK + 'token = "a"\nchannel = "design"',
        [
            'teams.acme.channels[0].channel = "design": must be a channel\'s id such as '
            '"C0123456789" or its name such as "#design"'
        ],
    ),
    "slack's webhook with a channel": (
        SLACK + 'webhook_url = "https://h"\nchannel = "#c"',
        [
            'teams.acme.channels[0].channel = "#c": needs a token: an incoming '
            "webhook has a fixed channel"
        ],
    ),
}


@pytest.mark.parametrize(("text", "expected"), CASES.values(), ids=CASES)
def test_a_problem_names_key_value_and_rule(tmp_path: Path, text: str, expected: list[str]) -> None:
    assert problems_of(write(tmp_path, text), {}) == expected
