"""Rocket.Chat's errors as delivery errors, each with a sentence for a person.

An error is a text: one of apps/meteor/app/integrations/server/api/api.ts, of the functions
processWebhookMessage and sendMessage in apps/meteor/app/lib/server/functions, of canSendMessage in
apps/meteor/app/authorization/server/functions (github.com/RocketChat/Rocket.Chat), or one of the
integration's own script. Here its words are joined by ``_``.
"""

import re
from collections.abc import Mapping

from relay.channels.base import DeliveryError, Misconfigured, Permanent, RetryLater
from relay.channels.errors import (
    DOUBT_TIMEOUT,
    error_from_code,
    error_table,
    redact,
    requested_delay,
)
from relay.channels.http_api import json_object

_HOOK = "create a new one and set webhook_url to its URL"
_USER = "or use another one in the integration"
TOO_LONG_ERROR = "error_message_size_exceeded"
_DISABLED_ERROR = "service_unavailable"  # comes with status 503

ERRORS = error_table(
    {
        Misconfigured: {
            "invalid_integration_id_or_token_provided": (
                f"the integration does not exist: {_HOOK}"
            ),
            _DISABLED_ERROR: (
                "the integration is off: enable it in Rocket.Chat (Workspace, Integrations)"
            ),
            "you_must_be_logged_in_to_do_this": (f"the integration's user does not exist: {_HOOK}"),
            "invalid_channel error_invalid_room": (
                "the room does not exist: use another one in the integration"
            ),
            "error_not_allowed error_user_not_in_room": (
                f"the integration's user is not in the room: add it there, {_USER}"
            ),
            "you_can_t_send_messages_because_the_room_is_readonly": (
                "the room is read-only: allow the integration's user to post there"
            ),
            "you_have_been_muted": (
                f"the integration's user is muted in the room: ask a moderator, {_USER}"
            ),
            "room_is_blocked": "the person has blocked the integration's user: ask them",
            "not_enough_permission": (
                "the integration's user may not change the sender's name and picture: add the "
                "role bot to it, or check username and icon_url in the config"
            ),
        },
        Permanent: {TOO_LONG_ERROR: "the message is too long"},
    }
)
_DELAY_PATTERN = re.compile(r"wait (\d{1,6}) seconds")


def error_from_answer(
    body: bytes, status: int, headers: Mapping[str, str], *, secret: str, server: str, key: str
) -> DeliveryError:
    """A body without an error comes from a proxy. That of the server's limit on the rate names the
    delay in its text only."""
    fields = json_object(body)
    text = str(fields.get("error") or fields.get("message") or "")
    code = re.sub(r"\W+", "_", text).strip("_").lower()
    if status < 300 or code == _DISABLED_ERROR:
        status = 400
    known = code if code in ERRORS else ""
    if text and not known and status == 400:
        # Of a script, which may refuse only some messages.
        sentence = f"{server} refuses the message ({redact(text, secret)})"
        sentence = f"{sentence}; Relay retries it for an hour"
        return RetryLater("refused", sentence, give_up_after=DOUBT_TIMEOUT)
    delay = requested_delay(headers, *_DELAY_PATTERN.findall(text))
    return error_from_code(ERRORS, server, status, known, "", delay, secret=secret, key=key)
