"""A comment's author as the sender of its message, instead of the bot.

It needs the scope ``chat:write.customize``. Without it Slack answers ``missing_scope``, or ignores
the name (github.com/papercups-io/papercups/pull/522), so that a message would name nobody. So Relay
first asks for the scopes, which the head of each answer names.

https://docs.slack.dev/reference/methods/chat.postMessage#authorship
"""

import logging
import time
from typing import Any

from relay.channels.base import DeliveryError
from relay.channels.slack.blocks import sender_name
from relay.channels.slack.client import SlackApi
from relay.channels.slack.settings import SlackSettings
from relay.channels.slack.users import REFUSED_DELAY, SlackUsers
from relay.messages.message import Message

SENDER_SCOPE = "chat:write.customize"
NO_SCOPES = (
    "Slack's answers do not name the token's scopes: let the proxy in between pass their header "
    "X-OAuth-Scopes"
)
_MISSING_SCOPE, _DROPPED = "missing_scope", "sender_dropped"
_ADD_SCOPE = f"give the Slack app the scope {SENDER_SCOPE} and reinstall it"

_log = logging.getLogger(__name__)


class SlackSenders:
    """Whom the messages of one channel show as their sender."""

    def __init__(self, api: SlackApi, users: SlackUsers, settings: SlackSettings) -> None:
        self._api = api
        self._users = users
        self._settings = settings
        self._ask_at = 0.0
        self._warned: set[str] = set()
        self._paused_until = 0.0

    async def arguments(self, message: Message) -> dict[str, str]:
        """Arguments of chat.postMessage and chat.update; empty where the bot is the sender."""
        author, settings = message.author, self._settings
        if author is None or not settings.shows_author or time.monotonic() < self._paused_until:
            return {}
        if message.is_reply and settings.broadcast:
            # Slack shows a reply in the channel without the sender that it was posted with:
            # github.com/slackapi/node-slack-sdk/issues/1016, …/bolt-js/issues/2445
            return {}
        if not await self._has_scope():
            return {}
        arguments = {"username": sender_name(author)}
        if picture := await self._users.picture(author.email):
            arguments["icon_url"] = picture
        return arguments

    async def _has_scope(self) -> bool:
        if not self._api.scopes and time.monotonic() >= self._ask_at:
            self._ask_at = time.monotonic() + REFUSED_DELAY
            try:
                await self._api.call("auth.test")
            except DeliveryError as error:
                self._warn(f"Slack did not say which scopes the token has ({error})")
                return False
            if not self._api.scopes:
                self._warn(NO_SCOPES)
        has_scope = SENDER_SCOPE in self._api.scopes
        if self._api.scopes and not has_scope:
            self._warn(_ADD_SCOPE)
        return has_scope

    def refused(self, error: DeliveryError) -> bool:
        """Whether the bot has to send the message, as Slack accepts no other sender for it."""
        if error.reason == _MISSING_SCOPE:
            self._paused_until = time.monotonic() + REFUSED_DELAY
            self._warn(_ADD_SCOPE)
        return error.reason in (_MISSING_SCOPE, _DROPPED)

    def _warn(self, reason: str) -> None:
        if reason not in self._warned:
            self._warned.add(reason)
            text = "comments are not shown as their author's (author_as_sender): %s"
            _log.warning(text, reason)


def require_kept(sender: str, answer: dict[str, Any]) -> None:
    """Raise ``DeliveryError`` where an edit has lost its sender.

    An edit without a name removes the one of the message
    (github.com/slackapi/node-slack-sdk/issues/944), and the arguments that chat.update documents
    have none, so that the answer has to show it.
    """
    message = answer.get("message")
    if sender and not (isinstance(message, dict) and message.get("username")):
        raise DeliveryError(_DROPPED, "Slack does not keep the author as the sender of an edit")
