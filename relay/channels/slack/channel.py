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
    NoAddress,
    NotEditable,
    Permanent,
    Receipt,
    ReplyTo,
    collect,
)
from relay.channels.pictures import PictureUploads
from relay.channels.slack import blocks as slack_blocks
from relay.channels.slack.check import check
from relay.channels.slack.client import SlackApi
from relay.channels.slack.errors import REFUSED_CONTENT_ERRORS
from relay.channels.slack.senders import SlackSenders, require_kept
from relay.channels.slack.settings import SlackSettings
from relay.channels.slack.users import SlackUsers
from relay.messages.message import Mention, Message, Picture
from relay.messages.turns import convert

_IMAGE_RETRY_DELAYS = (0.0, 0.3, 0.7)  # seconds before each attempt to show an uploaded image
_PICTURE_TTL = 24 * 3600.0  # seconds
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
        self._api = SlackApi(settings)
        self._kv = kv
        self._users = SlackUsers(self._api, kv)
        self._senders = SlackSenders(self._api, self._users, settings)
        self._pictures = PictureUploads(
            "Slack", self._api.workspace, self._api.upload, kv, _PICTURE_TTL
        )
        self._id_key = f"slack-channel/{self._api.workspace}/{settings.channel}"
        self._id = "" if settings.channel.startswith("#") else settings.channel
        self._is_renamed = False

    async def send(
        self,
        message: Message,
        key: str,
        thread: ReplyTo | None = None,
        picture: Picture | None = None,
    ) -> Receipt:
        """Post the message. Slack has no idempotency key, so ``key`` is not used: a message
        that was in flight when Relay was killed may be posted twice.

        If Slack refuses the blocks of an override, the built-in ones are posted; if it refuses
        these, plain text.
        """
        if message.to is not None:
            return await self._send_directly(message, message.to, picture)
        if not self._api.by_bot:
            return await self._write(message, None, partial(self._post_webhook, message))
        return await self._write(message, picture, partial(self._post_to_channel, thread))

    async def update(
        self, receipt: str, message: Message, key: str, picture: Picture | None = None
    ) -> None:
        # Slack does not mark a message with blocks as edited:
        # https://docs.slack.dev/reference/methods/chat.update
        await self._write(message, picture, partial(self._edit, receipt))

    async def remove(
        self, receipt: str, message: Message, key: str, *, is_further: bool = False
    ) -> None:
        # Edited and not deleted: people whom it notified, or who replied, see why it is gone.
        if not (is_further and await self._delete(receipt)):
            await self.update(receipt, message, key)

    async def _delete(self, receipt: str) -> bool:
        """False where the workspace forbids it.

        https://docs.slack.dev/reference/methods/chat.delete
        """
        body = {"channel": await self._channel_to_edit(), "ts": receipt}
        try:
            await self._api.call("chat.delete", json=body)
        except DeliveryError as error:
            if error.reason not in ("cant_delete_message", "compliance_exports_prevent_deletion"):
                raise
            return False
        return True

    async def check(self) -> list[Finding]:
        return await collect(check(self._api, self._settings), "Slack")

    async def close(self) -> None:
        await self._api.close()

    async def _send_directly(
        self, message: Message, person: Mention, picture: Picture | None
    ) -> Receipt:
        user = await self._users.user_id(person)
        key = f"slack-direct/{self._api.workspace}/{user}"
        channel = await self._kv.get(key, _ID_TTL)
        if channel:
            try:
                return await self._write(message, picture, partial(self._post, channel, None))
            except DeliveryError as error:
                if error.reason != "channel_not_found":
                    raise
        channel = await self._open_conversation(user, person)
        await self._kv.put(key, channel)
        return await self._write(message, picture, partial(self._post, channel, None))

    async def _open_conversation(self, user: str, person: Mention) -> str:
        try:
            answer = await self._api.call("conversations.open", json={"users": user})
        except DeliveryError as error:
            if error.reason not in _NO_DM_ERRORS:
                raise
            text = f"Slack opens no conversation with {person.name or user}: {error.reason}"
            if not person.address("slack"):  # they have left since their id was looked up
                raise NoAddress("no_address", text) from error
            raise Permanent(error.reason, f"{text}; check [people] in the config") from error
        conversation = answer.get("channel")
        return str(conversation.get("id", "")) if isinstance(conversation, dict) else ""

    async def _write(self, message: Message, picture: Picture | None, post: _Post) -> Receipt:
        """As the comment's author, if that is so configured and Slack accepts it, else as the
        bot."""
        if sender := await self._senders.arguments(message):
            try:
                return await self._write_forms(
                    message.by_author(), picture, lambda body: post(sender | body)
                )
            except DeliveryError as error:
                if not self._senders.refused(error):
                    raise
        return await self._write_forms(message, picture, post)

    async def _write_forms(self, message: Message, picture: Picture | None, post: _Post) -> Receipt:
        """The first form of the message that Slack accepts."""
        user_ids = await self._users.user_ids(message.mentions)
        if message.content.override:
            try:
                return await post(
                    await convert(message, lambda: slack_blocks.override(message, user_ids))
                )
            except (ValueError, DeliveryError) as error:
                if isinstance(error, DeliveryError) and error.reason not in REFUSED_CONTENT_ERRORS:
                    raise
                text = "the Slack template of %s is not used: %s"
                _log.warning(text, message.event, error)
        elif picture is not None:
            receipt = await self._write_with_image(picture, message, user_ids, post)
            if receipt is not None:
                return receipt
        try:
            content = await convert(message, lambda: slack_blocks.render(message, user_ids))
            return await post(content)
        except DeliveryError as error:
            if error.reason not in REFUSED_CONTENT_ERRORS:
                raise
            _log.warning("%s is sent to Slack as plain text: %s", message.event, error)
        text = await convert(message, lambda: slack_blocks.full_text(message))
        return await post({"text": text})

    async def _write_with_image(
        self, picture: Picture, message: Message, user_ids: Mapping[str, str], post: _Post
    ) -> Receipt | None:
        """None where Slack does not accept the picture in time.

        Slack processes an uploaded file asynchronously, and refuses blocks that show it until then
        (github.com/slackapi/slack-github-action/issues/413).
        """
        file = await self._pictures.upload(picture)
        if not file:
            return None
        image = {"slack_file": {"id": file}}
        body = await convert(message, lambda: slack_blocks.render(message, user_ids, image))
        reason = ""
        for delay in _IMAGE_RETRY_DELAYS:
            await asyncio.sleep(delay)
            try:
                return await post(body)
            except DeliveryError as error:
                if error.reason not in REFUSED_CONTENT_ERRORS:
                    raise
                reason = str(error)
        await self._pictures.forget(picture, reason)
        return None

    async def _post_webhook(self, message: Message, body: dict[str, Any]) -> Receipt:
        if self._settings.other_host:  # which may show the text only
            body = await convert(message, partial(slack_blocks.with_full_text, message, body))
        await self._api.post_webhook(_LITERAL_TEXT | body)
        return Receipt("")

    async def _post_to_channel(self, thread: ReplyTo | None, body: dict[str, Any]) -> Receipt:
        """To the channel with the configured name. If Slack does not know that name, because the
        channel was renamed, to the channel that had it before."""
        if not self._is_renamed:
            try:
                return await self._post(self._channel, thread, body)
            except DeliveryError as error:
                is_name = self._channel.startswith("#")
                if not (is_name and error.reason == "channel_not_found" and await self._known_id()):
                    raise
            self._is_renamed = True
            _log.warning(
                "Slack has no channel %s: messages go to %s, the channel that had this name. Set "
                "channel in the config to its new name or this id",
                self._channel,
                self._id,
            )
        try:
            return await self._post(self._id, thread, body)
        except DeliveryError as error:
            self._is_renamed = error.reason != "channel_not_found"
            raise

    async def _known_id(self) -> str:
        """The id that Slack returned for the channel's name, or empty."""
        self._id = self._id or await self._kv.get(self._id_key, _ID_TTL) or ""
        return self._id

    async def _channel_to_edit(self) -> str:
        """An edit needs the channel's id, as does a deletion: Slack does not accept its name there
        (github.com/slackapi/python-slack-sdk/issues/696)."""
        if channel := await self._known_id():
            return channel
        raise NotEditable("channel_id", f"the id of the channel {self._channel} is not known")

    async def _post(self, channel: str, thread: ReplyTo | None, body: dict[str, Any]) -> Receipt:
        body = {"channel": channel} | _LITERAL_TEXT | body
        if thread is not None:
            body |= {"thread_ts": thread.root, "reply_broadcast": self._settings.broadcast}
        answer = await self._api.call("chat.postMessage", json=body)
        posted = str(answer.get("channel", ""))
        if channel == self._channel and channel.startswith("#") and posted not in ("", self._id):
            self._id = posted
            await self._kv.put(self._id_key, posted)
        return Receipt(str(answer.get("ts", "")))

    async def _edit(self, receipt: str, body: dict[str, Any]) -> Receipt:
        """Blocks that an edit omits stay (github.com/slackapi/python-slack-sdk/issues/523), so that
        a text without blocks needs an empty list."""
        body = {
            "channel": await self._channel_to_edit(),
            "ts": receipt,
            "parse": "none",
            "link_names": False,
            "blocks": [],
        } | body
        answer = await self._api.call("chat.update", json=body)
        require_kept(str(body.get("username", "")), answer)
        return Receipt(receipt)
