"""Matrix's checks of ``relay doctor``."""

import json
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any, TypeAlias
from urllib.parse import quote
from uuid import uuid4

from relay.channels.base import DeliveryError, Finding

Call: TypeAlias = Callable[..., Coroutine[Any, Any, dict[str, Any]]]
"""``MatrixApi.call``."""

# Since this room version the creators of a room have unlimited power and no power level:
# https://spec.matrix.org/latest/rooms/v12/
_CREATORS_ROOM_VERSION = 12


async def check(call: Call, named: str, *, removes: bool) -> list[Finding]:
    """Check the token, and whether its user may post to the room and, where ``removes``, remove
    messages. ``named`` is the room's id or alias, or empty for direct messages."""
    try:
        return [finding async for finding in _check(call, named, removes)]
    except DeliveryError as error:
        return [Finding(ok=False, text=f"Matrix: {error.detail} ({error.reason}).")]


async def _check(call: Call, named: str, removes: bool) -> AsyncIterator[Finding]:
    user = str((await call("GET", "account/whoami")).get("user_id", ""))
    yield Finding(ok=True, text=f"The access token is that of {user}.")
    if not named:
        return  # direct messages: a room is created with the first message
    room = named
    if named.startswith("#"):
        try:
            answer = await call("GET", f"directory/room/{quote(named, safe='')}")
        except DeliveryError as error:
            if error.reason != "M_NOT_FOUND":
                raise
            text = f"The homeserver knows no room {named}: check the alias."
            yield Finding(ok=False, text=text)
            return
        room = str(answer.get("room_id", ""))
    state = f"rooms/{quote(room, safe='')}/state"
    membership = await _membership(call, state, user)
    if membership == "invite":
        text = f"{user} is invited to {named} and joins with the first message."
        yield Finding(ok=True, text=text)
    elif membership != "join":
        text = (
            f"{user} is not in {named}: invite it there (/invite {user}), and Relay joins with the "
            "next message. It joins a public room without an invitation."
        )
        yield Finding(ok=False, text=text)
    else:
        for finding in await _power(call, state, user, named, removes):
            yield finding
        if await _state(call, f"{state}/m.room.encryption/"):
            text = f"{named} is encrypted. Relay posts unencrypted, which clients show."
            yield Finding(ok=True, text=text)


async def _membership(call: Call, state: str, user: str) -> str:
    """One of join, invite, leave, ban; empty where the user can't see it."""
    member = await _state(call, f"{state}/m.room.member/{quote(user, safe='')}")
    if member:
        return str(member.get("membership", ""))
    # An invited user may not read the room's state, but gets the invitation with a sync. Synapse
    # caches the answers to equal syncs for two minutes, so each request is made unique.
    timeline = {"limit": 0, "not_types": [uuid4().hex]}
    only_invites = {"room": {"timeline": timeline, "state": {"types": []}}}
    sync = await call("GET", f"sync?timeout=0&filter={quote(json.dumps(only_invites), safe='')}")
    invited = _map(_map(sync.get("rooms")).get("invite"))
    room = state.split("/")[1]
    return "invite" if any(quote(name, safe="") == room for name in invited) else ""


async def _state(call: Call, path: str) -> dict[str, Any]:
    """A state event's content; empty where it does not exist or is not visible."""
    try:
        return await call("GET", path)
    except DeliveryError as error:
        if error.reason not in ("M_FORBIDDEN", "M_NOT_FOUND"):
            raise
        return {}


async def _power(call: Call, state: str, user: str, named: str, removes: bool) -> list[Finding]:
    create = await _state(call, f"{state}/m.room.create/?format=event")
    levels = await _state(call, f"{state}/m.room.power_levels/")
    content = _map(create.get("content"))
    additional = content.get("additional_creators")
    creators = [create.get("sender"), *(additional if isinstance(additional, list) else ())]
    version = _level(content.get("room_version"))
    unlimited = version >= _CREATORS_ROOM_VERSION and user in creators
    level = _level(_map(levels.get("users")).get(user, levels.get("users_default")))
    events, default = _map(levels.get("events")), levels.get("events_default")
    required = _level(events.get("m.room.message", default))
    if not unlimited and level < required:
        text = (
            f"{user} may not post to {named}: its power level there is {level}, messages need "
            f"{required}. Raise it in the room's settings (roles and permissions)."
        )
        return [Finding(ok=False, text=text)]
    findings = [Finding(ok=True, text=f"{user} can post to {named}.")]
    # A user who may send this event may redact their own messages.
    required = _level(events.get("m.room.redaction", default))
    if removes and not unlimited and level < required:
        text = (
            f"{user} may not remove its messages from {named}, which requires the power level "
            f"{required}: Relay edits the message of a deleted comment instead."
        )
        findings.append(Finding(ok=True, text=text))
    return findings


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
