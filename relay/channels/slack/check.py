"""Slack's checks of ``relay doctor``."""

from collections.abc import AsyncIterator, Iterator, Set
from typing import Any
from urllib.parse import urlsplit

from relay.channels.base import DeliveryError, Finding, failed, noted, passed
from relay.channels.slack.client import SlackApi
from relay.channels.slack.senders import NO_SCOPES, SENDER_SCOPE
from relay.channels.slack.settings import SlackSettings

_MAX_PAGE_COUNT = 100
_PAGE_SIZE = 500  # channels, each of which has up to 2 KB and some 50 values


async def check(api: SlackApi, settings: SlackSettings) -> AsyncIterator[Finding]:
    """Check the token, the bot's access to the channel, and the scopes that the settings need."""
    if not api.by_bot:
        yield await _webhook(api, settings.other_host)
        return
    identity = await api.call("auth.test")
    name, scopes = str(identity.get("user", "?")), api.scopes
    yield passed(f'The token is that of @{name} in "{identity.get("team", "?")}".')
    if api.proxy:
        yield passed(f"Slack responds through {api.proxy}.")
    for finding in _scopes(scopes, settings) if scopes else ():
        yield finding
    if settings.author_as_sender and not scopes:
        yield failed(f"{NO_SCOPES}, which author_as_sender needs.")
    if settings.is_direct:
        return
    channel, room = settings.channel, None
    try:
        room = await _room(api, channel)
    except DeliveryError as error:
        if error.reason == "missing_scope":
            yield failed(
                f"Relay can't check whether @{name} is in {channel}: give the Slack app the scopes "
                "channels:read and groups:read and reinstall it."
            )
            return
        if error.reason != "channel_not_found":
            raise
    yield _membership(room, channel, name, anywhere="chat:write.public" in scopes)


async def _webhook(api: SlackApi, other_host: str) -> Finding:
    parts = urlsplit(api.secret)
    # that another host is not Slack's is said by the settings' advice
    if not other_host and not parts.path.startswith("/services/"):
        form = "https://hooks.slack.com/services/…"
        return failed(f"webhook_url is no Slack webhook: it should look like {form}")
    await api.reach_webhook_host()
    through = f" through {api.proxy}" if api.proxy else ""
    test = "The webhook itself can't be tested without a message: run relay send."
    return passed(f"The host of webhook_url, {parts.hostname}, responds{through}. {test}")


def _scopes(scopes: Set[str], settings: SlackSettings) -> Iterator[Finding]:
    needed = {"chat:write": "post"}
    if settings.is_direct:
        needed |= {"im:write": "write to people (direct)"}
    if settings.thumbnails:
        needed |= {"files:write": "show pictures (thumbnails = true)"}
    if settings.author_as_sender:
        needed |= {SENDER_SCOPE: "show comments as their author's (author_as_sender = true)"}
    for scope, purpose in needed.items():
        if scope not in scopes:
            text = f"The Slack app lacks the scope {scope} to {purpose}: add it and reinstall"
            yield failed(f"{text} the app.")
    if missing := sorted({"users:read", "users:read.email"} - scopes):
        yield noted(
            "Only people in [people] are found in Slack. To find others by their mail address from "
            f"Penpot, add the scope{'s' * (len(missing) > 1)} {' and '.join(missing)} and "
            "reinstall the app."
        )


def _membership(room: dict[str, Any] | None, named: str, bot: str, *, anywhere: bool) -> Finding:
    if room is None:
        return failed(
            f"Slack has no channel {named} that @{bot} can see: check channel in the config, "
            f"and if it is private, invite the bot with /invite @{bot}."
        )
    name = f"#{room['name']}" if room.get("name") else named
    if room.get("is_archived"):
        return failed(
            f"The channel {name} is archived: unarchive it, or set channel to another one."
        )
    # A direct conversation has no is_member.
    member = room.get("is_member", True) or (anywhere and not room.get("is_private"))
    if not member:
        return failed(f"The bot is not in {name}: invite it with /invite @{bot}.")
    return passed(f"@{bot} can post to {name}.")


async def _room(api: SlackApi, named: str) -> dict[str, Any] | None:
    """A channel that the bot can see, by its id or name."""
    if named[0] == "U":  # a user: Slack opens the conversation with the first message
        return {}
    if named[0] != "#":
        channel = (await api.call("conversations.info", params={"channel": named})).get("channel")
        return channel if isinstance(channel, dict) else None
    parameters = {"types": "public_channel,private_channel", "limit": _PAGE_SIZE, "cursor": ""}
    for _ in range(_MAX_PAGE_COUNT):
        answer = await api.call("conversations.list", params=parameters)
        for room in answer.get("channels") or ():
            if room.get("name") == named[1:]:
                return dict(room)
        parameters["cursor"] = (answer.get("response_metadata") or {}).get("next_cursor") or ""
        if not parameters["cursor"]:
            break
    return None
