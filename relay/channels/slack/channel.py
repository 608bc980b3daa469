"""Slack, by bot token (chat.postMessage) or by incoming webhook."""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Mapping
from functools import partial
from typing import Any, ClassVar, TypeAlias

from relay.channels.base import (
    DeliveryError,
    Finding,
    KeyValueStore,
    NotEditable,
    Permanent,
    Receipt,
    ReplyTo,
)
from relay.channels.slack import blocks as slack_blocks
from relay.channels.slack import check as slack_check
from relay.channels.slack.client import SlackApi
from relay.channels.slack.errors import INVALID_BLOCKS_ERRORS
from relay.channels.slack.files import SlackFiles
from relay.channels.slack.settings import SlackSettings
from relay.channels.slack.users import SlackUsers, short_hash
from relay.messages.message import Mention, Message, Picture

_UPLOAD_TIMEOUT = 2.0  # seconds
_IMAGE_RETRY_DELAYS = (0.0, 0.3, 0.7)  # seconds before each attempt to show an uploaded image
_ID_TTL = 365 * 24 * 3600.0  # seconds
_NO_DM_ERRORS = ("user_disabled", "user_not_found", "user_not_visible", "cannot_dm_bot")

_log = logging.getLogger(__name__)

_Post: TypeAlias = Callable[[dict[str, Any]], Coroutine[Any, Any, Receipt]]
"""Posts a body of ``text`` and ``blocks``, or edits a message to it. Raises ``DeliveryError``."""

# Slack reads no markup in the text and adds no link previews.
_LITERAL_TEXT: dict[str, Any] = {
    "mrkdwn": False,
    "parse": "none",
    "link_names": False,
    "unfurl_links": False,
    "unfurl_media": False,
}


