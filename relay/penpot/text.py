"""Cleaning what people wrote: names become one line, comments become plain text."""

import re
from typing import Any

MAX_NAME = 1000
"""Longest name, in characters; Penpot's own limit is 250."""
MAX_TEXT = 10_000
"""Longest comment, in characters; Penpot's own limit is 750 (none before 2.2)."""

_UUID = "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
_ID = re.compile(_UUID, re.IGNORECASE)
_NO_ID = "00000000-0000-0000-0000-000000000000"
_BREAKS = "\n\x0b\x0c\r\x1c\x1d\x1e\x85\u2028\u2029"
# Lone surrogates can't be encoded; the rest would turn the text around them, in messages too.
_REMOVED = "\ud800-\udfff\u202a-\u202e\u2066-\u2069"
_CONTROLS = "\x00-\x1f\x7f-\x9f\u2028\u2029"
_REMOVE = re.compile(f"[{_REMOVED}]")
_TO_SPACE = re.compile(f"[{_CONTROLS}]+")
_TO_BREAK = re.compile(f"\r\n|[{_BREAKS}]")
_NOT_IN_TEXT = re.compile("[\x00-\x08\x0e-\x1f\x7f-\x9f]")
# The first form is Penpot's own (comments.clj) with bounds, as its price is the square of them; the
# second is a name with a bracket in it, which Penpot writes and does not find again.
_MENTION = re.compile(
    rf"@\[([^\]]{{0,300}})\]\([^)]{{0,300}}\)|@\[([^\n]{{0,300}}?)\]\({_UUID}\)", re.IGNORECASE
)


def uuid(value: Any) -> str:
    """A UUID in lower case; empty for anything else and for Penpot's "none", the zero UUID."""
    if not isinstance(value, str) or not _ID.fullmatch(value):
        return ""
    value = value.lower()
    return "" if value == _NO_ID else value


def one_line(value: Any, longest: int = MAX_NAME) -> str:
    """A name as one stripped line without control characters; empty for anything but text."""
    if not isinstance(value, str):
        return ""
    return _TO_SPACE.sub(" ", _REMOVE.sub("", value[:longest])).strip()


def plain_text(value: Any) -> str:
    r"""A comment as plain text with ``\n`` as its only control character."""
    if not isinstance(value, str):
        return ""
    text = plain_mentions(value[: 2 * MAX_TEXT])
    text = _TO_BREAK.sub("\n", _REMOVE.sub("", text)).replace("\t", " ")
    text = _NOT_IN_TEXT.sub("", text)
    return text if len(text) <= MAX_TEXT else text[: MAX_TEXT - 1] + "…"


def plain_mentions(text: str) -> str:
    """A comment's text with each mention, ``@[Name](uuid)``, as ``@Name``."""
    return _MENTION.sub(_mention, text)


def _mention(match: re.Match[str]) -> str:
    name = one_line(match[1] or match[2])
    return "@someone" if not name or _ID.fullmatch(name) else f"@{name}"
