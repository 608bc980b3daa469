"""Reads Transit with transit-python: from parsed JSON to plain Python values.

The result has the shape of Penpot's own JSON: map keys in camelCase without namespace, UUIDs and
instants as text, sets as sorted lists. The library builds maps and sets of UUIDs and numbers, whose
hashes a sender can make collide; here a key is text.

Format: https://github.com/cognitect/transit-format (0.8); both the compact and the verbose mode.
"""

import re
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from math import isfinite
from typing import Any, NamedTuple, TypeVar
from uuid import UUID

from transit.constants import MAP_AS_ARR
from transit.decoder import Decoder, Tag
from transit.rolling_cache import CACHE_SIZE, decode_key

from relay.penpot.text import UUID_PATTERN

MAX_NUMBER_LENGTH = 100  # characters; Penpot's longest number has 24
MAX_CACHED_NAME_LENGTH = 256  # otherwise two bytes of cache code could expand to megabytes

_TAG_ERROR = "a Transit tag must have one value"
_PAIR_ERROR = "a Transit map has a key without a value"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NUMBER_TAGS = frozenset({"~i", "~n", "~d", "~f", "~z"})
_NAME_TAGS = frozenset({"~:", "~$"})  # of keywords and symbols
_CACHED_TAGS = _NAME_TAGS | {"~#"}  # of names that are cached even if they are no keys
_CAPITALS_PATTERN = re.compile(r"([A-Z]+[a-z']*)")
_WORD_BREAK_PATTERN = re.compile(r"(?:[^\w'()\[\]{}?!]|_)+")

T = TypeVar("T")


def plain(node: Any) -> Any:
    """Plain values from parsed JSON in Transit's form. Raises ``ValueError`` with the reason.

    The caller has limited the size and depth of ``node``.
    """
    return _DECODER.value(node, _NameCache())


@lru_cache(maxsize=1024)
def camel(name: str) -> str:
    """A keyword's name as in Penpot's JSON: ``owner-fullname`` becomes ``ownerFullname``.

    Penpot uses ``cuerdas.core/camel``; this does not split names beyond ASCII at capitals.
    """
    if len(name) > MAX_CACHED_NAME_LENGTH:
        return name
    words: list[str] = list(
        filter(None, _WORD_BREAK_PATTERN.split(_CAPITALS_PATTERN.sub(r"-\1", name)))
    )
    if not words:
        return name
    return words[0].lower() + "".join([word[0].upper() + word[1:] for word in words[1:]])


def integer(text: str) -> int:
    return _number(int, text, "not a whole number")


def finite(text: str) -> float:
    number = _number(float, text, "not a number")
    if not isfinite(number):
        raise ValueError(f"{text[:9]} is too large or not a number")
    return number


def _number(parse: Callable[[str], T], text: str, error: str) -> T:
    """The length is limited because the cost of parsing grows with its square."""
    if len(text) > MAX_NUMBER_LENGTH:
        raise ValueError("a number is too long")
    try:
        return parse(text)
    except ValueError:
        raise ValueError(error) from None


class _NameCache:
    """The names that Transit's codes refer to; for the library in place of its ``RollingCache``.
    Refuses what is costly to expand or to use as a key."""

    def __init__(self) -> None:
        self._names: list[str] = []

    def decode(self, name: str, as_map_key: bool = False) -> str:
        prefix = name[:2]
        if prefix[:1] == "^" and name != MAP_AS_ARR:
            return self._coded(name)
        if as_map_key and prefix in _NUMBER_TAGS:
            raise ValueError("a key of a Transit map is a number")
        if as_map_key or prefix in _CACHED_TAGS:
            self._add(name)
        return "~~" if name == "~" else name  # the library fails at a lone tilde

    def _add(self, name: str) -> None:
        # The writer counts in UTF-16 code units; a long name is not encoded here to save memory.
        if len(name) > 3 or len(name.encode("utf-16-le", "surrogatepass")) > 6:
            if len(self._names) == CACHE_SIZE:
                self._names.clear()
            self._names.append(name)

    def _coded(self, code: str) -> str:
        index = decode_key(code) if 2 <= len(code) <= 3 else -1
        if not 0 <= index < len(self._names):
            raise ValueError("an unknown Transit cache code")
        name = self._names[index]
        if len(name) > MAX_CACHED_NAME_LENGTH:
            raise ValueError("a cached Transit name is too long")
        return name


class _Handler(NamedTuple):
    from_rep: Callable[..., Any]  # the name that the library calls


