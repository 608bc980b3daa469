"""The room that a channel posts to: its alias may move, and an upgrade replaces it by another one.

https://spec.matrix.org/latest/client-server-api/#room-upgrades
"""

import contextlib
import logging
import re
import time
from typing import Any, NamedTuple

from relay.channels.base import DeliveryError, KeyValueStore, Misconfigured, RetryLater
from relay.channels.matrix.client import MatrixApi
from relay.channels.matrix.errors import NO_ACCESS_ERRORS, ROOM_HINT

log = logging.getLogger(__name__)

ALIAS_TTL = 3600.0  # seconds
_ALIAS_RETRY_DELAY = 300.0  # seconds, after an alias could not be resolved
_UPGRADE_TTL = 10 * 365 * 24 * 3600.0  # seconds
_MAX_UPGRADES = 20  # of one room
_MAX_SERVERS = 10  # to join a room through
_CANNOT_JOIN_ERRORS = (*NO_ACCESS_ERRORS, "M_UNKNOWN")
_ROOM_ID_PATTERN = re.compile(r"![^\s\x00-\x1f\x7f-\x9f]{1,254}")
_NEW_ROOM = "set room in the config to the id of the room to post to"


class RoomReplaced(Misconfigured):
    """The room was replaced by one that the bot can't use."""


class Place(NamedTuple):
    """A room."""

    id: str
    servers: tuple[str, ...] = ()  # known to be in the room


class RoomUpgrades:
    """Finds the room that replaced another one. A replacement is valid if it names the old room as
    its predecessor, which only its creator can do, when it is created.

    The results are in the key-value store: the bot may not read the state of a room that it is not
    in, and it joins no invalid room twice.
    """

    def __init__(self, api: MatrixApi, kv: KeyValueStore) -> None:
        self._api = api
        self._kv = kv

    async def follow(self, place: Place, *, joins: bool = True) -> Place:
        """The newest replacement of the room, or the room itself. Joins each replacement, or where
        not ``joins``, changes nothing and does not check a replacement that the bot is not in.
        Raises ``RoomReplaced`` where a room was replaced by no valid room, and other kinds of
        ``DeliveryError``."""
        seen = {place.id}
        while new := await self._replacement(place):
            if new.id in seen or len(seen) > _MAX_UPGRADES:
                text = f"the room {place.id} was replaced by {new.id}, in a circle: {_NEW_ROOM}"
                raise RoomReplaced("room-replaced", text)
            await self._verify(place, new, joins=joins)
            seen.add(new.id)
            place = new
        return place

    async def _replacement(self, place: Place) -> Place | None:
        event = await self._api.state(place.id, "m.room.tombstone", format="event")
        if event is None:
            match await self._stored(place):
                case ["valid", str(known), *servers]:
                    return Place(known, tuple(servers))
            return None
        content = event.get("content")
        # An old homeserver returns the content only. A tombstone that was redacted, or overwritten
        # by an empty one, is undone.
        content = content if isinstance(content, dict) else event
        if not {"body", "replacement_room"} & content.keys():
            return None
        room, sender = content.get("replacement_room"), str(event.get("sender", ""))
        if not isinstance(room, str) or not _ROOM_ID_PATTERN.fullmatch(room):
            text = f"the room {place.id} was closed, and names no new room: {_NEW_ROOM}"
            raise RoomReplaced("room-replaced", text)
        return Place(room, _servers(_server_of(sender), _server_of(room), *place.servers))

    async def _verify(self, old: Place, new: Place, *, joins: bool) -> None:
        is_valid = await self._verdict(old, new)
        if is_valid is None:
            create = await self._api.state(new.id, "m.room.create", format="event")
            if not create and not joins:
                return
            is_new_member = not create
            if is_new_member:
                await self._join_replacement(old, new)
                create = await self._api.state(new.id, "m.room.create", format="event")
            if not create:
                raise RetryLater("answer", f"the homeserver returned no first event of {new.id}")
            is_valid = _predecessor(create) == old.id  # for ever: a room's first event
            if is_new_member and not is_valid:
                with contextlib.suppress(DeliveryError):  # a bot that stays posts nothing there
                    await self._api.call("POST", "rooms", new.id, "leave", body={})
            if joins:
                await self._remember(old, new, is_valid=is_valid)
        if not is_valid:
            text = f"the room {old.id} was closed in favour of {new.id}, which does not name it as "
            raise RoomReplaced("room-replaced", f"{text}its predecessor: {_NEW_ROOM}")

    async def _join_replacement(self, old: Place, new: Place) -> None:
        try:
            await join(self._api, new)
        except DeliveryError as error:
            if not isinstance(error, Misconfigured) or error.reason not in _CANNOT_JOIN_ERRORS:
                raise
            text = f"the room {old.id} was replaced by {new.id}: invite the bot there"
            raise RoomReplaced(error.reason, f"{text} ({error.detail})") from None

    async def _stored(self, old: Place) -> tuple[str, ...]:
        """``valid`` or ``invalid``, id and servers of the last replacement; empty for none."""
        return tuple((await self._kv.get(self._key(old), _UPGRADE_TTL) or "").split())

    async def _verdict(self, old: Place, new: Place) -> bool | None:
        match await self._stored(old):
            case [verdict, new.id, *_]:
                return verdict == "valid"
        return None

    async def _remember(self, old: Place, new: Place, *, is_valid: bool) -> None:
        if is_valid:
            log.warning("Matrix: %s was replaced by %s, which gets the messages", old.id, new.id)
        verdict = "valid" if is_valid else "invalid"
        await self._kv.put(self._key(old), " ".join((verdict, new.id, *new.servers)))

    def _key(self, old: Place) -> str:
        return f"matrix-upgrade/{self._api.account}/{old.id}"


