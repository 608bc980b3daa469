"""Mattermost, by bot token or by incoming webhook."""

from functools import partial
from typing import Any, ClassVar

from relay.channels.base import (
    DeliveryError,
    Finding,
    KeyValueStore,
    Receipt,
    ReplyTo,
    collect,
)
from relay.channels.mattermost import content
from relay.channels.mattermost.check import check
from relay.channels.mattermost.client import MattermostApi
from relay.channels.mattermost.errors import ARCHIVED_ERROR, TOO_LONG_ERRORS
from relay.channels.mattermost.rooms import MattermostRooms
from relay.channels.mattermost.settings import MattermostSettings
from relay.channels.pictures import UploadAttempts
from relay.messages.message import Message, Picture
from relay.messages.turns import convert


class MattermostChannel:
    # RateLimitSettings.PerSec of a server is 10 by default, and off:
    # https://docs.mattermost.com/configure/rate-limiting-configuration-settings.html
    pace: ClassVar[float | None] = 600.0
    edits_notify: ClassVar[bool] = False

    def __init__(self, settings: MattermostSettings, kv: KeyValueStore) -> None:
        self._settings = settings
        self._api = MattermostApi(settings)
        self._rooms = MattermostRooms(self._api, settings, kv)
        self._max_length = content.MAX_LENGTH
        self._uploads = UploadAttempts("Mattermost")

    async def send(
        self,
        message: Message,
        key: str,
        thread: ReplyTo | None = None,
        picture: Picture | None = None,
    ) -> Receipt:
        """Post the message. Mattermost has no idempotency key that outlives a minute, so ``key`` is
        not used: a message that was in flight when Relay was killed may be posted twice."""
        if not self._api.by_bot:
            await self._api.post_webhook(self._sender() | {"text": await self._text(message)})
            return Receipt("")
        if message.to is not None:
            return await self._post(await self._rooms.direct(message.to), message, None, picture)
        try:
            return await self._post(await self._rooms.configured(), message, thread, picture)
        except DeliveryError as error:
            if error.reason != ARCHIVED_ERROR or not (new := await self._rooms.replacement()):
                raise
        return await self._post(new, message, None, picture)

    async def _post(
        self, channel: str, message: Message, thread: ReplyTo | None, picture: Picture | None
    ) -> Receipt:
        body: dict[str, Any] = {"channel_id": channel}
        if thread is not None:
            body["root_id"] = thread.root
        if file := await self._upload(picture, channel):
            body["file_ids"] = [file]
        answer = await self._write(message, partial(self._api.call, "POST", "posts"), body)
        return Receipt(str(answer.get("id", "")))

    async def update(
        self, receipt: str, message: Message, key: str, picture: Picture | None = None
    ) -> None:
        """Edits the text; a picture stays as it is."""
        await self._write(message, partial(self._api.call, "PUT", "posts", receipt, "patch"), {})

    async def remove(
        self, receipt: str, message: Message, key: str, *, is_further: bool = False
    ) -> None:
        # Edited and not deleted: people whom it notified, or who replied, see why it is gone.
        # Mattermost deletes all replies with the first message of their thread.
        if is_further:
            await self._api.call("DELETE", "posts", receipt)
        else:
            await self.update(receipt, message, key)

    async def check(self) -> list[Finding]:
        return await collect(check(self._api, self._rooms, self._settings), "Mattermost")

    async def close(self) -> None:
        await self._api.http.close()

    async def _write(self, message: Message, call: Any, body: dict[str, Any]) -> dict[str, Any]:
        """Again with a shorter text if the server's database is an old one."""
        try:
            return dict(await call(json=body | {"message": await self._text(message)}))
        except DeliveryError as error:
            if error.reason not in TOO_LONG_ERRORS or self._max_length == content.OLD_MAX_LENGTH:
                raise
        self._max_length = content.OLD_MAX_LENGTH
        return dict(await call(json=body | {"message": await self._text(message)}))

    async def _text(self, message: Message) -> str:
        return await convert(message, lambda: content.TEXT.render(message, self._max_length))

    def _sender(self) -> dict[str, str]:
        """https://developers.mattermost.com/integrate/webhooks/incoming/#parameters"""
        settings = self._settings
        sender = {"username": settings.username, "icon_url": settings.icon_url}
        return {name: value for name, value in sender.items() if value}

    async def _upload(self, picture: Picture | None, channel: str) -> str:
        """Empty where it fails. A file belongs to one post, so that none is uploaded only once."""
        if picture is None:
            return ""
        return await self._uploads.run(picture, self._api.upload(picture, channel))
