"""Discord's JSON error codes as delivery errors, each with a sentence for a person.

https://docs.discord.com/developers/topics/opcodes-and-status-codes#json-json-error-codes
https://docs.discord.com/developers/topics/rate-limits
"""

from collections.abc import Mapping

from relay.channels.base import (
    DeliveryError,
    MessageNotFound,
    Misconfigured,
    NotEditable,
    Permanent,
    RetryLater,
)
from relay.channels.errors import error_from_code, error_table, requested_delay
from relay.channels.http_api import json_object

_HOOK = "create a new webhook in the channel's settings and set webhook_url to its URL"
_GONE_DELAY = 600.0  # seconds; repeated requests to a webhook that is gone lead to a ban
GONE_ERRORS = ("code_10015", "code_50027", "code_10003")

ERRORS = error_table(
    {
        RetryLater: {
            "code_0": "Discord refuses, for an unknown reason",
            "code_20016 code_20028 code_20029 code_40062": "Discord limits the rate of messages",
            "code_20022 code_30046": "Discord limits the rate of edits",
            "code_40004 code_40006": "Discord does not accept messages at the moment",
            "code_130000": "Discord is overloaded",
            "code_40333": "Cloudflare, in front of Discord, blocks Relay's requests",
        },
        Misconfigured: {
            "code_10015 code_10016": f"the webhook does not exist: {_HOOK}",
            "code_50027 code_50014 code_40001": f"the webhook's token is wrong: {_HOOK}",
            "code_10003": "the channel or thread does not exist: set webhook_url to another one",
            "code_10004": f"the Discord server does not exist: {_HOOK}",
            "code_50001 code_50013": f"the webhook may not post there: {_HOOK}",
            "code_50008 code_50024 code_220004": (
                f"this kind of channel accepts no messages of a webhook: {_HOOK}"
            ),
            "code_220001 code_40058": (
                "the channel is a forum: add ?thread_id= with the id of a post to the address, "
                "and set webhook_url to that"
            ),
            "code_50083 code_160005": (
                "the thread is archived or locked: ask a moderator to open it, or set webhook_url "
                "to another"
            ),
        },
        Permanent: {
            "code_40005": "the message is too large",
            "code_50006": "the message is empty",
            "code_50035 code_50109": "Discord can't read what Relay sent",
            "code_200000 code_200001": "the Discord server's AutoMod blocks the message",
            "code_240000": "Discord takes a link in the message for a harmful one",
            "code_50045 code_50046 code_50110 code_400001": "Discord does not accept the picture",
        },
        MessageNotFound: {"code_10008": "the message does not exist"},
        NotEditable: {"code_50005 code_50021": "the webhook may only edit its own messages"},
    }
)
REFUSED_PICTURE_ERRORS = frozenset(
    f"code_{code}" for code in (40005, 50045, 50046, 50110, 400001)
) | {"http-413"}
"""Codes that a picture may cause: the message is sent without it."""


def error_from_answer(
    body: bytes, status: int, headers: Mapping[str, str], *, secret: str, server: str, key: str
) -> DeliveryError:
    """A body without a code is not Discord's, but of what is in front of it."""
    fields = json_object(body)
    delays = []
    if isinstance(seconds := fields.get("retry_after"), int | float):
        delays.append(str(seconds))
    retry_after = requested_delay(headers, *delays)
    if status == 429 and not fields and b"1015" in body[:2000]:
        text = f"Cloudflare, in front of {server}, blocks this network for a while (error 1015)"
        return RetryLater("cloudflare_1015", text, retry_after)
    number, more = fields.get("code"), str(fields.get("message") or "")
    code = f"code_{number}" if isinstance(number, int) and not isinstance(number, bool) else ""
    if status == 429:
        code = code if code in ERRORS and code != "code_0" else ""
    if code in GONE_ERRORS:
        retry_after = max(retry_after or 0.0, _GONE_DELAY)
    more = f"{more}: {_first_problem(fields.get('errors'))}".removesuffix(": ")
    return error_from_code(ERRORS, server, status, code, more, retry_after, secret=secret, key=key)


def _first_problem(errors: object) -> str:
    """The place and text of the first of the problems with a form, which is nested by its keys."""
    path: list[str] = []
    while isinstance(errors, dict) and errors:
        name, errors = next(iter(errors.items()))
        if name == "_errors" and isinstance(errors, list) and errors:
            problem = errors[0] if isinstance(errors[0], dict) else {}
            return f"{'.'.join(path)} {problem.get('message', '')}".strip()
        path.append(str(name))
    return ""
