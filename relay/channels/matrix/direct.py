"""Direct rooms in Matrix, one per person.

https://spec.matrix.org/latest/client-server-api/#direct-messaging
"""

from typing import Any

from relay.channels.base import DeliveryError, KeyValueStore, Permanent
from relay.channels.matrix.client import MatrixApi
from relay.channels.matrix.errors import NO_ACCESS_ERRORS
from relay.channels.matrix.rooms import Place, RoomReplaced, RoomUpgrades

_ROOM_TTL = 10 * 365 * 24 * 3600.0  # seconds
_CANNOT_INVITE_ERRORS = frozenset({*NO_ACCESS_ERRORS, "M_INVITE_BLOCKED", "M_INVALID_PARAM"})


class DirectRooms:
    """Room ids are in the key-value store, and in the bot's account data (``m.direct``), by which
    clients recognise a direct room and which survives the loss of the store. If Relay is killed
    between creating a room and storing its id, the next message creates another room.
    """

    def __init__(self, api: MatrixApi, upgrades: RoomUpgrades, kv: KeyValueStore) -> None:
        self._api = api
        self._upgrades = upgrades
        self._kv = kv
        self._bot = ""

    async def room(self, user: str) -> str:
        """The id of the room with ``user``, who is a member or invited. Raises
        ``DeliveryError``."""
        key = f"matrix-direct/{self._api.account}/{user}"
        stored = await self._kv.get(key, _ROOM_TTL)
        rooms = [stored] if stored else _rooms(await self._account_data(), user)
        for known in reversed(rooms):  # the newest first
            try:
                room = (await self._upgrades.follow(Place(known))).id
            except RoomReplaced:
                continue
            if await self._ensure_member(room, user):
                if room != stored:
                    await self._kv.put(key, room)
                return room
        options = {"preset": "trusted_private_chat", "is_direct": True}
        room = str((await self._api.call("POST", "createRoom", body=options)).get("room_id", ""))
        await self._kv.put(key, room)  # first: an error after this line creates no second room
        data = await self._account_data()
        data[user] = [*_rooms(data, user), room]
        await self._api.call("PUT", *await self._account_path(), body=data)
        await self._ensure_member(room, user)
        return room

    async def _ensure_member(self, room: str, user: str) -> bool:
        """Invite the user if necessary; False if the room can't be used."""
        try:
            members = await self._api.call("GET", "rooms", room, "joined_members")  # members only
        except DeliveryError as error:
            if error.reason not in NO_ACCESS_ERRORS:
                raise
            return False
        if user in (members.get("joined") or {}):
            return True
        state = await self._api.state(room, "m.room.member", user)
        if not state or state.get("membership") != "invite":
            await self._invite(room, user)
        return True

    async def _invite(self, room: str, user: str) -> None:
        # Not with /invite, which can't mark the room as a direct one.
        content = {"membership": "invite", "is_direct": True}
        path = "rooms", room, "state", "m.room.member", user
        try:
            await self._api.call("PUT", *path, body=content)
        except DeliveryError as error:
            if error.reason not in _CANNOT_INVITE_ERRORS:
                raise
            text = f"{user} can't be invited: {error.detail}"
            raise Permanent(error.reason, f"{text}; check [people] in the config") from error

    async def _account_data(self) -> dict[str, Any]:
        try:
            return await self._api.call("GET", *await self._account_path())
        except DeliveryError as error:
            if error.reason != "M_NOT_FOUND":
                raise
            return {}

    async def _account_path(self) -> tuple[str, ...]:
        self._bot = self._bot or await self._api.whoami()
        return "user", self._bot, "account_data", "m.direct"


def _rooms(account_data: dict[str, Any], user: str) -> list[str]:
    rooms = account_data.get(user)
    return [room for room in rooms if isinstance(room, str)] if isinstance(rooms, list) else []
