"""Reading Transit: from parsed JSON to plain Python values.

The result has the shape of Penpot's own JSON: map keys in camelCase without namespace, UUIDs and
instants as text, sets as sorted lists. A Transit library would build sets and maps with the body's
numbers and UUIDs as keys, whose hashes the sender can make collide (8,000 colliding UUIDs cost
1.6 s). Here a key is always a string.

Format: https://github.com/cognitect/transit-format (0.8); both the compact and the verbose mode.
"""

import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from math import isfinite
from typing import Any

MAX_NUMBER_LENGTH = 100  # characters; Penpot's longest number has 24
MAX_CACHED_NAME_LENGTH = 256  # otherwise two bytes of cache code could expand to megabytes

_MIN_CODE_CHARACTER = 48  # codes have one or two digits of base 44, from "0" on
_CODE_DIGIT_COUNT = 44
_MAX_CACHED_NAMES = _CODE_DIGIT_COUNT * _CODE_DIGIT_COUNT
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_PLAIN_NAME_PATTERN = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")
_CAPITALS_PATTERN = re.compile(r"([A-Z]+[a-z']*)")
_WORD_BREAK_PATTERN = re.compile(r"(?:[^\w'()\[\]{}?!]|_)+")
_UUID_PATTERN = re.compile(
    r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", re.IGNORECASE
)


def plain(node: Any, max_depth: int) -> Any:
    """Plain values from parsed JSON in Transit's form. Raises ``ValueError`` with the reason."""
    return _Reader(max_depth).value(node, 0)


def camel(name: str) -> str:
    """A keyword's name as in Penpot's JSON: ``owner-fullname`` becomes ``ownerFullname``.

    Penpot uses ``cuerdas.core/camel``; this does not split names beyond ASCII at capitals.
    """
    if len(name) > MAX_CACHED_NAME_LENGTH:
        return name
    if _PLAIN_NAME_PATTERN.fullmatch(name):
        first, *rest = name.split("-")
        return first + "".join([word[0].upper() + word[1:] for word in rest])
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


class _Reader:
    """Reads one body; holds its cache of names, which Transit's codes refer to."""

    def __init__(self, max_depth: int) -> None:
        self._max_depth = max_depth
        self._names: list[str] = []
        self._keys: dict[str, str] = {}

    def value(self, node: Any, depth: int) -> Any:
        if isinstance(node, str):
            return _scalar(self._name(node)) if node[:1] in ("~", "^") else node
        if isinstance(node, list):
            return self._array(node, depth + 1)
        if isinstance(node, dict):
            return self._verbose(node, depth + 1)
        return node

    def _array(self, nodes: list[Any], depth: int) -> Any:
        self._check(depth)
        if not nodes:
            return []
        first = nodes[0]
        if not isinstance(first, str):
            return [self.value(node, depth) for node in nodes]
        if first == "^ ":
            return self._map(nodes, depth)
        name = self._name(first)
        if name.startswith("~#"):
            if len(nodes) != 2:
                raise ValueError("a Transit tag must have one value")
            return _tagged(name[2:], self.value(nodes[1], depth))
        return [_scalar(name), *[self.value(node, depth) for node in nodes[1:]]]

    def _map(self, nodes: list[Any], depth: int) -> dict[str, Any]:
        if len(nodes) % 2 == 0:
            raise ValueError("a Transit map has a key without a value")
        result: dict[str, Any] = {}
        for index in range(1, len(nodes), 2):
            node = nodes[index]
            # The key first, as it may add a name to the cache.
            key = self._key(node) if isinstance(node, str) else _key_of(self.value(node, depth))
            value = self.value(nodes[index + 1], depth)
            if key is not None:
                result[key] = value
        return result

    def _verbose(self, node: dict[str, Any], depth: int) -> Any:
        self._check(depth)
        if len(node) == 1:
            (only, value) = next(iter(node.items()))
            name = self._name(only, is_key=True)
            if name.startswith("~#"):
                return _tagged(name[2:], self.value(value, depth))
            return {self._named(name): self.value(value, depth)}
        return {self._key(key): self.value(value, depth) for key, value in node.items()}

    def _key(self, text: str) -> str:
        return self._named(self._name(text, is_key=True))

    def _named(self, name: str) -> str:
        key = self._keys.get(name)
        if key is None:
            if name.startswith(("~:", "~$")):
                key = camel(_local(name[2:]))
            else:
                key = _key_of(_scalar(name)) or ""
            self._keys[name] = key
        return key

    def _name(self, text: str, *, is_key: bool = False) -> str:
        """The name that a cache code refers to; any other text itself, added to the cache."""
        if text.startswith("^") and text != "^ ":
            return self._coded(text)
        if (is_key or text.startswith(("~:", "~$", "~#"))) and _java_length(text) > 3:
            if len(self._names) == _MAX_CACHED_NAMES:
                self._names.clear()
            self._names.append(text)
        return text

    def _coded(self, code: str) -> str:
        digits = [ord(character) - _MIN_CODE_CHARACTER for character in code[1:3]]
        if not 2 <= len(code) <= 3 or not all(0 <= digit < _CODE_DIGIT_COUNT for digit in digits):
            raise ValueError("an unknown Transit cache code")
        index = digits[0] if len(digits) == 1 else digits[0] * _CODE_DIGIT_COUNT + digits[1]
        if index >= len(self._names):
            raise ValueError("an unknown Transit cache code")
        name = self._names[index]
        if len(name) > MAX_CACHED_NAME_LENGTH:
            raise ValueError("a cached Transit name is too long")
        return name

    def _check(self, depth: int) -> None:
        if depth > self._max_depth:
            raise ValueError("nested too deeply")


