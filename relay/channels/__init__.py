"""The registry of channels: where messages are sent to."""

import json
from collections.abc import Callable
from functools import cache

from pydantic import BaseModel

from relay.channels import (
    apprise,
    discord,
    email,
    matrix,
    mattermost,
    rocketchat,
    slack,
    stdout,
    teams,
    webhook,
)
from relay.channels.base import (
    Channel,
    ChannelSettings,
    ChannelType,
    KeyValueStore,
    MemoryKeyValueStore,
    ReplyTo,
    short_hash,
)
from relay.channels.preview import MessagePreview, plain_preview
from relay.config.secret import Secret
from relay.messages.environments import OverrideFormat
from relay.messages.message import Message
from relay.messages.turns import localized

CHANNEL_TYPES: dict[str, ChannelType] = {
    kind.name: kind
    for kind in (
        slack.TYPE,
        matrix.TYPE,
        mattermost.TYPE,
        rocketchat.TYPE,
        discord.TYPE,
        teams.TYPE,
        email.TYPE,
        webhook.TYPE,
        apprise.TYPE,
        stdout.TYPE,
    )
}
DEFAULT_KIND = stdout.TYPE.name
"""The kind that needs no settings, for the demo and for previews."""


def open_channel(settings: ChannelSettings, kv: KeyValueStore | None = None) -> Channel:
    """The channel for these settings, not yet connected. Without ``kv`` it remembers nothing
    after it is closed.

    Raises ``ValueError`` where ``ca_file`` holds no certificate.
    """
    return CHANNEL_TYPES[settings.type].load()(settings, kv or MemoryKeyValueStore())


@cache
def example_settings(kind: str) -> ChannelSettings:
    """Those of a channel of that kind without any options."""
    channel_type = CHANNEL_TYPES[kind]
    keys = {"type": kind, "name": kind, **channel_type.example}
    return channel_type.settings.model_validate(keys)


def render_preview(
    kind: str,
    message: Message,
    thread: ReplyTo | None = None,
    settings: ChannelSettings | None = None,
) -> MessagePreview:
    """Preview in a channel of that kind, as a reply if there is a ``thread``; as plain text for a
    kind that is not registered. ``settings`` are those of one such channel, by default without
    options."""
    if thread is not None and message.to is None:  # as the queue does
        message = message.in_thread()
    if kind not in CHANNEL_TYPES:
        return plain_preview(message)
    settings = settings or example_settings(kind)
    return localized(message, lambda: CHANNEL_TYPES[kind].preview(message, thread, settings))


def fits(settings: ChannelSettings, message: Message) -> bool:
    """Whether the channel sends all of the message's text in one message. May take long."""
    return localized(message, lambda: CHANNEL_TYPES[settings.type].fits(message, settings))


def body_template(settings: ChannelSettings) -> str:
    """The user's template that makes what the channel sends of each event; empty for none."""
    return str(getattr(settings, "body", ""))


def fingerprint(settings: ChannelSettings) -> str:
    """Another one after a change of any key."""
    return short_hash(json.dumps(dict(settings), default=_plain))


def _plain(value: object) -> object:
    """Of a value in settings, for JSON."""
    if isinstance(value, Secret):
        return value.reveal()
    return dict(value) if isinstance(value, BaseModel) else repr(value)


def override_formats() -> dict[str, OverrideFormat]:
    """The templates for one kind of channel, by its name."""
    types = CHANNEL_TYPES.values()
    return {kind.name: kind.override for kind in types if kind.override is not None}


def people_keys() -> dict[str, Callable[[str], str]]:
    """The keys of the entries of ``[people]``, with the check of each."""
    keys = (kind.people for kind in CHANNEL_TYPES.values())
    return {key.name: key.check for key in keys if key is not None}
