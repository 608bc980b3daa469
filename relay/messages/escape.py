"""Markdown input: text from outside becomes literal text on one line."""

import re
import unicodedata
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import SupportsIndex
from urllib.parse import quote as percent_encoded

_PUNCTUATION_PATTERN = re.compile(r"([!-/:-@\[-`{-~])")
_ESCAPED_PATTERN = re.compile(rf"\\{_PUNCTUATION_PATTERN.pattern}")
_LINE_END_PATTERN = re.compile("\r\n|[\n\r\v\f\x1c-\x1e\x85\u2028\u2029]")
_SPACES_PATTERN = re.compile("[ \x00-\x1f\x7f-\x9f\u2028\u2029]+")
_SURROGATE_PATTERN = re.compile("[\ud800-\udfff]")
# Overrides and isolates reorder the text around them; marks (U+200E, U+200F, U+061C) do not.
_REORDERING_PATTERN = re.compile("[\u202a-\u202e\u2066-\u2069]")
_UNSAFE_IN_URL_PATTERN = re.compile(r'[\x00-\x20"<>\\^`{|}\x7f-\x9f\u2028\u2029]')
_MAX_INVISIBLE_COUNT = 1000  # characters that cleaning may remove before a text counts as cut
_MENTION_START, _MENTION_END = "\ufdd0", "\ufdd1"
_MENTION_PATTERN = re.compile(f"{_MENTION_START}([^{_MENTION_END}]*){_MENTION_END}?")
PROFILE_SCHEME = "penpot-profile:"
"""The URL scheme of a mention; the id of a Penpot profile follows."""
_MENTION_LINK_PATTERN = re.compile(rf"\[((?:[^\]\[\\]|\\.)*)\]\(<{PROFILE_SCHEME}[^>]*>\)")
_ISOLATE_START, _ISOLATE_END = "\u2068", "\u2069"


class Markdown(str):
    """Marks text that is already Markdown.

    Concatenation and ``join`` escape the other text and return Markdown. All other ``str`` methods
    return plain text, which a template escapes again: a mistake shows backslashes, but lets no
    markup through.
    """

    __slots__ = ()

    def __add__(self, other: str) -> "Markdown":
        return Markdown(str.__add__(self, escape(other)))

    def __radd__(self, other: str) -> "Markdown":
        return Markdown(str.__add__(escape(other), self))

    def strip(self, chars: str | None = None) -> str:
        stripped = super().strip(chars)  # other characters: it may cut an escape
        return Markdown(stripped) if chars is None else stripped

    def join(self, parts: Iterable[object]) -> "Markdown":
        return Markdown(str.join(self, map(escape, parts)))

    def __getitem__(self, key: SupportsIndex | slice) -> str:
        # A slice may begin in the middle of an escape, so it is plain text.
        return str.__getitem__(self, key)


def escape(value: object) -> Markdown:
    """``value`` as literal inline Markdown; Markdown is returned unchanged.

    None is empty. Each run of spaces, control characters and line ends becomes one space (also at
    the ends, for ``{{ " · " if file }}``). Characters that reorder text are dropped, and a value
    with right-to-left letters is isolated, so that it does not reorder the sentence around it.
    """
    if isinstance(value, Markdown):
        return value
    text, profiles = mark_mentions(value)
    return link_mentions(literal(text), profiles)


def literal(value: object) -> Markdown:
    """As ``escape``, but keeps the marks of ``mark_mentions``."""
    return Markdown(_PUNCTUATION_PATTERN.sub(r"\\\1", clean(value)))


def unescaped(code: str) -> str:
    """Undoes ``escape`` in code, where Markdown has neither escapes nor links."""
    return _ESCAPED_PATTERN.sub(r"\1", _MENTION_LINK_PATTERN.sub(r"\1", code))


def mark_mentions(value: object) -> tuple[object, Iterator[str]]:
    """A comment's text with marks around each mention, and the mentioned profiles' ids in order;
    any other value unchanged. Cut, clean and escape the text, then call ``link_mentions``.

    A comment is a ``str`` with ``mentions``: start, end and profile id of each.
    """
    mentions = getattr(value, "mentions", ()) if isinstance(value, str) else ()
    if (
        not isinstance(value, str)
        or not mentions
        or _MENTION_START in value
        or _MENTION_END in value
    ):
        return value, iter(())
    text, position = "", 0
    for start, end, _ in mentions:
        text += f"{value[position:start]}{_MENTION_START}{value[start:end]}{_MENTION_END}"
        position = end
    return text + value[position:], iter([profile for _, _, profile in mentions])


def link_mentions(text: Markdown, profiles: Iterator[str]) -> Markdown:
    """Replaces the marks of ``mark_mentions`` by links; a mention that was cut becomes text."""

    def link(match: re.Match[str]) -> str:
        profile = next(profiles, "")
        complete = match[0].endswith(_MENTION_END) and profile
        return f"[{match[1]}](<{PROFILE_SCHEME}{profile}>)" if complete else match[1]

    return Markdown(_MENTION_PATTERN.sub(link, text)) if _MENTION_START in text else text


def clean(value: object) -> str:
    """The text that a reader sees for ``escape(value)``."""
    text = _SPACES_PATTERN.sub(" ", readable(value))
    if not text.isascii() and any(unicodedata.bidirectional(c) in ("R", "AL") for c in text):
        return f"{_ISOLATE_START}{text}{_ISOLATE_END}"
    return text


def one_line(value: object) -> str:
    """``value`` as one stripped line, without control characters and those that reorder text."""
    return _SPACES_PATTERN.sub(" ", readable(value)).strip()


def lines(value: object) -> list[str]:
    """Each as ``one_line`` returns it, without empty lines at the start and the end."""
    cleaned = [one_line(line) for line in _LINE_END_PATTERN.split(readable(value))]
    while cleaned and not cleaned[-1]:
        cleaned.pop()
    while cleaned and not cleaned[0]:
        cleaned.pop(0)
    return cleaned


def readable(value: object) -> str:
    """``value`` as text with its line ends, without surrogates and characters that reorder text."""
    return without_surrogates(_REORDERING_PATTERN.sub("", _to_str(value)))


def without_surrogates(text: str) -> str:
    """``text`` with U+FFFD for each lone surrogate, which UTF-8 can't encode."""
    return _SURROGATE_PATTERN.sub("\ufffd", text)


def readable_prefix(value: object, length: int) -> tuple[str, bool]:
    """Enough of ``readable(value)`` for ``length`` characters of clean text, and whether it is all.
    The rest, which may be megabytes, is not processed."""
    text = _to_str(value).lstrip()
    enough = 2 * max(length, 0) + _MAX_INVISIBLE_COUNT
    return readable(text[:enough]), len(text) <= enough


def _to_str(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, datetime):
        return value.isoformat(" ", "seconds")
    return value if isinstance(value, str) else str(value)


def safe_url(url: str, schemes: tuple[str, ...] = ("http://", "https://")) -> str:
    """``url`` with characters encoded that could end a link early; empty for any other scheme.

    It is not normalized further, so that a browser opens exactly the given address.
    """
    url = url.strip()
    if not url.lower().startswith(schemes):
        return ""
    return _UNSAFE_IN_URL_PATTERN.sub(lambda match: percent_encoded(match[0]), url)
