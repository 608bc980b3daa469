"""Direct rooms in Matrix: one for each person, made once.

https://spec.matrix.org/latest/client-server-api/#direct-messaging
"""

from typing import Any
from urllib.parse import quote

from relay.channels.base import Failure, KeyValueStore
from relay.channels.matrix_api import MatrixApi

_LASTS = 10 * 365 * 24 * 3600.0
_GONE = frozenset({"M_FORBIDDEN", "M_NOT_FOUND"})
"""What is answered of a room that the bot is not in, or that is no more."""

_NOT_TO_THEM = frozenset({"M_FORBIDDEN", "M_INVITE_BLOCKED", "M_INVALID_PARAM", "M_NOT_FOUND"})
"""What is answered where somebody can't be invited."""


class DirectRooms:
    """The rooms that the bot shares with one person each.

    The store's notes know them, and so does the bot's account data (``m.direct``), by which
    clients know a direct room and which outlives the store. Should Relay be killed between making
    a room and writing that down, the next message makes another one.
    """

    def __init__(self, api: MatrixApi, notes: KeyValueStore) -> None:
        self._api = api
        self._notes = notes
        self._me = ""

    async def room(self, user: str) -> str:
        """The id of the room with ``user``, who is in it or invited. Raises ``Failure``."""
        key = f"matrix-direct/{self._api.account}/{user}"
        known = await self._notes.get(key, _LASTS)
        rooms = [known] if known else await self._listed(user)
        for room in rooms:
            if await self._is_there(room, user):
                if room != known:
                    await self._notes.keep(key, room)
                return room
        room = await self._make()
        await self._notes.keep(key, room)  # at once: what fails from here on makes no second one
        await self._list(user, room)
        await self._is_there(room, user)
        return room

    async def _is_there(self, room: str, user: str) -> bool:
        """Whether the person is in the room, or is invited now; False where that can't be."""
        path = f"rooms/{quote(room, safe='')}"
        is_member = False
        try:
            members = await self._api.call("GET", f"{path}/joined_members")  # for members only
            if user in (members.get("joined") or {}):
                return True
            is_member = True
            state = await self._api.call("GET", f"{path}/state/m.room.member/{quote(user)}")
        except Failure as failure:
            if failure.reason not in _GONE:
                raise
            if not is_member:
                return False
            state = {}
        if state.get("membership") != "invite":
            await self._invite(path, user)
        return True

    async def _invite(self, room: str, user: str) -> None:
        # Not by /invite: that can't say that the room is a direct one.
        content = {"membership": "invite", "is_direct": True}
        try:
            await self._api.call("PUT", f"{room}/state/m.room.member/{quote(user)}", content)
        except Failure as failure:
            if failure.reason not in _NOT_TO_THEM:
                raise
            text = f"{user} can't be invited: {failure.detail}"
            raise Failure("dead", "no_address", text) from failure

    async def _make(self) -> str:
        wanted = {"preset": "trusted_private_chat", "is_direct": True}
        made = await self._api.call("POST", "createRoom", wanted)
        return str(made.get("room_id", ""))

    async def _listed(self, user: str) -> list[str]:
        """The rooms with a person that the bot's account data names, the newest first."""
        rooms = (await self._account_data()).get(user)
        listed = rooms if isinstance(rooms, list) else []
        return [room for room in reversed(listed) if isinstance(room, str)]

    async def _list(self, user: str, room: str) -> None:
        listed = await self._account_data()
        rooms = listed.get(user)
        listed[user] = [*(rooms if isinstance(rooms, list) else []), room]
        await self._api.call("PUT", await self._account_path(), listed)

    async def _account_data(self) -> dict[str, Any]:
        try:
            return await self._api.call("GET", await self._account_path())
        except Failure as failure:
            if failure.reason != "M_NOT_FOUND":
                raise
            return {}

    async def _account_path(self) -> str:
        if not self._me:
            self._me = str((await self._api.call("GET", "account/whoami")).get("user_id", ""))
        return f"user/{quote(self._me)}/account_data/m.direct"
