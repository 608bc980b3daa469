"""Reads Transit with transit-python: from parsed JSON to plain Python values.

The result has the shape of Penpot's own JSON: map keys in camelCase without namespace, UUIDs and
instants as text, sets as sorted lists. The handlers replace those of the library, which builds
maps and sets of UUIDs and numbers, whose hashes a sender can make collide. Here a key is text.

Format: https://github.com/cognitect/transit-format (0.8); both the compact and the verbose mode.
"""

import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from math import isfinite
from types import NoneType
from typing import Any, NamedTuple

from transit.decoder import Decoder, Tag
from transit.rolling_cache import CACHE_SIZE, decode_key
from transit.transit_types import Boolean, frozendict

MAX_NUMBER_LENGTH = 100  # characters; Penpot's longest number has 24
MAX_CACHED_NAME_LENGTH = 256  # otherwise two bytes of cache code could expand to megabytes

_TAG_ERROR = "a Transit tag must have one value"
_PAIR_ERROR = "a Transit map has a key without a value"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NUMBER_TAGS = frozenset({"~i", "~n", "~d", "~f", "~z"})
_CACHED_TAGS = frozenset({"~:", "~$", "~#"})  # of names that are cached even if they are no keys
_PLAIN_NAME_PATTERN = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")
_CAPITALS_PATTERN = re.compile(r"([A-Z]+[a-z']*)")
_WORD_BREAK_PATTERN = re.compile(r"(?:[^\w'()\[\]{}?!]|_)+")
_UUID_PATTERN = re.compile(
    r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", re.IGNORECASE
)


def plain(node: Any) -> Any:
    """Plain values from parsed JSON in Transit's form. Raises ``ValueError`` with the reason.

    The caller has limited the size and depth of ``node``.
    """
    _check(node)
    try:
        return _plain(_DECODER.decode(node, _NameCache()))
    except IndexError:  # the library expects a value after a tag's cache code
        raise ValueError(_TAG_ERROR) from None


def camel(name: str) -> str:
    """A keyword's name as in Penpot's JSON: ``owner-fullname`` becomes ``ownerFullname``.

    Penpot uses ``cuerdas.core/camel``; this does not split names beyond ASCII at capitals.
    """
    if len(name) > MAX_CACHED_NAME_LENGTH:
        return name
    if _PLAIN_NAME_PATTERN.fullmatch(name):
        first, *rest = name.split("-")
        return first + "".join(map(str.capitalize, rest))
    words = [
        word for word in _WORD_BREAK_PATTERN.split(_CAPITALS_PATTERN.sub(r"-\1", name)) if word
    ]
    if not words:
        return name
    return words[0].lower() + "".join([word[0].upper() + word[1:] for word in words[1:]])


def integer(text: str) -> int:
    """The length is limited because the cost of parsing grows with its square."""
    if len(text) > MAX_NUMBER_LENGTH:
        raise ValueError("a number is too long")
    try:
        return int(text)
    except ValueError:
        raise ValueError("not a whole number") from None


def finite(text: str) -> float:
    if len(text) > MAX_NUMBER_LENGTH:
        raise ValueError("a number is too long")
    try:
        number = float(text)
    except ValueError:
        raise ValueError("not a number") from None
    if not isfinite(number):
        raise ValueError("a number is too large")
    return number


class _NameCache:
    """The names that Transit's codes refer to; for the library in place of its ``RollingCache``.
    Refuses what is costly to expand or to use as a key."""

    def __init__(self) -> None:
        self._names: list[str] = []

    def decode(self, name: str, as_map_key: bool = False) -> str:
        prefix = name[:2]
        if prefix[:1] == "^" and name != "^ ":
            return self._coded(name)
        if as_map_key and prefix in _NUMBER_TAGS:
            raise ValueError("a key of a Transit map is a number")
        if (as_map_key or prefix in _CACHED_TAGS) and _java_length(name) > 3:
            if len(self._names) == CACHE_SIZE:
                self._names.clear()
            self._names.append(name)
        return "~~" if name == "~" else name  # the library fails at a lone tilde

    def _coded(self, code: str) -> str:
        index = decode_key(code) if 2 <= len(code) <= 3 else -1
        if not 0 <= index < len(self._names):
            raise ValueError("an unknown Transit cache code")
        name = self._names[index]
        if len(name) > MAX_CACHED_NAME_LENGTH:
            raise ValueError("a cached Transit name is too long")
        return name


class _Name(str):
    """A keyword or symbol, whose form depends on whether it is a key."""

    __slots__ = ()


class _Handler(NamedTuple):
    from_rep: Callable[..., Any]  # the name that the library calls


