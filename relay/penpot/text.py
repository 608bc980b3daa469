"""Cleaning of text from Penpot (names, comments), and size limits for values kept as sent."""

import contextlib
import hashlib
import json
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Set
from datetime import UTC, datetime
from itertools import islice
from operator import is_
from typing import Any

MAX_NAME_LENGTH = 1000  # characters; Penpot's own limit is 250
MAX_TEXT_LENGTH = 10_000  # characters; Penpot's own limit is 750 (none before 2.2)
MAX_ENTRIES = 1000  # of a list or map kept as sent
MAX_TOTAL_LENGTH = 100_000  # characters of all strings in a value kept as sent
MAX_COMPARED_LENGTH = 32 * 1024
"""Characters and values of a body whose copies are recognized by its values."""
_MAX_KEY_LENGTH = 250

_UUID = "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
UUID_PATTERN = re.compile(_UUID)
_ZERO_UUID = "00000000-0000-0000-0000-000000000000"
_BREAKS = "\n\x0b\x0c\r\x1c\x1d\x1e\x85\u2028\u2029"
# Lone surrogates can't be encoded, and bidirectional controls would reorder the text around them.
_REMOVED = "\ud800-\udfff\u202a-\u202e\u2066-\u2069"
_CONTROLS = "\x00-\x1f\x7f-\x9f\u2028\u2029"
_REMOVED_PATTERN = re.compile(f"[{_REMOVED}]")
_CONTROLS_PATTERN = re.compile(f"[{_CONTROLS}]+")
_BREAK_PATTERN = re.compile(f"\r\n|[{_BREAKS}]")
_NOT_IN_TEXT_PATTERN = re.compile("[\x00-\x08\x0e-\x1f\x7f-\x9f]")
# Penpot's own form (comments.clj). A name ends at the next "@[" and an id at the next bracket, so
# that no part of a text is scanned twice.
_MENTION_PATTERN = re.compile(
    r"@\[((?:[^\]@]|@(?!\[)){0,300}+)\]\(([^()]{0,300}+)\)", re.IGNORECASE
)
_MENTION_END_PATTERN = re.compile(rf"\]\(({_UUID})\)", re.IGNORECASE)
_SENT_UUID_PATTERN = re.compile(_UUID, re.IGNORECASE)
_MAX_MENTION_LENGTH = 302  # characters before the end: "@[" and a name
# Also the letters and the Braille pattern that show nothing, and unassigned invisible characters.
_INVISIBLE_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Me", "Mn", "Zl", "Zp", "Zs"})
_INVISIBLE_PATTERN = re.compile(
    "[\u115f\u1160\u2065\u2800\u3164\uffa0\ufff0-\ufff8\U000e0000-\U000e0fff]"
)


class CommentText(str):
    """Plain text of a comment with the places of its mentions, which slices and copies lose."""

    mentions: tuple[tuple[int, int, str], ...]  # start and end of each ``@Name``, and profile id

    def __new__(cls, text: str, mentions: Iterable[tuple[int, int, str]] = ()) -> "CommentText":
        comment = super().__new__(cls, text)
        comment.mentions = tuple(mentions)
        return comment


def uuid(value: Any) -> str:
    """A UUID in lower case; empty for anything else, and for the zero UUID (Penpot's "none")."""
    if not isinstance(value, str) or len(value) != len(_ZERO_UUID):
        return ""
    value = value.lower()
    return value if UUID_PATTERN.fullmatch(value) and value != _ZERO_UUID else ""


def one_line(value: Any, max_length: int = MAX_NAME_LENGTH) -> str:
    """A name as one stripped line without control characters; empty if it is not a string, or shows
    nothing."""
    if not isinstance(value, str):
        return ""
    if value.isascii() and value.isprintable():  # most are
        return value[:max_length].strip()
    line = _CONTROLS_PATTERN.sub(" ", _REMOVED_PATTERN.sub("", value[:max_length])).strip()
    return line if _is_visible(line) else ""


def _is_visible(text: str) -> bool:
    return any(
        unicodedata.category(character) not in _INVISIBLE_CATEGORIES
        and not _INVISIBLE_PATTERN.match(character)
        for character in text
    )


def plain_text(value: Any, mentioned: Set[str] = frozenset()) -> CommentText:
    r"""A comment as plain text with ``\n`` as its only control character; empty if it shows
    nothing. ``mentioned``: the ids that Penpot lists beside the text, which shows none of them."""
    if not isinstance(value, str):
        return CommentText("")
    sent = value[: 2 * MAX_TEXT_LENGTH]
    text, position, mentions = "", 0, []
    for start, end, name, profile in _mentions(sent, mentioned):
        text += _without_controls(_without_ids(sent[position:start], mentioned))
        begin = len(text)
        text += _mention(_without_ids(name, mentioned))
        if profile := uuid(profile):
            mentions.append((begin, len(text), profile))
        position = end
    text += _without_controls(_without_ids(sent[position:], mentioned))
    if not _is_visible(text):
        return CommentText("")
    if len(text) > MAX_TEXT_LENGTH:
        text = text[: MAX_TEXT_LENGTH - 1] + "…"
    return CommentText(text, (place for place in mentions if place[1] < MAX_TEXT_LENGTH))


def _mentions(sent: str, mentioned: Set[str]) -> Iterator[tuple[int, int, str, str]]:
    """Start, end, name and id of each mention. Penpot writes names with brackets, and does not
    recognize them: a name before a profile's id may contain any text of its line but "@[", and
    before an id in ``mentioned`` several lines. Other mentions have Penpot's form."""
    position = 0
    for closing in _MENTION_END_PATTERN.finditer(sent):
        first = max(position, closing.start() - _MAX_MENTION_LENGTH)
        start = sent.rfind("@[", first, closing.start())
        name = sent[start + 2 : closing.start()]
        if start >= 0 and (closing[1].lower() in mentioned or "\n" not in name):
            yield from _other_mentions(sent, position, start)
            yield start, closing.end(), name, closing[1]
            position = closing.end()
    yield from _other_mentions(sent, position, len(sent))


