"""Matrix's ``errcode`` as delivery errors, each with a sentence for a person.

https://spec.matrix.org/latest/client-server-api/#standard-error-response
"""

from collections.abc import Mapping

from relay.channels.base import (
    MAX_REQUESTED_DELAY,
    DeliveryError,
    Misconfigured,
    Permanent,
    RetryLater,
)
from relay.channels.errors import error_from_code, error_table, requested_delay

ADDRESS_KEY = "homeserver in the config"
_TOKEN = "set access_token to that of a logged-in user"  # noqa: S105 - no token
_ADDRESS = f"check {ADDRESS_KEY}: it is the address of the client-server API"
NO_ACCESS_ERRORS = ("M_FORBIDDEN", "M_NOT_FOUND")
"""The user is not in the room or may not do this there, or there is no such room or thing."""
ROOM_HINT = "invite the bot, or check room in the config (its id: room settings, Advanced)"

ERRORS = error_table(
    {
        RetryLater: {
            "M_LIMIT_EXCEEDED": "the homeserver limits the rate of messages",
            "M_RESOURCE_LIMIT_EXCEEDED": "the homeserver reached one of its limits",
            "M_USER_LIMIT_EXCEEDED": "the user reached a limit of the homeserver",
            "M_INVALID_PARAM": "the homeserver does not accept the room's name",
            "M_INVALID_ROOM_STATE": "the room's state forbids it",
            "M_UNABLE_TO_AUTHORISE_JOIN": "the homeserver can't check who may join the room",
            "M_UNABLE_TO_GRANT_JOIN": "no server in the room can let the user join",
            "M_SERVER_NOT_TRUSTED": "the homeserver does not trust the room's server",
            "M_UNKNOWN": "the homeserver has a problem",
        },
        Misconfigured: {
            "M_UNKNOWN_TOKEN": f"the access token is not valid: {_TOKEN}",
            "M_MISSING_TOKEN": f"no access token reached the homeserver: {_TOKEN}",
            "M_UNAUTHORIZED": f"the access token may not do this: {_TOKEN}",
            "M_USER_DEACTIVATED": f"the user's account was deactivated: {_TOKEN}",
            "M_USER_LOCKED M_USER_SUSPENDED": (
                "the user's account is locked or suspended: ask the server's admin"
            ),
            "M_GUEST_ACCESS_FORBIDDEN": f"a guest can't post: {_TOKEN}",
            "M_CONSENT_NOT_GIVEN M_TERMS_NOT_SIGNED": (
                "the user must accept the homeserver's terms first: log in with a client"
            ),
            "M_FORBIDDEN": "the user is not in the room or may not post there: invite it",
            "M_BAD_STATE": "the user can't join, such as after a ban: let a moderator invite it",
            "M_NOT_FOUND": f"the homeserver does not know the room: {ROOM_HINT}",
            "M_BAD_ALIAS": f"the room's alias points to no room: {ROOM_HINT}",
            "M_INCOMPATIBLE_ROOM_VERSION M_UNSUPPORTED_ROOM_VERSION": (
                "the homeserver does not support the room's version: upgrade it"
            ),
            "M_UNRECOGNIZED": f"the server does not support this call: {_ADDRESS}",
        },
        Permanent: {
            "M_TOO_LARGE": "the message is too long",
            "M_BAD_JSON M_NOT_JSON M_MISSING_PARAM": "the homeserver can't read what Relay sent",
            "M_DUPLICATE_ANNOTATION": "the same message was sent before",
        },
    }
)

# Synapse (1.163) answers so to the join of an unknown room.
_NOT_FOUND_ERRORS = ERRORS | error_table(
    {Misconfigured: {"M_UNKNOWN": f"the homeserver can't find the room: {ROOM_HINT}"}}
)


def error_from_answer(
    answer: object, status: int, headers: Mapping[str, str], *, secret: str
) -> DeliveryError:
    """``answer`` is the decoded JSON, of any type."""
    fields = answer if isinstance(answer, dict) else {}
    delays = []
    milliseconds = fields.get("retry_after_ms")  # beside the header, or instead of it
    if isinstance(milliseconds, int | float):
        # Bounded before the division: an integer of JSON may be too large for a float.
        delays.append(str(min(max(milliseconds, 0), MAX_REQUESTED_DELAY * 1000) / 1000))
    retry_after = requested_delay(headers, *delays)
    code, more = fields.get("errcode"), str(fields.get("error") or "")
    table, server = _NOT_FOUND_ERRORS if status == 404 else ERRORS, "the homeserver"
    return error_from_code(
        table, server, status, code, more, retry_after, secret=secret, key=ADDRESS_KEY
    )
