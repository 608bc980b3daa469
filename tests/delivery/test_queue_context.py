"""The settings of the config's queues."""

import sys

from relay.channels.base import MemoryKeyValueStore
from relay.channels.stdout import StdoutChannel
from relay.config.settings import Config
from relay.delivery.queue_context import queue_settings
from relay.messages.message import Content, Message

CHANNELS = [
    {"name": "plain", "type": "stdout", "digest_after": 0},
    {"name": "nights", "type": "stdout", "quiet": ["22:00-07:00"], "pace": 30},
    {"name": "slack", "type": "slack", "token": "xoxb-1", "channel": "#design"},
]


def test_each_channel_has_a_queue_with_its_settings() -> None:
    team = {"secret": "a-secret-of-24-characters", "channels": CHANNELS}
    config = Config.model_validate({"teams": {"acme": team}})
    settings = queue_settings(config, MemoryKeyValueStore())
    assert list(settings) == ["acme/plain", "acme/nights", "acme/slack"]
    plain, nights, slack = settings.values()
    assert isinstance(plain.open_channel(), StdoutChannel)
    assert (plain.digest_after, plain.hold, plain.has_threads) == (sys.maxsize, None, False)
    assert (nights.pace, nights.hold) == (30, config.holds["acme/nights"])
    assert slack.has_threads
    assert slack.fits(Message("short"))
    assert not slack.fits(Message("long", full=Content("word " * 20_000)))
