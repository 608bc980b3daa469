"""Matrix's ``errcode``: what to do, and a sentence for a person.

What only a person can mend is ``broken``, and messages wait for it; what is wrong with this one
message is ``dead``. https://spec.matrix.org/latest/client-server-api/#standard-error-response
"""

from collections.abc import Mapping
from typing import Any

from relay.channels.base import Failure
from relay.channels.failures import LONGEST_WAIT, Rules, from_status, seconds, words

_TOKEN = "give Relay the access token of a logged-in user"  # noqa: S105 - no token
_ADDRESS = "check homeserver in the config: it is the address of the client-server API"
_MALFORMED = "the homeserver can't read what Relay sent"

RULES: Rules = {
    "M_LIMIT_EXCEEDED": ("retry", "the homeserver asks to send more slowly"),
    "M_RESOURCE_LIMIT_EXCEEDED": ("retry", "the homeserver has reached a limit of its own"),
    "M_UNKNOWN_TOKEN": ("broken", f"the access token is not valid (any more): {_TOKEN}"),
    "M_MISSING_TOKEN": ("broken", f"no access token reached the homeserver: {_TOKEN}"),
    "M_UNAUTHORIZED": ("broken", f"the access token may not do this: {_TOKEN}"),
    "M_USER_DEACTIVATED": ("broken", f"the user's account was deactivated: {_TOKEN}"),
    "M_USER_LOCKED": ("broken", "the user's account is locked: have it unlocked"),
    "M_USER_SUSPENDED": ("broken", "the user's account is suspended: have that lifted"),
    "M_USER_LIMIT_EXCEEDED": ("retry", "the user has reached a limit of the homeserver"),
    "M_GUEST_ACCESS_FORBIDDEN": ("broken", f"a guest can't post: {_TOKEN}"),
    "M_CONSENT_NOT_GIVEN": ("broken", "the user has not yet agreed to the homeserver's terms"),
    "M_TERMS_NOT_SIGNED": ("broken", "the user has not yet agreed to the homeserver's terms"),
    "M_FORBIDDEN": ("broken", "the user is not in the room or may not post there: invite it"),
    "M_NOT_FOUND": ("broken", "the homeserver knows no such room"),
    "M_BAD_ALIAS": ("broken", "the room's alias leads nowhere"),
    "M_INVALID_PARAM": ("retry", "the homeserver does not accept the room's name"),
    "M_INVALID_ROOM_STATE": ("retry", "the room's state forbids it"),
    "M_INCOMPATIBLE_ROOM_VERSION": ("broken", "the homeserver is too old for the room"),
    "M_UNSUPPORTED_ROOM_VERSION": ("broken", "the homeserver is too old for the room"),
    "M_UNRECOGNIZED": ("broken", f"this is not a homeserver that Relay can talk to: {_ADDRESS}"),
    "M_UNABLE_TO_AUTHORISE_JOIN": ("retry", "the homeserver can't tell whether the user may join"),
    "M_UNABLE_TO_GRANT_JOIN": ("retry", "no server in the room can let the user join"),
    "M_SERVER_NOT_TRUSTED": ("retry", "the homeserver does not trust the room's server"),
    "M_UNKNOWN": ("retry", "the homeserver is in trouble"),
    "M_TOO_LARGE": ("dead", "the message is too long"),
    "M_BAD_JSON": ("dead", _MALFORMED),
    "M_NOT_JSON": ("dead", _MALFORMED),
    "M_MISSING_PARAM": ("dead", _MALFORMED),
    "M_DUPLICATE_ANNOTATION": ("dead", "the same message was sent before"),
}


def failure(answer: object, status: int, headers: Mapping[str, str], *, secret: str) -> Failure:
    """What an answer of a homeserver means.

    ``answer`` is its decoded JSON, or whatever else came; what is not in the table, and all that
    a proxy in front of it may answer, is ``retry``.
    """
    after = seconds(headers.get("Retry-After"))
    code: Any = None
    if isinstance(answer, dict):
        code = answer.get("errcode")
        asked = answer.get("retry_after_ms")  # what servers sent before the header
        if after is None and isinstance(asked, int | float):
            # Bounded first: an integer of JSON may be too large for a float.
            after = seconds(str(min(max(asked, 0), LONGEST_WAIT * 1000) / 1000))
    if (
        not isinstance(code, str)
        or not code
        or not code.replace("_", "").replace(".", "").isalnum()
    ):
        return from_status(status, "the homeserver", after)
    code = words(code, secret)[:60]
    if status >= 500:
        verdict, sentence = RULES["M_UNKNOWN"]
    else:
        verdict, sentence = RULES.get(code, ("retry", "the homeserver refuses"))
    told = words(str(answer.get("error") or ""), secret) if isinstance(answer, dict) else ""
    return Failure(verdict, code, f"{sentence} ({told})" if told else sentence, after)
