"""Matrix's ``errcode`` as delivery errors, each with a sentence for a person.

https://spec.matrix.org/latest/client-server-api/#standard-error-response
"""

from collections.abc import Mapping

from relay.channels.base import DeliveryError, Misconfigured, Permanent, RetryLater
from relay.channels.errors import (
    MAX_RETRY_DELAY,
    ErrorTable,
    error_from_status,
    parse_retry_after,
    redact,
)

_TOKEN = "give Relay the access token of a logged-in user"  # noqa: S105 - no token
_ADDRESS = "check homeserver in the config: it is the address of the client-server API"
_MALFORMED = "the homeserver can't read what Relay sent"
_TERMS = "the user must accept the homeserver's terms first"
_OLD_SERVER = "the homeserver does not support the room's version: upgrade it"

ERRORS: ErrorTable = {
    "M_LIMIT_EXCEEDED": (RetryLater, "the homeserver limits the rate of messages"),
    "M_RESOURCE_LIMIT_EXCEEDED": (RetryLater, "the homeserver reached one of its limits"),
    "M_UNKNOWN_TOKEN": (Misconfigured, f"the access token is not valid: {_TOKEN}"),
    "M_MISSING_TOKEN": (Misconfigured, f"no access token reached the homeserver: {_TOKEN}"),
    "M_UNAUTHORIZED": (Misconfigured, f"the access token may not do this: {_TOKEN}"),
    "M_USER_DEACTIVATED": (Misconfigured, f"the user's account was deactivated: {_TOKEN}"),
    "M_USER_LOCKED": (
        Misconfigured,
        "the user's account is locked: ask the server's admin to unlock it",
    ),
    "M_USER_SUSPENDED": (Misconfigured, "the user's account is suspended: ask the server's admin"),
    "M_USER_LIMIT_EXCEEDED": (RetryLater, "the user reached a limit of the homeserver"),
    "M_GUEST_ACCESS_FORBIDDEN": (Misconfigured, f"a guest can't post: {_TOKEN}"),
    "M_CONSENT_NOT_GIVEN": (Misconfigured, _TERMS),
    "M_TERMS_NOT_SIGNED": (Misconfigured, _TERMS),
    "M_FORBIDDEN": (Misconfigured, "the user is not in the room or may not post there: invite it"),
    "M_NOT_FOUND": (Misconfigured, "the homeserver does not know the room"),
    "M_BAD_ALIAS": (Misconfigured, "the room's alias points to no room"),
    "M_INVALID_PARAM": (RetryLater, "the homeserver does not accept the room's name"),
    "M_INVALID_ROOM_STATE": (RetryLater, "the room's state forbids it"),
    "M_INCOMPATIBLE_ROOM_VERSION": (Misconfigured, _OLD_SERVER),
    "M_UNSUPPORTED_ROOM_VERSION": (Misconfigured, _OLD_SERVER),
    "M_UNRECOGNIZED": (Misconfigured, f"the server does not support this call: {_ADDRESS}"),
    "M_UNABLE_TO_AUTHORISE_JOIN": (RetryLater, "the homeserver can't check who may join the room"),
    "M_UNABLE_TO_GRANT_JOIN": (RetryLater, "no server in the room can let the user join"),
    "M_SERVER_NOT_TRUSTED": (RetryLater, "the homeserver does not trust the room's server"),
    "M_UNKNOWN": (RetryLater, "the homeserver has a problem"),
    "M_TOO_LARGE": (Permanent, "the message is too long"),
    "M_BAD_JSON": (Permanent, _MALFORMED),
    "M_NOT_JSON": (Permanent, _MALFORMED),
    "M_MISSING_PARAM": (Permanent, _MALFORMED),
    "M_DUPLICATE_ANNOTATION": (Permanent, "the same message was sent before"),
}


def error_from_answer(
    answer: object, status: int, headers: Mapping[str, str], *, secret: str
) -> DeliveryError:
    """``answer`` is the decoded JSON, of any type. A code that is not in ``ERRORS``, and an answer
    of a proxy, is retried."""
    fields = answer if isinstance(answer, dict) else {}
    code = fields.get("errcode")
    retry_after = parse_retry_after(headers.get("Retry-After"))
    milliseconds = fields.get("retry_after_ms")  # sent by servers that do not send the header
    if retry_after is None and isinstance(milliseconds, int | float):
        # Bounded before the division: an integer of JSON may be too large for a float.
        bounded = min(max(milliseconds, 0), MAX_RETRY_DELAY * 1000)
        retry_after = parse_retry_after(str(bounded / 1000))
    if not isinstance(code, str) or not code.replace("_", "").replace(".", "").isalnum():
        return error_from_status(status, "the homeserver", retry_after)
    code = redact(code, secret)[:60]
    if status >= 500:
        kind, sentence = ERRORS["M_UNKNOWN"]
    else:
        kind, sentence = ERRORS.get(code, (RetryLater, "the homeserver refuses"))
    more = redact(str(fields.get("error") or ""), secret)
    return kind(code, f"{sentence} ({more})" if more else sentence, retry_after)
