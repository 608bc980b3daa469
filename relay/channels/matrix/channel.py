"""Matrix, through the client-server API.

https://spec.matrix.org/latest/client-server-api/
"""

import asyncio
import re
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, ClassVar, TypeVar

from relay.channels.base import (
    DeliveryError,
    Finding,
    KeyValueStore,
    MessageNotFound,
    NoAddress,
    NotEditable,
    Receipt,
    ReplyTo,
    ThreadNotFound,
    collect,
)
from relay.channels.matrix.check import check
from relay.channels.matrix.client import MatrixApi
from relay.channels.matrix.content import (
    Image,
    MessageType,
    image_content,
    message_type,
    relation,
    render,
    replacement,
)
from relay.channels.matrix.direct import DirectRooms
from relay.channels.matrix.errors import NO_ACCESS_ERRORS
from relay.channels.matrix.rooms import ConfiguredRoom, RoomUpgrades
from relay.channels.matrix.settings import MatrixSettings
from relay.channels.pictures import PictureUploads
from relay.messages.message import Mention, Message, Picture
from relay.messages.turns import convert, localized

T = TypeVar("T")

_PICTURE_TTL = 30 * 24 * 3600.0  # seconds
_MAX_IMAGE_DELAY = 10.0  # seconds
# Synapse (1.163) answers M_UNKNOWN with these texts if the thread's first message or the message to
# edit does not exist, or is in another room. The spec defines no error code for it.
_UNKNOWN_EVENT_PATTERN = re.compile("Can't send relation to unknown event|Unknown parent event")
_OTHER_ROOM_PATTERN = re.compile("Relations must be in the same room")
_NO_MESSAGE = "the message does not exist"