def _check(node: Any) -> None:
    """Refuses what the library would read differently, or with keys that may collide."""
    children: Sequence[Any] = ()
    if isinstance(node, dict):
        children = tuple(node.values())
    elif isinstance(node, list) and node:
        children = node
        if node[0] == "^ ":
            if len(node) % 2 == 0:
                raise ValueError(_PAIR_ERROR)
            if not all(isinstance(key, str) for key in node[1::2]):
                raise ValueError("a key of a Transit map is not text")
        elif isinstance(node[0], str) and node[0].startswith("~#") and len(node) != 2:
            raise ValueError(_TAG_ERROR)
    for child in children:
        if isinstance(child, dict | list):
            _check(child)


def _plain(value: Any) -> Any:
    if type(value) in (str, int, NoneType):  # most of them: fast
        return value
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    if isinstance(value, frozendict | dict):
        return {_key(key): _plain(item) for key, item in value.items()}
    if isinstance(value, _Name):
        return str(value)
    if isinstance(value, Boolean):
        return bool(value)
    if isinstance(value, Tag):
        raise ValueError(_TAG_ERROR)  # noqa: TRY004 - the type follows from the body
    return value


def _key(key: Any) -> str | None:
    """The text of a key; None for a composite key, which JSON can't have."""
    if type(key) is str:
        return key
    if isinstance(key, _Name):
        return camel(str(key))
    key = _plain(key)
    if key is None or isinstance(key, bool):
        return {None: "null", True: "true", False: "false"}[key]
    return str(key) if isinstance(key, int | float) else None


def _java_length(text: str) -> int:
    """Length in UTF-16 code units, as the writer decides what to cache; approximate above 3."""
    if len(text) > 3 or text.isascii():
        return len(text)
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def _uuid_of_halves(halves: Sequence[Any]) -> str:
    if len(halves) != 2 or not all(isinstance(half, int) for half in halves):
        raise ValueError("not a UUID")
    digits = "".join([f"{half & 0xFFFFFFFFFFFFFFFF:016x}" for half in halves])
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))


def _uuid(text: str) -> str:
    if not _UUID_PATTERN.fullmatch(text):
        raise ValueError("not a UUID")
    return text.lower()


def _instant(text: str) -> str:
    """Milliseconds or RFC 3339, converted to the form in Penpot's JSON."""
    try:
        if "T" in text:
            at = datetime.fromisoformat(text)
            at = at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
        else:
            at = _EPOCH + timedelta(milliseconds=integer(text))
    except (ValueError, OverflowError):
        raise ValueError("not a date") from None
    spec = "milliseconds" if at.microsecond >= 1000 else "seconds"
    return at.replace(tzinfo=None).isoformat(timespec=spec) + "Z"


def _not_a_number(text: str) -> Any:
    raise ValueError(f"{text[:4]!r} is not a number")


def _name(text: str) -> _Name:
    return _Name(text.partition("/")[2] or text)


def _scalar(read: Callable[[str], Any]) -> _Handler:
    """For the text after ``~`` and a letter, and for the value of the tag with that letter."""

    def from_rep(rep: Any) -> Any:
        if type(rep) is str:
            return read(rep)
        return read(str(rep)) if type(rep) in (int, _Name) else rep

    return _Handler(from_rep)


def _uuid_or_halves(rep: Any) -> Any:
    return _uuid_of_halves(rep) if isinstance(rep, tuple | list) else _SCALARS["u"].from_rep(rep)


def _set(rep: Any) -> Any:
    # Only strings: mixed types can't be sorted, and the order of a set is arbitrary anyway.
    is_text = isinstance(rep, tuple | list) and all(isinstance(item, str) for item in rep)
    return sorted(rep) if is_text else rep


def _compound_map(rep: Any) -> dict[str, Any]:
    if not isinstance(rep, tuple | list) or len(rep) % 2:
        raise ValueError(_PAIR_ERROR)
    keys = map(_key, rep[::2])
    return {key: item for key, item in zip(keys, rep[1::2], strict=True) if key is not None}


_SCALARS = {
    ":": _scalar(_name),
    "$": _scalar(_name),
    "u": _scalar(_uuid),
    "m": _scalar(_instant),
    "t": _scalar(_instant),
    "i": _scalar(integer),
    "n": _scalar(integer),
    "d": _scalar(finite),
    "f": _scalar(finite),
    "z": _scalar(_not_a_number),
    "?": _scalar(lambda text: text == "t"),
    "_": _scalar(lambda _text: None),
}
# All others (URI, bytes, character, unknown tags) become their text or their untagged content.
_DECODER = Decoder({"decoders": {}, "default_decoder": _Handler(lambda _tag, rep: rep)})
# Set afterwards, since the constructor does not accept other handlers for some of them.
_DECODER.decoders = _SCALARS | {
    "u": _Handler(_uuid_or_halves),
    "set": _Handler(_set),
    "cmap": _Handler(_compound_map),
}
