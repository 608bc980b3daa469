"""Opening a channel imports only the libraries of its type."""

import subprocess
import sys

import pytest

from relay.channels import open_channel
from relay.channels.stdout import StdoutSettings
from relay.config.settings import AnyChannel
from tests.channels import builders

PROBE = """
import sys
from relay.channels import open_channel
from relay.channels.stdout import StdoutSettings
open_channel(StdoutSettings(type="stdout", name="log"))
print(*sorted({"aiohttp", "slack_sdk", "httpx", "aiosmtplib"} & set(sys.modules)))
"""


@pytest.mark.parametrize(
    "settings",
    [
        builders.slack_bot("https://slack.example/api"),
        builders.slack_hook("https://hooks.slack.example/services/T/B/x"),
        builders.matrix("https://matrix.example"),
        builders.email(25),
        StdoutSettings(type="stdout", name="log"),
    ],
    ids=lambda settings: settings.type,
)
def test_each_settings_class_opens_its_channel(settings: AnyChannel) -> None:
    channel = open_channel(settings)
    assert channel.kind == settings.type
    assert channel.pace is None or channel.pace > 0


def test_a_channel_loads_no_library_of_another_kind() -> None:
    done = subprocess.run([sys.executable, "-c", PROBE], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
