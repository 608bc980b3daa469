"""Matrix, through the client-server API.

https://spec.matrix.org/latest/client-server-api/
"""

import re
from collections.abc import Awaitable, Callable
from typing import Any, ClassVar, TypeVar
from urllib.parse import quote

from relay.channels import matrix_check
from relay.channels.base import Failure, Finding, KeyValueStore, Receipt, ReplyTo
from relay.channels.matrix_api import MatrixApi
from relay.channels.matrix_content import relation, render, replacement
from relay.channels.matrix_direct import DirectRooms
from relay.channels.matrix_media import MatrixMedia
from relay.config import MatrixSettings
from relay.messages.message import Mention, Message
from relay.picture import Picture

T = TypeVar("T")

# What Synapse (1.163) says, with M_UNKNOWN, of a thread whose first message, or of a change whose
# message is not in the room; the spec has no word for it.
_NO_EVENT = re.compile("Can't send relation to unknown event|Unknown parent event")
_ELSEWHERE = re.compile("Relations must be in the same room")
"""The same where the channel has another room by now, and the homeserver knows the message."""


class MatrixChannel:
    """A Matrix room, or direct rooms, posted to as a user of the homeserver."""

    kind: ClassVar[str] = "matrix"
    # Every homeserver has its own limits and tells them with M_LIMIT_EXCEEDED.
    pace: ClassVar[float | None] = None
    pings_in_edits: ClassVar[bool] = True

    def __init__(self, settings: MatrixSettings, notes: KeyValueStore) -> None:
        self._settings = settings
        self._named = settings.room
        self._room = "" if settings.room.startswith("#") else settings.room
        self._api = MatrixApi(settings)
        self._direct = DirectRooms(self._api, notes)
        self._media = MatrixMedia(self._api, notes)

    async def send(
        self,
        message: Message,
        key: str,
        thread: ReplyTo | None = None,
        picture: Picture | None = None,
    ) -> Receipt:
        """Post the message, with ``key`` in its transaction id: the homeserver posts it once.

        Where the user is not in the room it joins: as the guest of an invitation, or where
        the room is public. An alias that leads to another room by now is looked up again.
        """
        content = await self._content(message, picture)
        if message.to is not None:
            return await self._post(await self._room_of(message.to), content, key)
        if thread is not None:
            content["m.relates_to"] = relation(thread)
        try:
            return await self._in_room(lambda room: self._post(room, content, key))
        except Failure as refused:
            lost = _NO_EVENT.search(refused.detail) or _ELSEWHERE.search(refused.detail)
            if thread is not None and lost:
                raise Failure("rootless", refused.reason, refused.detail) from None
            raise

    async def update(
        self, receipt: str, message: Message, key: str, picture: Picture | None = None
    ) -> None:
        """See ``Editor``. A message that somebody took away stays away."""
        news = set(message.change.news) if message.change else set()
        pinged = [one.matrix for one in message.mentions if one.matrix and one.id in news]
        content = replacement(await self._content(message, picture), receipt, pinged)
        try:
            await self._in_room(lambda room: self._post(room, content, key))
        except Failure as refused:
            if _NO_EVENT.search(refused.detail):
                raise Failure("gone", refused.reason, "the message is gone") from None
            if _ELSEWHERE.search(refused.detail):
                text = "the message is in the room that the channel had before"
                raise Failure("fixed", refused.reason, text) from None
            raise

    async def remove(self, receipt: str, message: Message, key: str) -> None:
        """See ``Editor``. The message is redacted, and so are its changes, which redacting it alone
        leaves in the room. What begins a thread that goes on is changed to ``message``: some
        clients do not show a thread whose first message was redacted
        (github.com/element-hq/element-web/issues/24639).
        """
        ends_thread = message.change is not None and message.change.whole_thread
        try:
            stays = not ends_thread and bool(await self._related(receipt, "m.thread"))
            events = [] if stays else [*await self._related(receipt, "m.replace"), receipt]
            for event in events:
                await self._redact(event, key)
        except Failure as refused:
            if refused.reason == "M_NOT_FOUND" or _NO_EVENT.search(refused.detail):
                raise Failure("gone", refused.reason, "the message is gone") from None
            if refused.reason not in ("M_FORBIDDEN", "M_UNRECOGNIZED"):
                raise
            # Who may not redact may perhaps write; an old homeserver can't tell what hangs on it.
            stays = True
        if stays:
            await self.update(receipt, message, key)

    async def check(self) -> list[Finding]:
        """Ask whose token it is, whether that user is in the room and may post there."""
        return await matrix_check.check(
            self._api.call, self._named, removes=self._settings.edits_told == "in-place"
        )

    async def close(self) -> None:
        """Close the connections."""
        await self._api.close()

    async def _content(self, message: Message, picture: Picture | None) -> dict[str, Any]:
        image = None
        if picture is not None and not message.override:
            image = await self._media.image(picture, message.file or "Thumbnail")
        return render(message, image)

    async def _in_room(self, act: Callable[[str], Awaitable[T]]) -> T:
        """``act`` in the room, which is entered where the user is not in it."""
        try:
            return await act(await self._room_id())
        except Failure as refused:
            if refused.reason not in ("M_FORBIDDEN", "M_NOT_FOUND"):
                raise
            await self._enter(refused)
        return await act(await self._room_id())

    async def _related(self, event: str, kind: str) -> list[str]:
        """The newest events that hang on one in that way:
        https://spec.matrix.org/latest/client-server-api/#relationships-api
        """
        path = f"relations/{quote(event, safe='')}/{kind}?limit=100"
        answer = await self._in_room(
            lambda room: self._api.call("GET", f"rooms/{quote(room, safe='')}/{path}", version="v1")
        )
        found = answer.get("chunk")
        return [str(one.get("event_id", "")) for one in found] if isinstance(found, list) else []

    async def _redact(self, event: str, key: str) -> None:
        """https://spec.matrix.org/latest/client-server-api/#redactions"""
        transaction = quote(f"relay.{key}.{event}", safe="")
        room = quote(await self._room_id(), safe="")
        await self._api.call(
            "PUT", f"rooms/{room}/redact/{quote(event, safe='')}/{transaction}", {}
        )

    async def _post(self, room: str, content: dict[str, Any], key: str) -> Receipt:
        path = f"rooms/{quote(room, safe='')}/send/m.room.message/{quote(f'relay.{key}', safe='')}"
        answer = await self._api.call("PUT", path, content)
        return Receipt(str(answer.get("event_id", "")))

    async def _room_of(self, person: Mention) -> str:
        if not person.matrix:
            who = person.name or "somebody who was mentioned"
            text = f"{who} has no Matrix id that Relay knows: add them to [people] in the config"
            raise Failure("dead", "no_address", text)
        return await self._direct.room(person.matrix)

    async def _room_id(self) -> str:
        if not self._room:
            found = await self._api.call("GET", f"directory/room/{quote(self._named, safe='')}")
            self._room = str(found.get("room_id", ""))
        return self._room

    async def _enter(self, refused: Failure) -> None:
        """Join the room, or raise: what the homeserver said to joining, or else ``refused``."""
        if self._named.startswith("#"):
            self._room = ""
        try:
            joined = await self._api.call("POST", f"join/{quote(self._named, safe='')}", {})
        except Failure as error:
            # "No such room" and "not for you" are told by the send as well, and better.
            raise (refused if error.reason in ("M_FORBIDDEN", "M_NOT_FOUND") else error) from None
        self._room = str(joined.get("room_id", self._room))
