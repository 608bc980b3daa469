"""Channels: where messages go."""

from importlib import import_module
from typing import Any, Protocol

from relay.channels.base import Channel, KeyValueStore, MemoryKeyValueStore
from relay.config import AnyChannel

_CLASSES = {
    "slack": "SlackChannel",
    "matrix": "MatrixChannel",
    "email": "EmailChannel",
    "stdout": "StdoutChannel",
}


class ChannelClass(Protocol):
    """A class of channels."""

    pace: float | None
    """See ``Channel``."""

    def __call__(self, settings: Any, notes: KeyValueStore, /) -> Channel:
        """A channel with these settings."""
        ...


def open_channel(settings: AnyChannel, notes: KeyValueStore | None = None) -> Channel:
    """The channel that the settings describe. Nothing is connected yet. ``notes`` is what it
    remembers; without them it forgets.

    Raises ``ValueError`` where ``ca_file`` holds no certificate.
    """
    return channel_class(settings.type)(settings, notes or MemoryKeyValueStore())


def channel_class(kind: str) -> ChannelClass:
    """The class for a kind of channel. Its module is imported only now: aiohttp with slack-sdk
    alone takes 11 MB."""
    module = import_module(f"relay.channels.{kind}")
    found: ChannelClass = getattr(module, _CLASSES[kind])
    return found
