"""Mattermost's checks of ``relay doctor``."""

from collections.abc import AsyncIterator

from relay.channels.base import DeliveryError, Finding, failed, passed
from relay.channels.errors import one_line
from relay.channels.mattermost.client import MattermostApi
from relay.channels.mattermost.rooms import MattermostRooms
from relay.channels.mattermost.settings import MattermostSettings


async def check(
    api: MattermostApi, rooms: MattermostRooms, settings: MattermostSettings
) -> AsyncIterator[Finding]:
    """Check the token, and whether its bot is in the channel."""
    if not api.by_bot:
        test = "can't be tested without a message: run relay send."
        yield passed(f"The webhook at {settings.server} {test}")
        return
    name = one_line(str((await api.call("GET", "users", "me")).get("username", "?")))
    yield passed(f"The token is that of @{name}.")
    if api.http.through_proxy:
        yield passed(f"Mattermost responds{api.http.through_proxy}.")
    if settings.is_direct:
        return
    channel = await rooms.configured()
    try:
        await api.call("GET", "channels", channel, "members", "me")
    except DeliveryError as error:
        if not error.answered or "http-" in error.reason:
            raise
        yield failed(f"@{name} is not in {settings.channel}: add it with /invite @{name}.")
        return
    yield passed(f"@{name} can post to {settings.channel}.")