def _java_length(text: str) -> int:
    """Length in UTF-16 code units, as the writer decides what to cache; approximate above 3."""
    if len(text) > 3 or text.isascii():
        return len(text)
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def _local(name: str) -> str:
    return name.partition("/")[2] or name


def _key_of(value: Any) -> str | None:
    """The text of a key that is not a keyword; None for a composite key, which JSON can't have."""
    if isinstance(value, str):
        return value
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return str(value) if isinstance(value, int | float) else None


def _scalar(text: str) -> Any:
    if len(text) < 2 or text[0] != "~":
        return text
    read = _SCALARS.get(text[1])
    if read is not None:
        return read(text[2:])
    if text[1] in "~^`":
        return text[1:]
    if text[1] == "#":
        raise ValueError("a Transit tag must have one value")
    return text[2:]


def _tagged(tag: str, value: Any) -> Any:
    """The value of a tag; for an unknown tag, the untagged content."""
    if tag == "set":
        # Only strings: mixed types can't be sorted, and the order of a set is arbitrary anyway.
        if isinstance(value, list) and all(isinstance(item, str) for item in value):
            value.sort()
        return value
    if tag == "cmap":
        return _compound(value)
    if tag == "u" and isinstance(value, list):
        return _uuid_of_halves(value)
    if tag in _SCALARS and isinstance(value, str | int) and not isinstance(value, bool):
        return _SCALARS[tag](str(value))
    return value


def _compound(value: Any) -> dict[str, Any]:
    if not isinstance(value, list) or len(value) % 2:
        raise ValueError("a Transit map has a key without a value")
    keys = map(_key_of, value[::2])
    return {key: item for key, item in zip(keys, value[1::2], strict=True) if key is not None}


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


# By the letter after ``~``; all others (URI, bytes, character) are read as text.
_SCALARS: dict[str, Callable[[str], Any]] = {
    ":": _local,
    "$": _local,
    "u": _uuid,
    "m": _instant,
    "t": _instant,
    "i": integer,
    "n": integer,
    "d": finite,
    "f": finite,
    "z": _not_a_number,
    "?": lambda text: text == "t",
    "_": lambda _text: None,
}