class SlackChannel:
    # One message per second and channel, for chat.postMessage and for incoming webhooks:
    # https://docs.slack.dev/apis/web-api/rate-limits
    pace: ClassVar[float | None] = 60.0
    edits_notify: ClassVar[bool] = False

    def __init__(self, settings: SlackSettings, kv: KeyValueStore) -> None:
        self._settings = settings
        self._channel = settings.channel
        self._by_bot = settings.token is not None
        self._broadcast = settings.broadcast
        self._api = SlackApi(settings)
        self._kv = kv
        self._workspace = short_hash(settings.api_url + self._api.secret)
        call = self._api.call if self._by_bot else None
        self._users = SlackUsers(call, kv, self._workspace)
        self._files = SlackFiles(self._api.call, self._api.upload, kv, self._workspace)
        self._warned: set[str] = set()
        self._id_key = f"slack-channel/{self._workspace}/{settings.channel}"
        self._id = "" if settings.channel.startswith("#") else settings.channel

    async def send(
        self,
        message: Message,
        key: str,
        thread: ReplyTo | None = None,
        picture: Picture | None = None,
    ) -> Receipt:
        """Post the message. Slack has no idempotency key, so ``key`` is not used: a message
        that was in flight when Relay was killed may be posted twice.

        If Slack refuses the blocks of an override, the built-in ones are posted.
        """
        if message.to is not None:
            return await self._send_directly(message, message.to, picture)
        return await self._write(message, picture, partial(self._post, self._channel, thread))

    async def update(
        self, receipt: str, message: Message, key: str, picture: Picture | None = None
    ) -> None:
        # Slack does not mark a message with blocks as edited:
        # https://docs.slack.dev/reference/methods/chat.update
        await self._write(message, picture, partial(self._edit, receipt))

    async def remove(self, receipt: str, message: Message, key: str) -> None:
        # Edited and not deleted: people whom it notified, or who replied, see why it is gone, and
        # a workspace may forbid deleting.
        await self.update(receipt, message, key)

    async def _send_directly(
        self, message: Message, person: Mention, picture: Picture | None
    ) -> Receipt:
        user = await self._users.user_id(person)
        key = f"slack-direct/{self._workspace}/{user}"
        channel = await self._kv.get(key, _ID_TTL)
        if channel:
            try:
                return await self._write(message, picture, partial(self._post, channel, None))
            except DeliveryError as error:
                if error.reason != "channel_not_found":
                    raise
        try:
            answer = await self._api.call("conversations.open", json={"users": user})
        except DeliveryError as error:
            if error.reason not in _NO_DM_ERRORS:
                raise
            text = f"Slack opens no conversation with {person.name or user}: {error.reason}"
            raise Permanent("no_address", text) from error
        conversation = answer.get("channel")
        channel = str(conversation.get("id", "")) if isinstance(conversation, dict) else ""
        await self._kv.put(key, channel)
        return await self._write(message, picture, partial(self._post, channel, None))

    async def _write(self, message: Message, picture: Picture | None, post: _Post) -> Receipt:
        user_ids = await self._users.user_ids(message.mentions)
        if message.content.override:
            try:
                return await post(slack_blocks.override(message, user_ids))
            except ValueError as error:
                self._warn_override(message, str(error))
            except DeliveryError as error:
                if error.reason not in INVALID_BLOCKS_ERRORS:
                    raise
                self._warn_override(message, str(error))
        elif picture is not None and self._by_bot:
            receipt = await self._write_with_image(picture, message, user_ids, post)
            if receipt is not None:
                return receipt
        return await post(slack_blocks.render(message, user_ids))

    async def _write_with_image(
        self, picture: Picture, message: Message, user_ids: Mapping[str, str], post: _Post
    ) -> Receipt | None:
        """None where Slack does not accept the picture in time.

        Slack processes an uploaded file asynchronously, and refuses blocks that show it until then
        (github.com/slackapi/slack-github-action/issues/413).
        """
        try:
            async with asyncio.timeout(_UPLOAD_TIMEOUT):
                image = await self._files.block(picture, message.file or "Thumbnail")
        except DeliveryError as error:
            self._warn_no_picture(str(error))
            return None
        except TimeoutError:
            self._warn_no_picture("the upload takes too long")
            return None
        body = slack_blocks.render(message, user_ids, image)
        reason = ""
        for delay in _IMAGE_RETRY_DELAYS:
            await asyncio.sleep(delay)
            try:
                return await post(body)
            except DeliveryError as error:
                if error.reason not in INVALID_BLOCKS_ERRORS:
                    raise
                reason = str(error)
        await self._files.forget(picture)
        self._warn_no_picture(reason)
        return None

    def _warn_no_picture(self, reason: str) -> None:
        if reason not in self._warned:
            self._warned.add(reason)
            _log.warning("Slack gets messages without pictures: %s", reason)

    async def check(self) -> list[Finding]:
        if not self._by_bot:
            return [slack_check.webhook(self._api.secret)]
        return await slack_check.bot(self._api.call, self._settings)

    async def close(self) -> None:
        await self._api.close()

    async def _post(self, channel: str, thread: ReplyTo | None, body: dict[str, Any]) -> Receipt:
        if self._by_bot:
            body = {"channel": channel} | _LITERAL_TEXT | body
            if thread is not None:
                body |= {"thread_ts": thread.root, "reply_broadcast": self._broadcast}
            answer = await self._api.call("chat.postMessage", json=body)
            if channel == self._channel:
                await self._store_channel_id(str(answer.get("channel", "")))
            return Receipt(str(answer.get("ts", "")))
        await self._api.post_webhook(_LITERAL_TEXT | body)
        return Receipt("")

    async def _edit(self, receipt: str, body: dict[str, Any]) -> Receipt:
        """An edit needs the channel's id: Slack does not accept its name here."""
        channel = self._id or await self._kv.get(self._id_key, _ID_TTL)
        if not channel:
            raise NotEditable("channel_id", f"the id of the channel {self._channel} is not known")
        body = {"channel": channel, "ts": receipt, "parse": "none", "link_names": False} | body
        await self._api.call("chat.update", json=body)
        return Receipt(receipt)

    async def _store_channel_id(self, channel: str) -> None:
        if channel and channel != self._id and self._channel.startswith("#"):
            self._id = channel
            await self._kv.put(self._id_key, channel)

    def _warn_override(self, message: Message, reason: str) -> None:
        _log.warning("the Slack template of %s is not used: %s", message.event, reason)