def _other_mentions(sent: str, start: int, end: int) -> Iterator[tuple[int, int, str, str]]:
    for match in _MENTION_PATTERN.finditer(sent, start, end):
        yield match.start(), match.end(), match[1], match[2]


def _without_ids(text: str, mentioned: Set[str]) -> str:
    if not mentioned:
        return text
    return _SENT_UUID_PATTERN.sub(
        lambda found: "someone" if found[0].lower() in mentioned else found[0], text
    )


def _without_controls(text: str) -> str:
    text = _BREAK_PATTERN.sub("\n", _REMOVED_PATTERN.sub("", text)).replace("\t", " ")
    return _NOT_IN_TEXT_PATTERN.sub("", text)


def bounded(value: Any) -> Any:
    """``value`` cut to size; the same object if it is within the limits.

    Cuts strings to ``MAX_TEXT_LENGTH`` characters, lists and maps to ``MAX_ENTRIES`` entries, and
    all strings together to ``MAX_TOTAL_LENGTH`` characters. The depth is not limited.
    """
    return _SizeLimit().cut(value)


class _SizeLimit:
    def __init__(self) -> None:
        self._left = MAX_TOTAL_LENGTH

    def cut(self, value: Any) -> Any:
        if isinstance(value, str):
            limit = min(MAX_TEXT_LENGTH, self._left)
            kept = value if len(value) <= limit else value[:limit]
            self._left -= len(kept)
            return kept
        if isinstance(value, Mapping):
            return self._map(value)
        if isinstance(value, list | tuple):
            items = [self.cut(item) for item in islice(value, MAX_ENTRIES)]
            return value if len(items) == len(value) and all(map(is_, items, value)) else items
        return value

    def _map(self, value: Mapping[Any, Any]) -> Mapping[Any, Any]:
        kept = {}
        for key, item in islice(value.items(), MAX_ENTRIES):
            size = len(key) if isinstance(key, str) else 0
            if size <= min(_MAX_KEY_LENGTH, self._left):
                self._left -= size
                kept[key] = self.cut(item)
        same = len(kept) == len(value) and all(map(is_, kept.values(), value.values()))
        return value if same else kept


def _mention(sent: str) -> str:
    name = one_line(sent)
    return "@someone" if not name or UUID_PATTERN.fullmatch(name.lower()) else f"@{name}"


def ids(values: Any) -> set[str]:
    if not isinstance(values, list | tuple):
        return set()
    return {value for value in map(uuid, values) if value}


def number(value: Any) -> int | None:
    """A whole number from 0 to 999,999,999."""
    if isinstance(value, bool) or not isinstance(value, int):
        return None
    return value if 0 <= value < 1_000_000_000 else None


def instant(value: Any) -> datetime | None:
    """A time in UTC, from ISO 8601."""
    if not isinstance(value, str) or len(value) > 40:
        return None
    try:
        at = datetime.fromisoformat(value)
        return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


# Where the events about new comments have the comment's id (Penpot 2.5 and later).
_COMMENT_ID = {"create-comment-thread": "commentId", "create-comment": "id"}


def deduplication_key(body: Mapping[str, Any], sent: bytes) -> bytes:
    """Equal for every copy of an event, as JSON or Transit, from a webhook or from the sync.
    ``body`` is ``sent``, decoded, or empty.

    A new comment is identified by its id, which webhook and API share; any other event by its
    values, and a long one, for speed, by the bytes sent. The key begins with the event's time, so
    that new keys go to the end of an index.
    """
    name, props = body.get("name"), body.get("props")
    if isinstance(name, str) and name in _COMMENT_ID and isinstance(props, dict):
        comment = uuid(props.get(_COMMENT_ID[name]))
        created_at = instant(props.get("createdAt"))
        if comment and created_at is not None:
            hour = created_at.isoformat()[: len("2026-07-25T08")].encode()
            return hour + hashlib.sha256(f"comment {comment}".encode()).digest()[:16]
    at = str(body.get("createdAt", ""))[:24]
    compared = sent
    if body:
        with contextlib.suppress(OverflowError):
            is_ordered = len(sent) <= MAX_COMPARED_LENGTH and not _TEXT_LIST_PATTERN.search(sent)
            compared = _ENCODER.encode(body if is_ordered else _ordered(body)).encode()
    return at.encode() + hashlib.sha256(compared).digest()[:16]


_ENCODER = json.JSONEncoder(sort_keys=True)
# The start of a list of texts in JSON, or of any map in Transit.
_TEXT_LIST_PATTERN = re.compile(rb'\[\s*"')


def _ordered(body: Mapping[str, Any]) -> Any:
    """``body`` with its lists of texts sorted: Penpot's sets have another order in Transit. Raises
    ``OverflowError`` for a long one; a short one in Transit can become long when it is decoded."""
    remaining = MAX_COMPARED_LENGTH

    def count(length: int) -> None:
        nonlocal remaining
        remaining -= length
        if remaining < 0:
            raise OverflowError

    def ordered(value: Any) -> Any:
        if isinstance(value, str):
            count(len(value))
        elif isinstance(value, dict):
            count(len(value) + sum(map(len, value)))
            return {key: ordered(item) for key, item in value.items()}
        elif isinstance(value, list):
            count(len(value))
            items = list(map(ordered, value))
            return sorted(items) if all(isinstance(item, str) for item in items) else items
        return value

    return ordered(body)
