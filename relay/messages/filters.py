"""The filters of Markdown templates. Each returns Markdown."""

import re
from collections.abc import Iterable
from contextlib import suppress
from datetime import UTC, datetime
from itertools import groupby

from relay.messages import times
from relay.messages.document import Paragraph, parse, to_text, with_dates
from relay.messages.escape import (
    DATA_SCHEMES,
    ENTITY_PATTERN,
    Markdown,
    Run,
    as_text,
    collapse,
    escape,
    inline,
    readable,
    runs,
    safe_url,
)
from relay.messages.shorten import ELLIPSIS, shorten
from relay.messages.times import FORMS

_SEPARATORS = " .,;:·—-"  # not before an ellipsis
_MAX_CUT_WORD_LENGTH = 20  # characters of a word that is left out whole
MAX_QUOTED_LINES = 400  # Penpot's longest comment has fewer
# An escaped character begins no link: from each "\[" the search would go on to the end of the text.
_LINK_PATTERN = re.compile(r"\\.|\[((?:[^\]\[\\]|\\.)*)\]\(<([^<>]*)>\)", re.DOTALL)
_LINK_SYNTAX = "]("  # present in Markdown with a link, never in escaped text
_MAX_INVISIBLE_COUNT = 1000  # characters that cleaning may remove before a text counts as cut
_UNDERLINE_PATTERN = re.compile(r" *(?:=+|-+) *")
_LINE_END_PATTERN = re.compile("\r\n|[\n\r\v\f\x1c-\x1e\x85\u2028\u2029]")


def link(text: object, url: object = None) -> Markdown:
    """``text`` as a link to ``url``, by default to its own (``file | link``).

    Returns the text alone without a URL or for a scheme other than http and https.
    """
    label = Markdown(escape(text).strip())
    if _LINK_SYNTAX in label:  # a link can contain neither links, mentions nor times
        label = escape(_plain(label))
    target = safe_url(readable(getattr(text, "url", "") if url is None else url))
    if not (label and target):
        return label
    return Markdown(f"[{label}](<{ENTITY_PATTERN.sub('&amp;', target)}>)")


def first_link(text: object) -> Markdown:
    """``text`` with its first link; each other one becomes its text. Mentions and times stay."""
    text = escape(text)
    links = [
        match
        for match in _LINK_PATTERN.finditer(text)
        if match[2] is not None and not match[2].startswith(DATA_SCHEMES)
    ]
    parts, end = [], 0
    for match in links[1:]:
        parts += [text[end : match.start()], match[1]]
        end = match.end()
    return Markdown("".join([*parts, text[end:]]))


def quote(text: object, length: int = 10_000) -> Markdown:
    """``text`` as a block quote with its line breaks and paragraphs; empty for an empty text.

    Plain text is cut after ``length`` characters and after ``MAX_QUOTED_LINES`` lines.
    """
    return _blocks(text, length, "> ")


def paragraphs(text: object, length: int = 10_000) -> Markdown:
    """As ``quote``, but not quoted."""
    return _blocks(text, length, "")


def _blocks(text: object, length: int, mark: str) -> Markdown:
    """``mark`` is put before each line."""
    if isinstance(text, Markdown):
        marked = "\n".join(f"{mark}{line}" for line in text.strip().split("\n")) if text else ""
    else:
        rows = lines(_shorten(_strip(_prefix(text, length)), length))
        if len(rows) > MAX_QUOTED_LINES:
            rows[MAX_QUOTED_LINES:] = [[(ELLIPSIS, "")]]
        groups = (group for filled, group in groupby(rows, bool) if filled)
        end, empty = f"\\\n{mark}", f"\n{mark.strip()}\n"
        marked = empty.join(mark + end.join(map(inline, group)) for group in groups)
    # On lines of its own: Markdown would take text directly before or after it as part of it.
    gap = "\n" if mark else "\n\n"
    return Markdown(f"{gap}{marked}\n\n" if marked else "")


