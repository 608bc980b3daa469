"""Slack, by bot token (chat.postMessage) or by incoming webhook."""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Mapping
from functools import partial
from typing import Any, ClassVar, TypeAlias

from relay.channels import slack_blocks, slack_check
from relay.channels.base import Failure, Finding, KeyValueStore, Receipt, ReplyTo
from relay.channels.slack_api import SlackApi
from relay.channels.slack_errors import NOT_ITS_BLOCKS
from relay.channels.slack_files import SlackFiles
from relay.channels.slack_people import SlackPeople, digest
from relay.config import SlackSettings
from relay.messages.message import Mention, Message
from relay.picture import Picture

_PICTURE = 2.0  # seconds for an upload
_MOMENTS = (0.0, 0.3, 0.7)  # seconds before each try to show it
_DIRECT_LASTS = _ID_LASTS = 365 * 24 * 3600.0
_NOT_TO_THEM = ("user_disabled", "user_not_found", "user_not_visible", "cannot_dm_bot")

_log = logging.getLogger(__name__)

_Put: TypeAlias = Callable[[dict[str, Any]], Coroutine[Any, Any, Receipt]]
"""Hands Slack the text and blocks of a message. Raises ``Failure``."""

# Nothing in a message is read as markup, nothing is unfolded below it.
_OPTIONS: dict[str, Any] = {
    "mrkdwn": False,
    "parse": "none",
    "link_names": False,
    "unfurl_links": False,
    "unfurl_media": False,
}


