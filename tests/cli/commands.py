"""Channels and variables that the tests of the commands share."""

from tests.servers.fixtures import RunningSlack
from tests.service import SECRET

LOG = '[[teams.acme.channels]]\nname = "log"\ntype = "stdout"\n'
ENVIRONMENT = {"RELAY_SECRET": SECRET, "RELAY_STDOUT": "1"}


def slack_channel(server: RunningSlack, name: str, room: str) -> str:
    return (
        f'[[teams.acme.channels]]\nname = "{name}"\ntype = "slack"\ntoken = {{ env = "SLACK" }}\n'
        f'channel = "{room}"\napi_url = "{server.api_url}"\n'
    )