class MatrixChannel:
    """Posts to a room, or to direct rooms, as a user of the homeserver."""

    # Every homeserver has its own limits and reports them with M_LIMIT_EXCEEDED.
    pace: ClassVar[float | None] = None
    edits_notify: ClassVar[bool] = True

    def __init__(self, settings: MatrixSettings, kv: KeyValueStore) -> None:
        self._settings = settings
        self._api = MatrixApi(settings)
        self._upgrades = RoomUpgrades(self._api, kv)
        self._room = ConfiguredRoom(self._api, self._upgrades, settings.room)
        self._direct = DirectRooms(self._api, self._upgrades, kv)
        self._pictures = PictureUploads(
            "Matrix", self._api.account, self._api.upload, kv, _PICTURE_TTL
        )

    async def send(
        self,
        message: Message,
        key: str,
        thread: ReplyTo | None = None,
        picture: Picture | None = None,
    ) -> Receipt:
        """Post the message. ``key`` is in its transaction id, so the homeserver posts it once.

        A user who is not in the room joins it, if invited or if the room is public. A picture that
        is posted below the text is in the receipt; the text counts as sent without it.
        """
        msgtype = message_type(message, self._settings.msgtype)
        image = await self._upload(picture)
        below = None
        if image is not None and self._settings.shows_image(msgtype):
            below = localized(message, partial(image_content, image, message.file))
            image = None
        content = await self._content(message, image, msgtype)
        if message.to is not None:
            return await self._post_all(await self._direct_room(message.to), content, below, key)
        if thread is not None:
            content["m.relates_to"] = relation(_text_id(thread.root), _text_id(thread.last))
        try:
            return await self._in_room(lambda room: self._post_all(room, content, below, key))
        except DeliveryError as error:
            patterns = (_UNKNOWN_EVENT_PATTERN, _OTHER_ROOM_PATTERN)
            if thread and any(pattern.search(error.detail) for pattern in patterns):
                raise ThreadNotFound(error.reason, error.detail) from None
            raise

    async def update(
        self, receipt: str, message: Message, key: str, picture: Picture | None = None
    ) -> None:
        """Edits the text, which keeps its ``msgtype``. An image below it stays as it is."""
        text, *images = receipt.split(" ")
        new = message.change.new_mentions if message.change else ()
        added = [person.address("matrix") for person in message.mentions if person.id in new]
        msgtype = await self._type_of(text) or message_type(message, self._settings.msgtype)
        image = None if images else await self._upload(picture)
        content = await self._content(message, image, msgtype)
        content = replacement(content, text, [user for user in added if user])
        try:
            await self._in_room(lambda room: self._post(room, content, key))
        except DeliveryError as error:
            if _UNKNOWN_EVENT_PATTERN.search(error.detail):
                raise MessageNotFound(error.reason, _NO_MESSAGE) from None
            if _OTHER_ROOM_PATTERN.search(error.detail):
                text = "the message is in the channel's previous room"
                raise NotEditable(error.reason, text) from None
            raise

    async def remove(
        self, receipt: str, message: Message, key: str, *, is_further: bool = False
    ) -> None:
        """Redacts the message and its edits, which would otherwise stay in the room, and its image.
        The first message of a thread with replies is edited instead, since some clients do not show
        a thread whose first message was redacted (github.com/element-hq/element-web/issues/24639).
        """
        ends_thread = message.change is not None and message.change.whole_thread
        text, *images = receipt.split(" ")
        try:
            edit = not ends_thread and bool(await self._related_events(text, "m.thread"))
            events = [] if edit else [*await self._related_events(text, "m.replace"), text]
            for event in (*events, *images):
                await self._redact(event, key)
        except DeliveryError as error:
            if error.reason == "M_NOT_FOUND" or _UNKNOWN_EVENT_PATTERN.search(error.detail):
                raise MessageNotFound(error.reason, _NO_MESSAGE) from None
            if error.reason not in ("M_FORBIDDEN", "M_UNRECOGNIZED"):
                raise
            # A user who may not redact may still edit; an old homeserver has no relations API.
            edit = True
        if edit:
            await self.update(receipt, message, key)

    async def check(self) -> list[Finding]:
        removes, named = self._settings.edit_mode == "in-place", self._settings.room
        return await collect(check(self._api, self._upgrades, named, removes=removes), "Matrix")

    async def close(self) -> None:
        await self._api.close()

    async def _upload(self, picture: Picture | None) -> Image | None:
        uri = await self._pictures.upload(picture) if picture is not None else ""
        return Image(uri, picture) if picture is not None and uri else None

    async def _content(
        self, message: Message, image: Image | None, msgtype: MessageType
    ) -> dict[str, Any]:
        image = None if message.content.override else image
        return await convert(message, lambda: render(message, image, msgtype))

    async def _in_room(self, call: Callable[[str], Awaitable[T]]) -> T:
        """``call`` with the room's id; after a refusal, join the room and call it again."""
        room = await self._room.current()
        try:
            return await call(room)
        except DeliveryError as error:
            if error.reason not in NO_ACCESS_ERRORS:
                raise
            room = await self._room.rejoin(error)
        return await call(room)

    async def _related_events(self, event: str, kind: str) -> list[str]:
        """https://spec.matrix.org/latest/client-server-api/#relationships-api"""
        path = "relations", event, kind
        answer = await self._in_room(
            lambda room: self._api.call("GET", "rooms", room, *path, version="v1", limit=100)
        )
        chunk = answer.get("chunk")
        events = chunk if isinstance(chunk, list) else []
        return [str(event.get("event_id", "")) for event in events]

    async def _redact(self, event: str, key: str) -> None:
        """https://spec.matrix.org/latest/client-server-api/#redactions"""
        path = "redact", event, f"relay.{key}.{event}"
        await self._api.call("PUT", "rooms", await self._room.current(), *path, body={})

    async def _type_of(self, event: str) -> MessageType | None:
        """The ``msgtype`` of a text; None where the homeserver does not say."""
        try:
            answer = await self._in_room(
                lambda room: self._api.call("GET", "rooms", room, "event", event)
            )
        except DeliveryError as error:
            if error.reason not in ("M_NOT_FOUND", "M_UNRECOGNIZED"):
                raise
            return None  # the edit's own error says more
        content = answer.get("content")
        msgtype = content.get("msgtype") if isinstance(content, dict) else None
        return msgtype if msgtype in ("m.text", "m.notice") else None

    async def _post_all(
        self, room: str, content: dict[str, Any], image: dict[str, Any] | None, key: str
    ) -> Receipt:
        """The text, then the image: not as a relation to the text, since clients show no relation
        whose parent they have not loaded."""
        text = await self._post(room, content, key)
        if image is None or not text:
            return Receipt(text)
        if thread := content.get("m.relates_to"):
            image = image | {"m.relates_to": relation(thread["event_id"], text)}
        try:
            shown = await self._post_image(room, image, f"{key}.image")
        except DeliveryError as error:
            self._pictures.warn(str(error))
            return Receipt(text)
        return Receipt(f"{text} {shown}" if shown else text)

    async def _post_image(self, room: str, image: dict[str, Any], key: str) -> str:
        """The text is sent, so that only a short delay is waited for."""
        try:
            return await self._post(room, image, key)
        except DeliveryError as error:
            if error.retry_after is None or error.retry_after > _MAX_IMAGE_DELAY:
                raise
            await asyncio.sleep(error.retry_after)
        return await self._post(room, image, key)

    async def _post(self, room: str, content: dict[str, Any], key: str) -> str:
        path = "send", "m.room.message", f"relay.{key}"
        answer = await self._api.call("PUT", "rooms", room, *path, body=content)
        return str(answer.get("event_id", ""))

    async def _direct_room(self, person: Mention) -> str:
        if not person.address("matrix"):
            name = person.name or "a mentioned person"
            text = f"the Matrix id of {name} is not known: add them to [people] in the config"
            raise NoAddress("no_address", text)
        return await self._direct.room(person.address("matrix"))


def _text_id(receipt: str) -> str:
    """The event of the text, without that of its image."""
    return receipt.partition(" ")[0]
