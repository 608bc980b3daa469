"""What ``relay doctor`` asks Slack, without posting."""

from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Set
from typing import Any, TypeAlias
from urllib.parse import urlsplit

from relay.channels.base import Failure, Finding
from relay.config import SlackSettings

Call: TypeAlias = Callable[..., Coroutine[Any, Any, dict[str, Any]]]
"""``SlackChannel.call``."""

_PAGES = 100  # of a thousand channels each


def webhook(url: str) -> Finding:
    """Whether this looks like an incoming webhook's URL."""
    parts = urlsplit(url)
    if not parts.hostname or not parts.path.startswith("/services/"):
        text = (
            "webhook_url is no Slack webhook, which looks like https://hooks.slack.com/services/…"
        )
        return Finding(ok=False, text=text)
    text = (
        f"The webhook at {parts.hostname} looks right. Slack offers no way to ask without posting."
    )
    return Finding(ok=True, text=text)


async def bot(call: Call, settings: SlackSettings) -> list[Finding]:
    """Whether the token is good, its bot may post to the channel, and its app has the scopes that
    the settings need."""
    try:
        return [finding async for finding in _bot(call, settings)]
    except Failure as error:
        return [Finding(ok=False, text=f"Slack: {error.detail} ({error.reason}).")]


async def _bot(call: Call, settings: SlackSettings) -> AsyncIterator[Finding]:
    channel = settings.channel
    who = await call("auth.test")
    name, scopes = str(who.get("user", "?")), set(str(who["scopes"]).split(","))
    yield Finding(ok=True, text=f'The token is that of @{name} in "{who.get("team", "?")}".')
    if who["scopes"]:
        for finding in _scopes(scopes, settings):
            yield finding
    if settings.is_direct:
        return
    try:
        found = await (_find(call, channel[1:]) if channel[0] == "#" else _info(call, channel))
    except Failure as error:
        if error.reason == "missing_scope":
            text = (
                f"Whether @{name} is in {channel} can't be asked: give the Slack app the scopes "
                "channels:read and groups:read and install it again."
            )
            yield Finding(ok=False, text=text)
            return
        if error.reason != "channel_not_found":
            raise
        found = None
    yield _room(found, channel, name, anywhere="chat:write.public" in scopes)


def _scopes(scopes: Set[str], settings: SlackSettings) -> Iterator[Finding]:
    """What the app lacks, and for what."""
    needed = {"chat:write": "post"}
    if settings.is_direct:
        needed |= {"im:write": 'write to people (direct = "mentioned")'}
    if settings.thumbnails:
        needed |= {"files:write": "show pictures (thumbnails = true)"}
    for scope, purpose in needed.items():
        if scope not in scopes:
            text = f"The Slack app lacks the scope {scope} to {purpose}: add it and install the app"
            yield Finding(ok=False, text=f"{text} again.")
    if lacks := sorted({"users:read", "users:read.email"} - scopes):
        text = (
            "Only people in [people] are found in Slack. To find others by the mail address that "
            f"they have in Penpot, add the scope{'s' * (len(lacks) > 1)} {' and '.join(lacks)} and "
            "install the app again."
        )
        yield Finding(ok=True, text=text)


def _room(room: dict[str, Any] | None, named: str, bot: str, *, anywhere: bool) -> Finding:
    if room is None:
        text = (
            f"Slack has no channel {named} that @{bot} can see: check the name, and where it is "
            f"private, invite the bot with /invite @{bot}."
        )
        return Finding(ok=False, text=text)
    name = f"#{room['name']}" if room.get("name") else named
    if room.get("is_archived"):
        text = f"The channel {name} is archived: unarchive it or name another one."
        return Finding(ok=False, text=text)
    # A direct conversation has no members to ask for.
    member = room.get("is_member", True) or (anywhere and not room.get("is_private"))
    if not member:
        return Finding(ok=False, text=f"The bot is not in {name}: invite it with /invite @{bot}.")
    return Finding(ok=True, text=f"@{bot} can post to {name}.")


async def _info(call: Call, room: str) -> dict[str, Any] | None:
    if room[0] == "U":  # a person: Slack opens the conversation with the first message
        return {}
    channel = (await call("conversations.info", params={"channel": room})).get("channel")
    return channel if isinstance(channel, dict) else None


async def _find(call: Call, name: str) -> dict[str, Any] | None:
    """The channel of that name among those that the bot can see."""
    cursor = ""
    for _ in range(_PAGES):
        arguments = {"types": "public_channel,private_channel", "limit": 1000, "cursor": cursor}
        answer = await call("conversations.list", params=arguments)
        for room in answer.get("channels") or ():
            if room.get("name") == name:
                return dict(room)
        cursor = (answer.get("response_metadata") or {}).get("next_cursor") or ""
        if not cursor:
            break
    return None
