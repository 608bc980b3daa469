"""What ``relay doctor`` asks a homeserver, without posting."""

import json
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any, TypeAlias
from urllib.parse import quote
from uuid import uuid4

from relay.channels.base import Failure, Finding

Call: TypeAlias = Callable[..., Coroutine[Any, Any, dict[str, Any]]]
"""``MatrixApi.call``."""

# From this version on a room's creators may do everything and have no power level:
# https://spec.matrix.org/latest/rooms/v12/
_CREATORS_RULE = 12


async def check(call: Call, named: str, *, removes: bool) -> list[Finding]:
    """Whether the token is good and its user may post to the room ``named``: an id or alias, or
    empty where it writes to people directly; and where it ``removes`` messages, whether it may."""
    try:
        return [finding async for finding in _check(call, named, removes)]
    except Failure as error:
        return [Finding(ok=False, text=f"Matrix: {error.detail} ({error.reason}).")]


async def _check(call: Call, named: str, removes: bool) -> AsyncIterator[Finding]:
    user = str((await call("GET", "account/whoami")).get("user_id", ""))
    yield Finding(ok=True, text=f"The access token is that of {user}.")
    if not named:
        return  # direct messages: rooms are made when there is something to say
    room = named
    if named.startswith("#"):
        try:
            found = await call("GET", f"directory/room/{quote(named, safe='')}")
        except Failure as error:
            if error.reason != "M_NOT_FOUND":
                raise
            text = f"The homeserver knows no room {named}: check the alias."
            yield Finding(ok=False, text=text)
            return
        room = str(found.get("room_id", ""))
    state = f"rooms/{quote(room, safe='')}/state"
    membership = await _membership(call, state, user)
    if membership == "invite":
        text = f"{user} is invited to {named} and joins with the first message."
        yield Finding(ok=True, text=text)
    elif membership != "join":
        text = (
            f"{user} is not in {named}: invite it there (/invite {user}), Relay then joins by "
            "itself. It also joins a public room by itself."
        )
        yield Finding(ok=False, text=text)
    else:
        for finding in await _power(call, state, user, named, removes):
            yield finding
        if await _state(call, f"{state}/m.room.encryption/"):
            text = f"{named} is encrypted. Relay posts without encryption; clients mark that."
            yield Finding(ok=True, text=text)


async def _membership(call: Call, state: str, user: str) -> str:
    """What the user is in the room: join, invite, leave, ban, or nothing that can be seen."""
    found = await _state(call, f"{state}/m.room.member/{quote(user, safe='')}")
    if found:
        return str(found.get("membership", ""))
    # Who is only invited may not read a room's state; the invitation comes with a sync. Synapse
    # answers equal syncs out of a cache for two minutes, so each one is made different.
    timeline = {"limit": 0, "not_types": [uuid4().hex]}
    only_invites = {"room": {"timeline": timeline, "state": {"types": []}}}
    sync = await call("GET", f"sync?timeout=0&filter={quote(json.dumps(only_invites), safe='')}")
    invited = _map(_map(sync.get("rooms")).get("invite"))
    room = state.split("/")[1]
    return "invite" if any(quote(name, safe="") == room for name in invited) else ""


async def _state(call: Call, path: str) -> dict[str, Any]:
    """A state event's content; empty where there is none or it can't be seen."""
    try:
        return await call("GET", path)
    except Failure as error:
        if error.reason not in ("M_FORBIDDEN", "M_NOT_FOUND"):
            raise
        return {}


async def _power(call: Call, state: str, user: str, named: str, removes: bool) -> list[Finding]:
    create = await _state(call, f"{state}/m.room.create/?format=event")
    levels = await _state(call, f"{state}/m.room.power_levels/")
    content = _map(create.get("content"))
    more = content.get("additional_creators")
    creators = [create.get("sender"), *(more if isinstance(more, list) else ())]
    rules_all = _level(content.get("room_version")) >= _CREATORS_RULE and user in creators
    has = _level(_map(levels.get("users")).get(user, levels.get("users_default")))
    events, default = _map(levels.get("events")), levels.get("events_default")
    needs = _level(events.get("m.room.message", default))
    if not rules_all and has < needs:
        text = (
            f"{user} may not post to {named}: its power level there is {has}, messages need "
            f"{needs}. Raise it in the room's settings (roles and permissions)."
        )
        return [Finding(ok=False, text=text)]
    found = [Finding(ok=True, text=f"{user} can post to {named}.")]
    # Its own messages everyone may redact who may send that event.
    to_remove = _level(events.get("m.room.redaction", default))
    if removes and not rules_all and has < to_remove:
        text = (
            f"{user} may not remove its messages from {named}, which takes the power level "
            f"{to_remove}: that of a deleted comment says so instead."
        )
        found.append(Finding(ok=True, text=text))
    return found


def _map(value: object) -> dict[str, Any]:
    """What should be a map, and is taken for an empty one where it isn't: rooms hold what some
    client once wrote."""
    return value if isinstance(value, dict) else {}


def _level(value: object) -> int:
    """A power level; 0, the default, where it is none. In rooms before version 10 it may be
    text: https://spec.matrix.org/latest/rooms/v10/
    """
    try:
        return int(value) if isinstance(value, int | float | str) else 0
    except (ValueError, OverflowError):
        return 0