class ConfiguredRoom:
    """The room of the config. ``named`` is its id or alias."""

    def __init__(self, api: MatrixApi, upgrades: RoomUpgrades, named: str) -> None:
        self._api = api
        self._upgrades = upgrades
        self._named = named
        self._start: Place | None = None  # before its upgrades
        self._current: Place | None = None
        self._resolve_at = 0.0  # monotonic

    async def current(self) -> str:
        """The id of the room to post to. Asks for an upgrade each time: a bot may be able to post
        to a replaced room, where nobody reads the message. Raises ``DeliveryError``."""
        start = await self._resolved()
        if start != self._start or self._current is None:
            self._start = self._current = start
        self._current = await self._upgrades.follow(self._current)
        return self._current.id

    async def rejoin(self, refusal: DeliveryError) -> str:
        """Resolve the room from the beginning and join it, after ``refusal`` of a call. Returns its
        id. Raises ``DeliveryError``."""
        self._start = await resolve(self._api, self._named)
        place = await self._upgrades.follow(self._start)
        try:
            await join(self._api, place)
        except DeliveryError as error:
            # The refusal of the message says more than that of the join.
            raise (refusal if error.reason == "M_FORBIDDEN" else error) from None
        self._current = await self._upgrades.follow(place)  # whose state is readable now
        return self._current.id

    async def _resolved(self) -> Place:
        if self._start is not None and time.monotonic() < self._resolve_at:
            return self._start
        try:
            place = await resolve(self._api, self._named)
        except RetryLater:
            if self._start is None:
                raise
            self._resolve_at = time.monotonic() + _ALIAS_RETRY_DELAY
            return self._start
        except DeliveryError:
            self._start = None
            raise
        self._resolve_at = time.monotonic() + ALIAS_TTL
        return place


async def resolve(api: MatrixApi, named: str) -> Place:
    """The room with this id or alias, before its upgrades. Raises ``DeliveryError``."""
    if not named.startswith("#"):
        return Place(named, _servers(_server_of(named)))
    try:
        answer = await api.call("GET", "directory", "room", named)
    except DeliveryError as error:
        if error.reason != "M_NOT_FOUND":
            raise
        text = f"the homeserver knows no room {named}: check the alias in room"
        raise Misconfigured("M_NOT_FOUND", text) from None
    servers = answer.get("servers")
    known = servers if isinstance(servers, list) else []
    return Place(str(answer.get("room_id", "")), _servers(*map(str, known), _server_of(named)))


async def join(api: MatrixApi, place: Place) -> None:
    """https://spec.matrix.org/latest/client-server-api/#post_matrixclientv3joinroomidoralias

    Raises ``DeliveryError``.
    """
    servers = list(place.servers)  # as ``server_name`` for homeservers before MSC4156
    try:
        await api.call("POST", "join", place.id, body={}, via=servers, server_name=servers)
    except RetryLater as error:
        # A homeserver that can't reach a wrong id's server answers 502, or too late.
        if error.reason not in ("M_UNKNOWN", "timeout"):
            raise
        text = f"the homeserver can't join {place.id} through its servers: {ROOM_HINT}"
        raise RetryLater(error.reason, f"{text} ({error.detail})", error.retry_after) from None


def _predecessor(create: dict[str, Any]) -> object:
    content = create.get("content", create)  # an old homeserver returns the content only
    predecessor = content.get("predecessor") if isinstance(content, dict) else None
    return predecessor.get("room_id") if isinstance(predecessor, dict) else None


def _server_of(identifier: str) -> str:
    """Empty for the id of a room of version 12 or later, which has none."""
    return identifier.partition(":")[2]


def _servers(*names: str) -> tuple[str, ...]:
    known = (name for name in names if name and not re.search(r"\s", name))
    return tuple(dict.fromkeys(known))[:_MAX_SERVERS]
