"""Markdown on the way in: any text from outside becomes literal text of one line."""

import re
import unicodedata
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import SupportsIndex
from urllib.parse import quote as percent_encoded

_PUNCTUATION = re.compile(r"([!-/:-@\[-`{-~])")
_ESCAPED = re.compile(rf"\\{_PUNCTUATION.pattern}")
_LINE_END = re.compile("\r\n|[\n\r\v\f\x1c-\x1e\x85\u2028\u2029]")
_SPACES = re.compile("[ \x00-\x1f\x7f-\x9f\u2028\u2029]+")
_NOT_TEXT = re.compile("[\ud800-\udfff]")
# Overrides and isolates reorder what stands around them. Marks (U+200E, U+200F, U+061C) don't.
_REORDERING = re.compile("[\u202a-\u202e\u2066-\u2069]")
_UNSAFE_IN_URL = re.compile(r'[\x00-\x20"<>\\^`{|}\x7f-\x9f\u2028\u2029]')
_SLACK = 1000
"""Characters that cleaning may take from a text without a reader missing any."""
_MENTION, _END_OF_MENTION = "\ufdd0", "\ufdd1"
_MARKED = re.compile(f"{_MENTION}([^{_END_OF_MENTION}]*){_END_OF_MENTION}?")
PROFILE = "penpot-profile:"
"""The scheme of a link that stands for somebody who is mentioned; a profile's id follows."""
_MENTIONED = re.compile(rf"\[((?:[^\]\[\\]|\\.)*)\]\(<{PROFILE}[^>]*>\)")
_ISOLATE, _END_OF_ISOLATE = "\u2068", "\u2069"


class Markdown(str):
    """Text that is Markdown already.

    Joining it with other text gives Markdown with the other text escaped. All else that a
    ``str`` can do gives plain text, which is escaped again where it is put into a template:
    a slip shows backslashes, it never lets markup through.
    """

    __slots__ = ()

    def __add__(self, other: str) -> "Markdown":
        return Markdown(str.__add__(self, escape(other)))

    def __radd__(self, other: str) -> "Markdown":
        return Markdown(str.__add__(escape(other), self))

    def strip(self, chars: str | None = None) -> str:
        """Without white space at its ends this is Markdown still; without others it may not be."""
        stripped = super().strip(chars)
        return Markdown(stripped) if chars is None else stripped

    def join(self, parts: Iterable[object]) -> "Markdown":
        """The parts, each escaped unless it is Markdown, with this between them."""
        return Markdown(str.join(self, map(escape, parts)))

    def __getitem__(self, key: SupportsIndex | slice) -> str:
        # A part may begin in the middle of an escape: it is text, no longer Markdown.
        return str.__getitem__(self, key)


def escape(value: object) -> Markdown:
    """``value`` as literal inline Markdown; Markdown stays as it is.

    None is empty. Control characters and line ends become a space, as do several spaces (one at
    an end is kept, for ``{{ " · " if file }}``); characters that reorder text are dropped, and a
    value with right-to-left letters is isolated, so that it doesn't turn round the sentence
    that it is put into.
    """
    if isinstance(value, Markdown):
        return value
    text, people = marked(value)
    return with_mentions(literal(text), people)


def literal(value: object) -> Markdown:
    """``value`` as ``escape`` gives it, with the marks of ``marked`` still in it."""
    return Markdown(_PUNCTUATION.sub(r"\\\1", clean(value)))


def unescaped(code: str) -> str:
    """What ``escape`` made of values, as it has to be read in code, where Markdown knows neither
    escapes nor links."""
    return _ESCAPED.sub(r"\1", _MENTIONED.sub(r"\1", code))


def marked(value: object) -> tuple[object, Iterator[str]]:
    """A comment's text with marks around each ``@Name`` that mentions somebody, and their ids in
    order; any other value as it is. Cut it, clean it and escape it, then call ``with_mentions``.

    A comment is a ``str`` with ``mentions``: begin, end and id of each.
    """
    places = getattr(value, "mentions", ()) if isinstance(value, str) else ()
    if not isinstance(value, str) or not places or _MENTION in value or _END_OF_MENTION in value:
        return value, iter(())
    text, done = "", 0
    for begin, end, _ in places:
        text += f"{value[done:begin]}{_MENTION}{value[begin:end]}{_END_OF_MENTION}"
        done = end
    return text + value[done:], iter([person for _, _, person in places])


def with_mentions(text: Markdown, people: Iterator[str]) -> Markdown:
    """The Markdown with a link in the place of each mark; ``people`` is what ``marked`` gave. One
    that was cut in two is plain text."""

    def linked(match: re.Match[str]) -> str:
        person = next(people, "")
        whole = match[0].endswith(_END_OF_MENTION) and person
        return f"[{match[1]}](<{PROFILE}{person}>)" if whole else match[1]

    return Markdown(_MARKED.sub(linked, text)) if _MENTION in text else text


def clean(value: object) -> str:
    """The text that a reader sees where ``escape(value)`` was put."""
    text = _SPACES.sub(" ", readable(value))
    if not text.isascii() and any(unicodedata.bidirectional(c) in ("R", "AL") for c in text):
        return f"{_ISOLATE}{text}{_END_OF_ISOLATE}"
    return text


def one_line(value: object) -> str:
    """``value`` as one stripped line, without what can't be seen or reorders text."""
    return _SPACES.sub(" ", readable(value)).strip()


def lines(value: object) -> list[str]:
    """The lines of ``value``, each as ``one_line`` gives it; none for an empty text."""
    found = [one_line(line) for line in _LINE_END.split(readable(value))]
    while found and not found[-1]:
        found.pop()
    while found and not found[0]:
        found.pop(0)
    return found


def readable(value: object) -> str:
    """``value`` in words, with its line ends, without characters that reorder or aren't text."""
    return _NOT_TEXT.sub("\ufffd", _REORDERING.sub("", _words(value)))


def beginning(value: object, length: int) -> tuple[str, bool]:
    """As much of ``readable(value)`` as ``length`` characters of clean text can need, and whether
    that is all of it. The rest, which may be megabytes, is not looked at."""
    text = _words(value).lstrip()
    enough = 2 * max(length, 0) + _SLACK
    return readable(text[:enough]), len(text) <= enough


def _words(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, datetime):
        return value.isoformat(" ", "seconds")
    return value if isinstance(value, str) else str(value)


def web_address(url: str, schemes: tuple[str, ...] = ("http://", "https://")) -> str:
    """``url`` with what could end a link early encoded; empty unless it has one of the schemes.

    It is not normalized any further: what a browser opens is what was given.
    """
    url = url.strip()
    if not url.lower().startswith(schemes):
        return ""
    return _UNSAFE_IN_URL.sub(lambda found: percent_encoded(found[0]), url)