class _PlainDecoder(Decoder):  # type: ignore[misc]
    """Builds lists and dicts with keys of text, and refuses what the library would not notice."""

    def value(self, node: Any, cache: _NameCache) -> Any:
        if isinstance(node, bool):  # the library has a class of its own
            return node
        value = self._decode(node, cache, False)
        if isinstance(value, Tag):
            raise ValueError(_TAG_ERROR)  # noqa: TRY004 - the type follows from the body
        return value

    def decode_list(self, node: list[Any], cache: _NameCache, as_map_key: bool) -> Any:
        if not node:
            return []
        if node[0] == MAP_AS_ARR:
            if len(node) % 2 == 0:
                raise ValueError(_PAIR_ERROR)
            return self._map(zip(node[1::2], node[2::2], strict=True), cache)
        first = node[0] if isinstance(node[0], bool) else self._decode(node[0], cache, False)
        values = [self.value(item, cache) for item in node[1:]]
        if not isinstance(first, Tag):
            return [first, *values]
        if len(values) != 1:
            raise ValueError(_TAG_ERROR)
        return self.decode_tag(first.tag, values[0])

    def decode_hash(self, node: dict[str, Any], cache: _NameCache, as_map_key: bool) -> Any:
        if len(node) == 1:
            ((key, item),) = node.items()
            tag = self.decode_string(key, cache, True)
            value = self.value(item, cache)
            return self.decode_tag(tag.tag, value) if isinstance(tag, Tag) else {_key(tag): value}
        return self._map(node.items(), cache)

    def _map(self, pairs: Iterable[tuple[Any, Any]], cache: _NameCache) -> dict[str | None, Any]:
        values = {}
        for key, item in pairs:
            if not isinstance(key, str):
                raise ValueError("a key of a Transit map is not text")  # noqa: TRY004 - as above
            name = _key(self.decode_string(key, cache, True))
            values[name] = self.value(item, cache)
        return values

    def parse_string(self, string: str, cache: _NameCache, as_map_key: bool) -> Any:
        if as_map_key and string[:2] in _NAME_TAGS:
            return camel(_name(string[2:]))
        return super().parse_string(string, cache, as_map_key)


def _key(key: Any) -> str | None:
    """The text of a key; None for a composite key, which JSON can't have."""
    if isinstance(key, str):
        return key
    if isinstance(key, Tag):
        raise ValueError(_TAG_ERROR)  # noqa: TRY004 - as above
    if key is None or isinstance(key, bool):
        return {None: "null", True: "true", False: "false"}[key]
    return str(key) if isinstance(key, int | float) else None


def _uuid(rep: Any) -> str:
    """From text, or from two halves as signed numbers."""
    if isinstance(rep, list) and len(rep) == 2 and all(isinstance(half, int) for half in rep):
        high, low = (half & 0xFFFFFFFFFFFFFFFF for half in rep)
        return str(UUID(int=high << 64 | low))
    if not (isinstance(rep, str) and UUID_PATTERN.fullmatch(rep.lower())):
        raise ValueError("not a UUID")
    return rep.lower()


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


def _name(text: str) -> str:
    return text.partition("/")[2] or text


def _scalar(read: Callable[[str], Any]) -> _Handler:
    """For the text after ``~`` and a letter, and for the value of the tag with that letter."""

    def from_rep(rep: Any) -> Any:
        return read(str(rep)) if type(rep) in (str, int) else rep

    return _Handler(from_rep)


def _set(rep: Any) -> Any:
    # Others can't be sorted, and the order of a set is arbitrary anyway.
    is_text = isinstance(rep, list) and all(isinstance(item, str) for item in rep)
    return sorted(rep) if is_text else rep


def _compound_map(rep: Any) -> dict[str, Any]:
    if not isinstance(rep, list) or len(rep) % 2:
        raise ValueError(_PAIR_ERROR)
    keys = map(_key, rep[::2])
    return {key: item for key, item in zip(keys, rep[1::2], strict=True) if key is not None}


# All others (URI, bytes, character, unknown tags) become their text or their untagged content.
_DECODER = _PlainDecoder({"decoders": {}, "default_decoder": _Handler(lambda _tag, rep: rep)})
# Set afterwards, since the constructor does not accept other handlers for some of them.
_DECODER.decoders = {
    **dict.fromkeys(":$", _scalar(_name)),
    "u": _Handler(_uuid),
    **dict.fromkeys("mt", _scalar(_instant)),
    **dict.fromkeys("in", _scalar(integer)),
    **dict.fromkeys("dfz", _scalar(finite)),  # z is for NaN and infinities, which it refuses
    "?": _scalar(lambda text: text == "t"),
    "_": _scalar(lambda _text: None),
    "set": _Handler(_set),
    "cmap": _Handler(_compound_map),
}