class SlackChannel:
    """A Slack channel."""

    kind: ClassVar[str] = "slack"
    # "chat.postMessage: one message per second per channel", and so for incoming webhooks:
    # https://docs.slack.dev/apis/web-api/rate-limits
    pace: ClassVar[float | None] = 60.0
    # What is changed notifies nobody, whoever is mentioned in it by then.
    pings_in_edits: ClassVar[bool] = False

    def __init__(self, settings: SlackSettings, notes: KeyValueStore) -> None:
        self._settings = settings
        self._channel = settings.channel
        self._by_bot = settings.token is not None
        self._broadcast = settings.broadcast
        self._api = SlackApi(settings)
        self._notes = notes
        self._workspace = digest(settings.api_url + self._api.secret)
        call = self._api.call if self._by_bot else None
        self._people = SlackPeople(call, notes, self._workspace)
        self._files = SlackFiles(self._api.call, self._api.put, notes, self._workspace)
        self._told: set[str] = set()
        self._id_note = f"slack-channel/{self._workspace}/{settings.channel}"
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

        Blocks of an override that can't be used give way to the message's own.
        """
        if message.to is not None:
            return await self._send_directly(message, message.to, picture)
        put = partial(self._post, self._channel, thread)
        return await self._write(message, picture, put)

    async def update(
        self, receipt: str, message: Message, key: str, picture: Picture | None = None
    ) -> None:
        """See ``Editor``. Slack does not mark a message with blocks as edited:
        https://docs.slack.dev/reference/methods/chat.update
        """
        await self._write(message, picture, partial(self._edit, receipt))

    async def remove(self, receipt: str, message: Message, key: str) -> None:
        """See ``Editor``. The message stands in its place, so that who was pinged by it, or has
        replied, sees what became of it; and a workspace may forbid to delete."""
        await self.update(receipt, message, key)

    async def _send_directly(
        self, message: Message, person: Mention, picture: Picture | None
    ) -> Receipt:
        user = await self._people.find(person)
        note = f"slack-direct/{self._workspace}/{user}"
        channel = await self._notes.get(note, _DIRECT_LASTS)
        if channel:
            try:
                put = partial(self._post, channel, None)
                return await self._write(message, picture, put)
            except Failure as refused:
                if refused.reason != "channel_not_found":
                    raise
        try:
            answer = await self._api.call("conversations.open", json={"users": user})
        except Failure as refused:
            if refused.reason not in _NOT_TO_THEM:
                raise
            text = f"Slack opens no conversation with {person.name or user}: {refused.reason}"
            raise Failure("dead", "no_address", text) from refused
        opened = answer.get("channel")
        channel = str(opened.get("id", "")) if isinstance(opened, dict) else ""
        await self._notes.keep(note, channel)
        return await self._write(message, picture, partial(self._post, channel, None))

    async def _write(self, message: Message, picture: Picture | None, put: _Put) -> Receipt:
        pings = await self._people.pings(message.mentions)
        if message.override:
            try:
                return await put(slack_blocks.override(message, pings))
            except ValueError as error:
                self._complain(message, str(error))
            except Failure as refused:
                if refused.reason not in NOT_ITS_BLOCKS:
                    raise
                self._complain(message, str(refused))
        elif picture is not None and self._by_bot:
            receipt = await self._put_with(picture, message, pings, put)
            if receipt is not None:
                return receipt
        return await put(slack_blocks.render(message, pings))

    async def _put_with(
        self, picture: Picture, message: Message, pings: Mapping[str, str], put: _Put
    ) -> Receipt | None:
        """Put the message with a picture; None where Slack does not take the picture in time.

        Slack looks at an uploaded file a moment later, and refuses blocks that show it before
        (github.com/slackapi/slack-github-action/issues/413).
        """
        try:
            async with asyncio.timeout(_PICTURE):
                image = await self._files.block(picture, message.file or "Thumbnail")
        except Failure as failure:
            self._without_picture(str(failure))
            return None
        except TimeoutError:
            self._without_picture("the upload takes too long")
            return None
        body = slack_blocks.render(message, pings, image)
        why = ""
        for wait in _MOMENTS:
            await asyncio.sleep(wait)
            try:
                return await put(body)
            except Failure as refused:
                if refused.reason not in NOT_ITS_BLOCKS:
                    raise
                why = str(refused)
        await self._files.forget(picture)
        self._without_picture(why)
        return None

    def _without_picture(self, why: str) -> None:
        if why not in self._told:
            self._told.add(why)
            _log.warning("Slack gets messages without pictures: %s", why)

    async def check(self) -> list[Finding]:
        """Ask who the token belongs to and whether that bot may post to the channel."""
        if not self._by_bot:
            return [slack_check.webhook(self._api.secret)]
        return await slack_check.bot(self._api.call, self._settings)

    async def close(self) -> None:
        """Close the connections."""
        await self._api.close()

    async def _post(self, channel: str, thread: ReplyTo | None, body: dict[str, Any]) -> Receipt:
        if self._by_bot:
            body = {"channel": channel} | _OPTIONS | body
            if thread is not None:
                body |= {"thread_ts": thread.root, "reply_broadcast": self._broadcast}
            answer = await self._api.call("chat.postMessage", json=body)
            if channel == self._channel:
                await self._learn_id(str(answer.get("channel", "")))
            return Receipt(str(answer.get("ts", "")))
        await self._api.hook(_OPTIONS | body)
        return Receipt("")

    async def _edit(self, receipt: str, body: dict[str, Any]) -> Receipt:
        """Change a message. Slack takes the channel's id for that, and not its name."""
        channel = self._id or await self._notes.get(self._id_note, _ID_LASTS)
        if not channel:
            raise Failure("fixed", "channel_id", f"Slack has not told the id of {self._channel}")
        body = {"channel": channel, "ts": receipt, "parse": "none", "link_names": False} | body
        await self._api.call("chat.update", json=body)
        return Receipt(receipt)

    async def _learn_id(self, told: str) -> None:
        if told and told != self._id and self._channel.startswith("#"):
            self._id = told
            await self._notes.keep(self._id_note, told)

    def _complain(self, message: Message, why: str) -> None:
        _log.warning("the Slack template of %s is not used: %s", message.event, why)
