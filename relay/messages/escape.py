"""Markdown input: text from outside becomes literal text on one line."""

import json
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from numbers import Number
from string import punctuation
from typing import TypeAlias
from urllib.parse import quote as percent_encoded
from urllib.parse import urlsplit

from relay.messages.locale import gettext

_ESCAPES = str.maketrans({character: f"\\{character}" for character in punctuation})
_ESCAPED_PATTERN = re.compile(r"\\([!-/:-@\[-`{-~])")
ENTITY_PATTERN = re.compile(r"&(?=#?\w+;)")  # a character that Markdown would read as another
_SPACES_PATTERN = re.compile("[ \x00-\x1f\x7f-\x9f\u2028\u2029]+")
_SURROGATE_PATTERN = re.compile("[\ud800-\udfff]")
# Overrides and isolates reorder the text around them; marks (U+200E, U+200F, U+061C) do not.
_REORDERING_PATTERN = re.compile("[\u202a-\u202e\u2066-\u2069]")
_UNSAFE_IN_URL_PATTERN = re.compile(r'[\x00-\x20"<>\\^`{|}\x7f-\x9f\u2028\u2029]')
PROFILE_SCHEME = "penpot-profile:"
"""The URL scheme of a mention; the id of a Penpot profile follows."""
TIME_SCHEME = "relay-time:"
"""The URL scheme of a moment (``times.py``)."""
DATA_SCHEMES = (PROFILE_SCHEME, TIME_SCHEME)
"""Of links that are no links, but say what their text means."""
_DATA_LINK_PATTERN = re.compile(rf"\[((?:[^\]\[\\]|\\.)*)\]\(<(?:{'|'.join(DATA_SCHEMES)})[^>]*>\)")
_UNKNOWN_PERSON = "@someone"  # as ``relay.penpot.text`` writes it
Run: TypeAlias = tuple[str, str]
"""A part of a text, and the id of the Penpot profile that it mentions; empty for other text."""


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


def escape(value: object) -> Markdown:
    """``value`` as literal inline Markdown; Markdown is returned unchanged.

    None is empty. Each run of spaces, control characters and line ends becomes one space (also at
    the ends, for ``{{ " · " if file }}``). Characters that reorder text are dropped, and a value
    with right-to-left letters is isolated, so that it does not reorder the sentence around it.
    """
    if isinstance(value, Markdown):
        return value
    if type(value) is str and value.isascii():  # the same, faster: most values are names
        return Markdown(collapse(value).translate(_ESCAPES))
    return inline((collapse(text), profile) for text, profile in runs(value))


def inline(parts: Iterable[Run]) -> Markdown:
    """Runs of clean text as literal inline Markdown, mentions as links."""
    text = ""
    for part, profile in parts:
        literal = part.translate(_ESCAPES)
        text += f"[{literal}](<{PROFILE_SCHEME}{profile}>)" if profile else literal
    return Markdown(_isolated(text))


def unescaped(code: str) -> str:
    """Undoes ``escape`` in code, where Markdown has neither escapes nor links."""
    return _ESCAPED_PATTERN.sub(r"\1", _DATA_LINK_PATTERN.sub(r"\1", code))


def runs(value: object) -> list[Run]:
    """``value`` as ``readable``. A comment is a ``str`` with ``mentions``: start, end and profile
    id of each, in order."""
    mentions = getattr(value, "mentions", ()) if isinstance(value, str) else ()
    text, parts, position = as_text(value), [], 0
    for start, end, profile in mentions:
        name = readable(text[start:end])
        name = gettext("@someone") if name == _UNKNOWN_PERSON else name
        parts += [(readable(text[position:start]), ""), (name, profile)]
        position = end
    return [*parts, (readable(text[position:] if position else text), "")]


def clean(value: object) -> str:
    """The text that a reader sees for ``escape(value)``."""
    return _isolated(collapse(readable(value)))


def _isolated(text: str) -> str:
    """``text``, which reorders none of the text around it."""
    if text.isascii() or not any(unicodedata.bidirectional(c) in ("R", "AL") for c in text):
        return text
    return f"\u2068{text}\u2069"


def one_line(value: object) -> str:
    """``value`` as one stripped line, without control characters and those that reorder text."""
    return collapse(readable(value)).strip()


def collapse(text: str) -> str:
    """``text`` with one space for each run of spaces, control characters and line ends."""
    return _SPACES_PATTERN.sub(" ", text)


def readable(value: object) -> str:
    """``value`` as text with its line ends, without surrogates and characters that reorder text."""
    return without_surrogates(_REORDERING_PATTERN.sub("", as_text(value)))


def without_surrogates(text: str) -> str:
    """``text`` with U+FFFD for each lone surrogate, which UTF-8 can't encode."""
    return _SURROGATE_PATTERN.sub("\ufffd", text)


def as_text(value: object) -> str:
    """A value in a template as its reader expects it. Raises ``TypeError`` for what only Python
    could name, such as a function."""
    match value:
        case str():
            return value
        case None:
            return ""
        case bool():
            return gettext("yes") if value else gettext("no")
        case datetime():
            return value.isoformat(" ", "seconds")
        case list() | tuple() | Iterator():
            return ", ".join(map(as_text, value))
        case Mapping():
            return json.dumps(dict(value), ensure_ascii=False, default=as_text)
    if type(value).__str__ is object.__str__ and not isinstance(value, Number):
        raise TypeError(f"a {type(value).__name__} can't be printed")
    return str(value)


def safe_url(url: str, schemes: tuple[str, ...] = ("http://", "https://")) -> str:
    """``url`` with characters encoded that could end a link early; empty for any other scheme, or
    without a valid host: a chat may refuse the whole message.

    It is not normalized further, so that a browser opens exactly the given address.
    """
    url = url.strip()
    if not url.lower().startswith(schemes) or not _is_valid(url):
        return ""
    return _UNSAFE_IN_URL_PATTERN.sub(lambda match: percent_encoded(match[0]), url)


def _is_valid(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return bool(parts.path if parts.scheme == "mailto" else parts.hostname and parts.port != 0)
    except ValueError:
        return False