def when(value: object, form: str = "") -> Markdown:
    """A datetime, or a time in ISO 8601, such as "yesterday 10:17": ``form`` is empty, ``date``,
    ``time``, or a format of strftime, which gives plain text. Without a zone of its own it is in
    UTC. None is empty, any other value is only escaped."""
    if "%" not in form and form not in ("", *FORMS):
        known = ", ".join(map(repr, FORMS))
        raise ValueError(f"when({form!r}): must be {known}, or a format such as '%d.%m.%Y'")
    if isinstance(value, str):
        with suppress(ValueError):
            value = datetime.fromisoformat(value)
    if not isinstance(value, datetime):
        return escape(value)
    at = value if value.tzinfo else value.replace(tzinfo=UTC)
    return escape(times.local(at).strftime(form)) if "%" in form else times.to_markdown(at, form)


def truncate(value: object, length: int = 80) -> Markdown:
    """One line of at most ``length`` characters, without styles, ending in "…" if it was cut: after
    a word, unless that is long."""
    if isinstance(value, Markdown):
        value = _plain(value)
    if not getattr(value, "mentions", ()):
        text = as_text(value)
        if text.isascii() and len(text) <= length:  # the same, faster: most values are short names
            return escape(str(collapse(text).strip()))
    return inline(_shorten(_one_line(_prefix(value, length)), length))


def _plain(markdown: Markdown) -> str:
    return to_text(with_dates(parse(markdown)), links=False)


def join(values: Iterable[object], separator: object = "") -> Markdown:
    """Escapes each value that is not Markdown."""
    return escape(separator).join(values)


def is_line(text: object) -> bool:
    """Whether the Markdown is a line of a paragraph, whatever is before and after it: it is no
    list, quotation or heading, and does not underline a heading."""
    text = str(text)
    if "\n" in text or _UNDERLINE_PATTERN.fullmatch(text):
        return False
    return all(isinstance(block, Paragraph) for block in parse(text))


FILTERS = {
    function.__name__: function
    for function in (first_link, join, link, paragraphs, quote, truncate, when)
}


# Runs of text and mentions


def _prefix(value: object, length: int) -> list[Run]:
    """Enough of ``runs(value)`` for ``length`` characters of clean text, with "…" if it is not all.
    The rest, which may be megabytes, is not processed."""
    if getattr(value, "mentions", ()):  # a comment, whose length is limited
        return runs(value)
    text = as_text(value).lstrip()
    enough = 2 * max(length, 0) + _MAX_INVISIBLE_COUNT
    return runs(text if len(text) <= enough else text[:enough].rstrip() + ELLIPSIS)


def _shorten(parts: list[Run], length: int) -> list[Run]:
    """As ``shorten``, but after a word, unless that is long."""
    text = "".join(part for part, _ in parts)
    shortened = shorten(text, length)
    if shortened == text:
        return parts
    end = len(shortened) - len(ELLIPSIS)
    if not text[end : end + 1].isspace():
        space = text.rfind(" ", max(1, end - _MAX_CUT_WORD_LENGTH), end)
        end = len(text[:space].rstrip()) if space > 0 else end
    end = len(text[:end].rstrip(_SEPARATORS)) or end
    return [*_slice(parts, 0, end), (ELLIPSIS, "")] if shortened else []


def _slice(parts: Iterable[Run], start: int, end: int) -> list[Run]:
    """The characters from ``start`` to ``end``; a mention that loses some becomes text."""
    kept, position = [], 0
    for text, profile in parts:
        part = text[max(0, start - position) : max(0, end - position)]
        position += len(text)
        if part:
            kept.append((part, profile if part.strip() == text.strip() else ""))
    return kept


def _strip(parts: list[Run]) -> list[Run]:
    """Without white space at the ends."""
    text = "".join(part for part, _ in parts)
    return _slice(parts, len(text) - len(text.lstrip()), len(text.rstrip()))


def _one_line(parts: list[Run]) -> list[Run]:
    return _strip([(collapse(text), profile) for text, profile in parts])


def lines(parts: list[Run]) -> list[list[Run]]:
    """The lines, each as ``one_line``."""
    rows: list[list[Run]] = [[]]
    for text, profile in parts:
        first, *others = _LINE_END_PATTERN.split(text)
        rows[-1].append((first, profile))
        rows += [[(line, profile)] for line in others]
    return list(map(_one_line, rows))
