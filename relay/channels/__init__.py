"""Channels: where messages are sent to."""

from importlib import import_module
from typing import Any, Protocol

from relay.channels.base import Channel, KeyValueStore, MemoryKeyValueStore
from relay.config.settings import AnyChannel

_CLASSES = {
    "slack": ("slack.channel", "SlackChannel"),
    "matrix": ("matrix.channel", "MatrixChannel"),
    "email": ("email.channel", "EmailChannel"),
    "stdout": ("stdout", "StdoutChannel"),
}


class ChannelClass(Protocol):
    """What the service needs of a channel's class before it opens one."""

    pace: float | None

    def __call__(self, settings: Any, kv: KeyValueStore, /) -> Channel: ...


def open_channel(settings: AnyChannel, kv: KeyValueStore | None = None) -> Channel:
    """The channel for these settings, not yet connected. Without ``kv`` it remembers nothing
    after it is closed.

    Raises ``ValueError`` where ``ca_file`` holds no certificate.
    """
    return channel_class(settings.type)(settings, kv or MemoryKeyValueStore())


def channel_class(kind: str) -> ChannelClass:
    """Imports the module only here: aiohttp with slack-sdk alone takes 11 MB."""
    module, name = _CLASSES[kind]
    channel: ChannelClass = getattr(import_module(f"relay.channels.{module}"), name)
    return channel
