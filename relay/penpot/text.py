"""Cleaning what people wrote: names become one line, comments become plain text, and what is kept
as it was sent gets bounds."""

import re
from collections.abc import Iterable, Mapping
from itertools import islice
from operator import is_
from typing import Any

MAX_NAME = 1000
"""Longest name, in characters; Penpot's own limit is 250."""
MAX_TEXT = 10_000
"""Longest comment, in characters; Penpot's own limit is 750 (none before 2.2)."""
MAX_ENTRIES = 1000
"""Most entries of a list or map that is kept as it was sent."""
MAX_SENT = 100_000
"""Most characters in all of it; Penpot's own events have some hundreds, ``ids`` of files aside."""
_LONGEST_KEY = 250

_UUID = "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
_ID = re.compile(_UUID)
_NO_ID = "00000000-0000-0000-0000-000000000000"
_BREAKS = "\n\x0b\x0c\r\x1c\x1d\x1e\x85\u2028\u2029"
# Lone surrogates can't be encoded; the rest would turn the text around them, in messages too.
# (And two characters that are none, by which relay.messages marks where somebody is mentioned.)
_REMOVED = "\ud800-\udfff\u202a-\u202e\u2066-\u2069\ufdd0\ufdd1"
_CONTROLS = "\x00-\x1f\x7f-\x9f\u2028\u2029"
_REMOVE = re.compile(f"[{_REMOVED}]")
_TO_SPACE = re.compile(f"[{_CONTROLS}]+")
_TO_BREAK = re.compile(f"\r\n|[{_BREAKS}]")
_NOT_IN_TEXT = re.compile("[\x00-\x08\x0e-\x1f\x7f-\x9f]")
# The first form is Penpot's own (comments.clj), the second a name with a bracket in it, which
# Penpot writes and does not find again. A name goes up to the next "@[" and an id up to the next
# bracket, so that no part of a text is looked through twice.
_MENTION = re.compile(
    r"@\[((?:[^\]@]|@(?!\[)){0,300}+)\]\(([^()]{0,300}+)\)"
    rf"|@\[((?:[^\n@]|@(?!\[)){{0,300}}?)\]\(({_UUID})\)",
    re.IGNORECASE,
)


class Words(str):
    """A comment as plain text, which knows where it mentions somebody. What is made of it (a part,
    a copy in capitals) is text that does not."""

    mentions: tuple[tuple[int, int, str], ...]
    """Where each ``@Name`` begins and ends, and the id of the profile; in order."""

    def __new__(cls, text: str, mentions: Iterable[tuple[int, int, str]] = ()) -> "Words":
        """The text with its mentions."""
        words = super().__new__(cls, text)
        words.mentions = tuple(mentions)
        return words


def uuid(value: Any) -> str:
    """A UUID in lower case; empty for anything else and for Penpot's "none", the zero UUID."""
    if not isinstance(value, str) or len(value) != len(_NO_ID):
        return ""
    value = value.lower()
    return value if _ID.fullmatch(value) and value != _NO_ID else ""


def one_line(value: Any, longest: int = MAX_NAME) -> str:
    """A name as one stripped line without control characters; empty for anything but text."""
    if not isinstance(value, str):
        return ""
    return _TO_SPACE.sub(" ", _REMOVE.sub("", value[:longest])).strip()


def plain_text(value: Any) -> Words:
    r"""A comment as plain text with ``\n`` as its only control character."""
    if not isinstance(value, str):
        return Words("")
    sent = value[: 2 * MAX_TEXT]
    text, done, mentions = "", 0, []
    for match in _MENTION.finditer(sent):
        text += _without_controls(sent[done : match.start()])
        begin = len(text)
        text += _mention(match)
        if person := uuid(match[2] or match[4]):
            mentions.append((begin, len(text), person))
        done = match.end()
    text += _without_controls(sent[done:])
    if len(text) > MAX_TEXT:
        text = text[: MAX_TEXT - 1] + "…"
    return Words(text, (place for place in mentions if place[1] < MAX_TEXT))


def _without_controls(text: str) -> str:
    text = _TO_BREAK.sub("\n", _REMOVE.sub("", text)).replace("\t", " ")
    return _NOT_IN_TEXT.sub("", text)


def bounded(value: Any) -> Any:
    """``value`` as it was sent, in bounds; itself where it is within them.

    Strings end after ``MAX_TEXT`` characters, lists and maps after ``MAX_ENTRIES`` entries, and
    all strings together after ``MAX_SENT`` characters. The depth is kept.
    """
    return _Bounds().within(value)


class _Bounds:
    def __init__(self) -> None:
        self._left = MAX_SENT

    def within(self, value: Any) -> Any:
        if isinstance(value, str):
            longest = min(MAX_TEXT, self._left)
            kept = value if len(value) <= longest else value[:longest]
            self._left -= len(kept)
            return kept
        if isinstance(value, Mapping):
            return self._map(value)
        if isinstance(value, list | tuple):
            items = [self.within(item) for item in islice(value, MAX_ENTRIES)]
            return value if len(items) == len(value) and all(map(is_, items, value)) else items
        return value

    def _map(self, value: Mapping[Any, Any]) -> Mapping[Any, Any]:
        kept = {}
        for key, item in islice(value.items(), MAX_ENTRIES):
            size = len(key) if isinstance(key, str) else 0
            if size <= min(_LONGEST_KEY, self._left):
                self._left -= size
                kept[key] = self.within(item)
        same = len(kept) == len(value) and all(map(is_, kept.values(), value.values()))
        return value if same else kept


def _mention(match: re.Match[str]) -> str:
    name = one_line(match[1] or match[3])
    return "@someone" if not name or _ID.fullmatch(name.lower()) else f"@{name}"
