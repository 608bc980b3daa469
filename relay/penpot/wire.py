"""From the bytes of a webhook's body to plain Python values, bounded in size, depth and cost.

A body comes from outside and is read on the event loop, so the bounds are checked before anything
is parsed, and nothing in here takes longer than about a tenth of a second whatever the bytes are.
"""

import json
from typing import Any, Literal

from relay.penpot import transit

MAX_VALUES = 30_000
"""Most values in a body, counted as commas and opening brackets. Penpot's own have below 100; only
``ids`` of move-files and parameters that an API client made up have no bound."""
MAX_DEPTH = 64
"""Deepest nesting; Penpot's own bodies have 4."""
MAX_WIDE = 8 * 1024 * 1024
"""Most bytes of a body with characters beyond ASCII: these may need four bytes each in memory."""

_BOM = b"\xef\xbb\xbf"
_WINDOW = 64 * 1024
_MEDIA_TYPES: dict[str, Literal["json", "transit"]] = {
    "application/json": "json",
    "application/transit+json": "transit",
}


class UnreadableBody(ValueError):
    """The bytes can't be read; the text says why, for a person."""


def media_type(content_type: str) -> Literal["json", "transit"] | None:
    """Which of Penpot's two encodings a Content-Type header names; parameters are ignored."""
    return _MEDIA_TYPES.get(content_type.partition(";")[0].strip().lower())


def decode(body: bytes, content_type: str) -> Any:
    """The values in a body: dict with str keys, list, str, int, float, bool, None.

    Transit gives the same values as Penpot's JSON of the same event, but for the order of sets
    (sorted here). Strings can always be encoded as UTF-8, floats are finite. Raises
    ``UnreadableBody`` and nothing else.
    """
    kind = media_type(content_type)
    if kind is None:
        raise UnreadableBody("the content type is neither JSON nor Transit")
    try:
        containers = _check_size(body)
        value = _PARSER.decode(body.removeprefix(_BOM).decode("utf-8"))
        if kind == "transit":
            value = transit.plain(value, MAX_DEPTH)
        elif containers > MAX_DEPTH:
            _check_depth(value)
        value = encodable(value, body)
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
    """Raise if the body may be costly; else how many arrays and objects it has at most."""
    if not body or body.isspace():
        raise UnreadableBody("empty")
    if len(body) > MAX_WIDE and (b"\\u" in body or not body.isascii()):
        raise UnreadableBody(f"more than {MAX_WIDE} bytes of text beyond ASCII")
    values = containers = 0
    # In windows, as counting has a price per hit and a body of brackets is over at the first.
    for start in range(0, len(body), _WINDOW):
        end = start + _WINDOW
        containers += body.count(b"[", start, end) + body.count(b"{", start, end)
        values += body.count(b",", start, end)
        if values + containers > MAX_VALUES:
            raise UnreadableBody(f"more than {MAX_VALUES} values")
    return containers


def _check_depth(value: Any) -> None:
    level = [value] if isinstance(value, dict | list) else []
    for _ in range(MAX_DEPTH):
        level = [
            item
            for parent in level
            for item in (parent.values() if isinstance(parent, dict) else parent)
            if isinstance(item, dict | list)
        ]
        if not level:
            return
    raise ValueError("nested too deeply")


def encodable(value: Any, body: bytes) -> Any:
    """What was read from a body in JSON, with U+FFFD for each half of a surrogate pair that stands
    alone: it can be stored."""
    return _encodable(value) if b"\\ud" in body or b"\\uD" in body else value


def _encodable(value: Any) -> Any:
    """The value with U+FFFD for each half of a surrogate pair that stands alone."""
    if isinstance(value, str):
        return value if value.isascii() else _encodable_text(value)
    if isinstance(value, list):
        return [_encodable(item) for item in value]
    if isinstance(value, dict):
        return {_encodable(key): _encodable(item) for key, item in value.items()}
    return value


def _encodable_text(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        # All in C, as a body may be full of them: each decodes as three unreadable bytes.
        lone = text.encode("utf-8", "surrogatepass").decode("utf-8", "replace")
        return lone.replace("\ufffd" * 3, "\ufffd")
    return text


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not a number")


_PARSER = json.JSONDecoder(
    parse_int=transit.integer, parse_float=transit.finite, parse_constant=_refuse_constant
)
