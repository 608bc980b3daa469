"""Discord, by webhook."""

import logging
from typing import Any, ClassVar

from relay.channels.base import (
    DeliveryError,
    Finding,
    KeyValueStore,
    Receipt,
    ReplyTo,
    collect,
)
from relay.channels.discord import content
from relay.channels.discord.check import check
from relay.channels.discord.client import DiscordApi, name_of
from relay.channels.discord.errors import REFUSED_PICTURE_ERRORS
from relay.channels.discord.settings import DiscordSettings
from relay.messages.message import Message, Picture
from relay.messages.turns import convert

_log = logging.getLogger(__name__)


class DiscordChannel:
    # "Rate limits should not be hard coded": the client follows the headers of the answers.
    pace: ClassVar[float | None] = None
    edits_notify: ClassVar[bool] = False

    def __init__(self, settings: DiscordSettings, kv: KeyValueStore) -> None:
        self._api = DiscordApi(settings)
        self._has_warned = False

    async def send(
        self,
        message: Message,
        key: str,
        thread: ReplyTo | None = None,
        picture: Picture | None = None,
    ) -> Receipt:
        """Post the message. A webhook has no idempotency key, so ``key`` is not used: a message
        that was in flight when Relay was killed may be posted twice."""
        if picture is not None:
            try:
                body = await _body(message, picture)
                return Receipt(await self._api.post(body, picture))
            except DeliveryError as error:
                self._require_picture_error(error)
        return Receipt(await self._api.post(await _body(message, None), None))

    async def update(
        self, receipt: str, message: Message, key: str, picture: Picture | None = None
    ) -> None:
        if picture is not None:
            try:
                return await self._api.edit(receipt, await _body(message, picture), picture)
            except DeliveryError as error:
                self._require_picture_error(error)
        return await self._api.edit(receipt, await _body(message, None), None)

    async def remove(
        self, receipt: str, message: Message, key: str, *, is_further: bool = False
    ) -> None:
        # Edited and not deleted: people whom it notified see why it is gone.
        if is_further:
            await self._api.delete(receipt)
        else:
            await self.update(receipt, message, key)

    async def check(self) -> list[Finding]:
        return await collect(check(self._api), "Discord")

    async def close(self) -> None:
        await self._api.http.close()

    def _require_picture_error(self, error: DeliveryError) -> None:
        if error.reason not in REFUSED_PICTURE_ERRORS:
            raise error
        if not self._has_warned:
            self._has_warned = True
            _log.warning("Discord gets messages without pictures: %s", error)


async def _body(message: Message, picture: Picture | None) -> dict[str, Any]:
    name = name_of(picture) if picture else ""
    return await convert(message, lambda: content.render(message, name))
