"""Decoding the body of a webhook into plain Python values, with limits on size, depth and time.

A body is untrusted, so the limits are checked before parsing: no body takes longer than about a
tenth of a second.
"""

import asyncio
import json
from typing import Any, Literal

from relay.errors import RelayError
from relay.penpot import transit

# Values of a body, counted as commas and opening brackets. Penpot's own bodies have below 100,
# except for ``ids`` of move-files and for parameters that an API client made up.
MAX_VALUES = 30_000
MAX_DEPTH = 64  # Penpot's own bodies have 4
# Limit for a body with characters beyond ASCII, which may need four bytes each in memory.
MAX_NON_ASCII_BYTES = 8 * 1024 * 1024
LARGE_BODY_BYTES = 64 * 1024  # a body of this size is decoded in a thread

_BOM = b"\xef\xbb\xbf"
_WINDOW_BYTES = 64 * 1024
_MEDIA_TYPES: dict[str, Literal["json", "transit"]] = {
    "application/json": "json",
    "application/transit+json": "transit",
}


class UnreadableBody(RelayError, ValueError):
    """The body can't be decoded; the text gives the reason."""


def media_type(content_type: str) -> Literal["json", "transit"] | None:
    """Penpot's encoding that a Content-Type header names; parameters are ignored."""
    return _MEDIA_TYPES.get(content_type.partition(";")[0].strip().lower())


async def decode_body(body: bytes, content_type: str) -> Any:
    """As ``decode``, without blocking the event loop."""
    if len(body) < LARGE_BODY_BYTES:
        return decode(body, content_type)
    return await asyncio.to_thread(decode, body, content_type)


def decode(body: bytes, content_type: str) -> Any:
    """The values in a body: dict with str keys, list, str, int, float, bool, None.

    Transit gives the same values as Penpot's JSON of the same event, except for the order of sets
    (sorted here). Strings can be encoded as UTF-8, floats are finite. Raises only
    ``UnreadableBody``.
    """
    kind = media_type(content_type)
    if kind is None:
        raise UnreadableBody("the content type is neither JSON nor Transit")
    try:
        containers = _check_size(body)
        value = _PARSER.decode(body.removeprefix(_BOM).decode("utf-8"))
        if containers > MAX_DEPTH and isinstance(value, dict | list):
            _check_depth(value, 1)
        if kind == "transit":
            value = transit.plain(value)
        value = replace_lone_surrogates(value, body)
    except UnicodeDecodeError as error:
        raise UnreadableBody(f"not UTF-8 at byte {error.start}") from None
    except json.JSONDecodeError as error:
        raise UnreadableBody(f"not JSON: {error.msg} at character {error.pos}") from None
    except RecursionError:
        raise UnreadableBody("nested too deeply") from None
    except ValueError as error:
        raise UnreadableBody(str(error)) from None
    return value


def _check_size(body: bytes) -> int:
    """An upper bound for the number of arrays and objects. Raises if decoding may be costly."""
    if not body or body.isspace():
        raise UnreadableBody("empty")
    if len(body) > MAX_NON_ASCII_BYTES and (b"\\u" in body or not body.isascii()):
        raise UnreadableBody(f"more than {MAX_NON_ASCII_BYTES} bytes of text beyond ASCII")
    values = containers = 0
    # Counting has a cost per hit: in windows, a body of brackets exceeds the limit early.
    for start in range(0, len(body), _WINDOW_BYTES):
        end = start + _WINDOW_BYTES
        containers += body.count(b"[", start, end) + body.count(b"{", start, end)
        values += body.count(b",", start, end)
        if values + containers > MAX_VALUES:
            raise UnreadableBody(f"more than {MAX_VALUES} values")
    return containers


def _check_depth(value: Any, depth: int) -> None:
    """Raises ``RecursionError`` if ``value`` is nested too deeply."""
    if depth > MAX_DEPTH:
        raise RecursionError
    for item in value.values() if isinstance(value, dict) else value:
        if isinstance(item, dict | list):
            _check_depth(item, depth + 1)


def replace_lone_surrogates(value: Any, body: bytes) -> Any:
    """``value``, decoded from the JSON in ``body``, with U+FFFD for lone surrogates, which UTF-8
    can't encode and the stores can't save."""
    return _encodable(value) if b"\\ud" in body or b"\\uD" in body else value


def _encodable(value: Any) -> Any:
    if isinstance(value, str):
        if value.isascii():
            return value
        try:
            value.encode()
        except UnicodeEncodeError:
            # Fast, as a body may be full of them: each decodes as three invalid bytes.
            text = value.encode("utf-8", "surrogatepass").decode("utf-8", "replace")
            return text.replace("\ufffd" * 3, "\ufffd")
    elif isinstance(value, list):
        return [_encodable(item) for item in value]
    elif isinstance(value, dict):
        return {_encodable(key): _encodable(item) for key, item in value.items()}
    return value


_PARSER = json.JSONDecoder(
    parse_int=transit.integer, parse_float=transit.finite, parse_constant=transit.finite
)
