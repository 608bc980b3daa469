"""Slack's checks of ``relay doctor``."""

from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Set
from typing import Any, TypeAlias
from urllib.parse import urlsplit

from relay.channels.base import DeliveryError, Finding
from relay.channels.slack.settings import SlackSettings

Call: TypeAlias = Callable[..., Coroutine[Any, Any, dict[str, Any]]]
"""``SlackApi.call``."""

_MAX_PAGE_COUNT = 100
_PAGE_SIZE = 1000  # channels


def webhook(url: str) -> Finding:
    parts = urlsplit(url)
    if not parts.hostname or not parts.path.startswith("/services/"):
        text = (
            "webhook_url is no Slack webhook: it should look like "
            "https://hooks.slack.com/services/…"
        )
        return Finding(ok=False, text=text)
    text = f"The webhook at {parts.hostname} looks right. Slack can't test it without a message."
    return Finding(ok=True, text=text)


async def bot(call: Call, settings: SlackSettings) -> list[Finding]:
    """Check the token, the bot's access to the channel, and the scopes that the settings need."""
    try:
        return [finding async for finding in _bot(call, settings)]
    except DeliveryError as error:
        return [Finding(ok=False, text=f"Slack: {error.detail} ({error.reason}).")]


async def _bot(call: Call, settings: SlackSettings) -> AsyncIterator[Finding]:
    channel = settings.channel
    identity = await call("auth.test")
    name, scopes = str(identity.get("user", "?")), set(str(identity["scopes"]).split(","))
    yield Finding(ok=True, text=f'The token is that of @{name} in "{identity.get("team", "?")}".')
    if identity["scopes"]:
        for finding in _scopes(scopes, settings):
            yield finding
    if settings.is_direct:
        return
    try:
        room = await (_find(call, channel[1:]) if channel[0] == "#" else _info(call, channel))
    except DeliveryError as error:
        if error.reason == "missing_scope":
            text = (
                f"Relay can't check whether @{name} is in {channel}: give the Slack app the scopes "
                "channels:read and groups:read and reinstall it."
            )
            yield Finding(ok=False, text=text)
            return
        if error.reason != "channel_not_found":
            raise
        room = None
    yield _room(room, channel, name, anywhere="chat:write.public" in scopes)


def _scopes(scopes: Set[str], settings: SlackSettings) -> Iterator[Finding]:
    needed = {"chat:write": "post"}
    if settings.is_direct:
        needed |= {"im:write": 'write to people (direct = "mentioned")'}
    if settings.thumbnails:
        needed |= {"files:write": "show pictures (thumbnails = true)"}
    for scope, purpose in needed.items():
        if scope not in scopes:
            text = f"The Slack app lacks the scope {scope} to {purpose}: add it and reinstall"
            yield Finding(ok=False, text=f"{text} the app.")
    if missing := sorted({"users:read", "users:read.email"} - scopes):
        text = (
            "Only people in [people] are found in Slack. To find others by their mail address from "
            f"Penpot, add the scope{'s' * (len(missing) > 1)} {' and '.join(missing)} and "
            "reinstall the app."
        )
        yield Finding(ok=True, text=text)


def _room(room: dict[str, Any] | None, named: str, bot: str, *, anywhere: bool) -> Finding:
    if room is None:
        text = (
            f"Slack has no channel {named} that @{bot} can see: check the name, and if the channel "
            f"is private, invite the bot with /invite @{bot}."
        )
        return Finding(ok=False, text=text)
    name = f"#{room['name']}" if room.get("name") else named
    if room.get("is_archived"):
        text = f"The channel {name} is archived: unarchive it or configure another one."
        return Finding(ok=False, text=text)
    # A direct conversation has no is_member.
    member = room.get("is_member", True) or (anywhere and not room.get("is_private"))
    if not member:
        return Finding(ok=False, text=f"The bot is not in {name}: invite it with /invite @{bot}.")
    return Finding(ok=True, text=f"@{bot} can post to {name}.")


async def _info(call: Call, room: str) -> dict[str, Any] | None:
    if room[0] == "U":  # a user: Slack opens the conversation with the first message
        return {}
    channel = (await call("conversations.info", params={"channel": room})).get("channel")
    return channel if isinstance(channel, dict) else None


async def _find(call: Call, name: str) -> dict[str, Any] | None:
    """Search all channels that the bot can see."""
    cursor = ""
    types = "public_channel,private_channel"
    for _ in range(_MAX_PAGE_COUNT):
        parameters = {"types": types, "limit": _PAGE_SIZE, "cursor": cursor}
        answer = await call("conversations.list", params=parameters)
        for room in answer.get("channels") or ():
            if room.get("name") == name:
                return dict(room)
        cursor = (answer.get("response_metadata") or {}).get("next_cursor") or ""
        if not cursor:
            break
    return None
