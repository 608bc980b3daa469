"""Matrix's checks of ``relay doctor``."""

import json
from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

from relay.channels.base import DeliveryError, Finding, failed, noted, passed
from relay.channels.matrix.client import MatrixApi
from relay.channels.matrix.rooms import Place, RoomUpgrades, resolve

# Since this room version the creators of a room have unlimited power and no power level:
# https://spec.matrix.org/latest/rooms/v12/
_CREATORS_ROOM_VERSION = 12


async def check(
    api: MatrixApi, upgrades: RoomUpgrades, named: str, *, removes: bool
) -> AsyncIterator[Finding]:
    """Check the token, and whether its user may post to the room and, where ``removes``, remove
    messages. ``named`` is the room's id or alias, or empty for direct messages."""
    try:
        user = await api.whoami()
    except DeliveryError as error:
        is_website = error.reason in ("answer", "M_UNRECOGNIZED") or "http-" in error.reason
        delegated = await api.delegated_url() if is_website else ""
        if not delegated:
            raise
        yield failed(f'{api.homeserver} is not the homeserver: set homeserver = "{delegated}".')
        return
    if (base := await api.base_url()) != api.homeserver:
        yield passed(f"The homeserver of {api.homeserver} is {base}.")
    yield passed(f"The access token is that of {user}.")
    if api.through_proxy:
        yield passed(f"The homeserver responds{api.through_proxy}.")
    if not named:
        return  # direct messages: a room is created with the first message
    start = await resolve(api, named)
    place = await upgrades.follow(start, joins=False)
    if place.id != start.id:
        yield noted(f"{named} was replaced by {place.id}: set room in the config to this id.")
        named = place.id
    async for finding in _room(api, place, user, named, removes):
        yield finding


async def _room(
    api: MatrixApi, place: Place, user: str, named: str, removes: bool
) -> AsyncIterator[Finding]:
    room = place.id
    membership = await _membership(api, room, user)
    if membership == "invite":
        yield passed(f"{user} is invited to {named} and joins with the first message.")
    elif membership in ("", "leave") and await _joins_by_itself(api, place):
        yield passed(f"{named} is public: {user} joins with the first message.")
    elif membership != "join":
        yield failed(
            f"{user} is not in {named}: invite it there (/invite {user}), and Relay joins with the "
            "next message. Or check room in the config (its id: room settings, Advanced)."
        )
    else:
        async for finding in _power(api, room, user, named, removes):
            yield finding
        if await api.state(room, "m.room.encryption"):
            yield noted(f"{named} is encrypted. Relay posts unencrypted, which clients show.")


async def _joins_by_itself(api: MatrixApi, place: Place) -> bool:
    """https://spec.matrix.org/latest/client-server-api/#get_matrixclientv1room_summaryroomidoralias

    Whether the room is public, and the user not banned. False where an old homeserver does not say.
    """
    try:
        path = "room_summary", place.id
        summary = await api.call("GET", *path, version="v1", via=list(place.servers))
    except DeliveryError as error:
        if not error.reason.startswith("M_"):
            raise
        return False
    return summary.get("join_rule") == "public" and summary.get("membership") != "ban"


async def _membership(api: MatrixApi, room: str, user: str) -> str:
    """One of join, invite, leave, ban; empty where the user can't see it."""
    member = await api.state(room, "m.room.member", user)
    if member:
        return str(member.get("membership", ""))
    # An invited user may not read the room's state, but gets the invitation with a sync. Synapse
    # caches the answers to equal syncs for two minutes, so each request is made unique.
    timeline = {"limit": 0, "not_types": [uuid4().hex]}
    only_invites = {"room": {"timeline": timeline, "state": {"types": []}}}
    sync = await api.call("GET", "sync", timeout=0, filter=json.dumps(only_invites))
    return "invite" if room in _map(_map(sync.get("rooms")).get("invite")) else ""


async def _power(
    api: MatrixApi, room: str, user: str, named: str, removes: bool
) -> AsyncIterator[Finding]:
    create = await api.state(room, "m.room.create", format="event") or {}
    levels = await api.state(room, "m.room.power_levels") or {}
    content = _map(create.get("content"))
    additional = content.get("additional_creators")
    creators = [create.get("sender"), *(additional if isinstance(additional, list) else ())]
    version = _level(content.get("room_version"))
    unlimited = version >= _CREATORS_ROOM_VERSION and user in creators
    level = _level(_map(levels.get("users")).get(user, levels.get("users_default")))
    events, default = _map(levels.get("events")), levels.get("events_default")
    required = _level(events.get("m.room.message", default))
    if not unlimited and level < required:
        yield failed(
            f"{user} may not post to {named}: its power level there is {level}, messages need "
            f"{required}. Raise it in the room's settings (roles and permissions)."
        )
        return
    yield passed(f"{user} can post to {named}.")
    # A user who may send this event may redact their own messages.
    required = _level(events.get("m.room.redaction", default))
    if removes and not unlimited and level < required:
        yield noted(
            f"{user} may not remove its messages from {named}, which requires the power level "
            f"{required}: Relay edits the message of a deleted comment instead."
        )


def _map(value: object) -> dict[str, Any]:
    """Empty for any other type: clients can write any content into a room's state."""
    return value if isinstance(value, dict) else {}


def _level(value: object) -> int:
    """A power level, or 0, the default, where it is invalid. In rooms before version 10 it may be
    text: https://spec.matrix.org/latest/rooms/v10/
    """
    try:
        return int(value) if isinstance(value, int | float | str) else 0
    except (ValueError, OverflowError):
        return 0
