"""Channels: where messages go."""

from collections.abc import Callable
from importlib import import_module

from relay.channels.base import Channel, Forgetful, Notes
from relay.config import AnyChannel

_CLASSES = {
    "slack": "SlackChannel",
    "matrix": "MatrixChannel",
    "email": "EmailChannel",
    "stdout": "StdoutChannel",
}


def open_channel(settings: AnyChannel, notes: Notes | None = None) -> Channel:
    """The channel that the settings describe. Nothing is connected yet. ``notes`` is what it
    remembers; without them it forgets.

    Raises ``ValueError`` where ``ca_file`` holds no certificate.
    """
    channel: Channel = channel_class(settings.type)(settings, notes or Forgetful())
    return channel


def channel_class(kind: str) -> Callable[..., Channel]:
    """The class for a kind of channel. Its module is imported only now: aiohttp with slack-sdk
    alone takes 11 MB."""
    module = import_module(f"relay.channels.{kind}")
    found: Callable[..., Channel] = getattr(module, _CLASSES[kind])
    return found
