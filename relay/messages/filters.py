"""The filters that templates have for Markdown. Each returns Markdown."""

import re
from collections.abc import Iterable
from datetime import UTC, datetime
from itertools import groupby

from relay.messages.escape import (
    Markdown,
    beginning,
    escape,
    lines,
    literal,
    marked,
    one_line,
    readable,
    web_address,
    with_mentions,
)
from relay.messages.graphemes import ELLIPSIS, shorten
from relay.messages.markdown import parse
from relay.messages.plain import to_text

_LINKED = "]("
"""Stands in Markdown that holds a link; in escaped text it can't."""
_ENTITY = re.compile(r"&(?=#?\w+;)")


def link(text: object, url: object = None) -> Markdown:
    """``text`` as a link to ``url``, or without one to its own (``file | link``).

    Only the text where there is no url, or one that is neither http nor https.
    """
    label = Markdown(escape(text).strip())
    if _LINKED in label:  # no link holds another, nor a mention
        label = literal(to_text(parse(label), links=False))
    target = web_address(readable(getattr(text, "url", "") if url is None else url))
    return Markdown(f"[{label}](<{_ENTITY.sub('&amp;', target)}>)") if label and target else label


MOST_LINES = 400
"""Lines of a quotation; Penpot's longest comment has fewer."""


def quote(text: object, length: int = 10_000) -> Markdown:
    """``text`` as a quotation, with its line ends and paragraphs; nothing for an empty text.

    It stands on lines of its own, wherever it is put. Plain text is cut after ``length`` characters
    and after ``MOST_LINES`` lines.
    """
    if isinstance(text, Markdown):
        quoted = "\n".join(f"> {line}" for line in text.strip().split("\n")) if text else ""
    else:
        words, people = marked(text)
        begun, whole = beginning(words, length)
        found = lines(shorten(begun.strip(), length, whole=whole))
        if len(found) > MOST_LINES:
            found[MOST_LINES:] = [ELLIPSIS]
        paragraphs = (
            "\\\n> ".join(map(literal, group)) for filled, group in groupby(found, bool) if filled
        )
        quoted = "\n>\n> ".join(paragraphs)
        quoted = with_mentions(Markdown(f"> {quoted}" if quoted else ""), people)
    # What stands before it on its line, or follows at once, would be read as part of the quotation
    # or of what is quoted.
    return Markdown(f"\n{quoted}\n\n" if quoted else "")


def when(value: object, format: str = "") -> Markdown:  # noqa: A002 - read in templates
    """A date and time for a person, in UTC: "25 Jul 2026, 08:17 UTC"; nothing for None.

    ``format`` as in strftime; takes a datetime or a text in ISO 8601.
    """
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            return escape(value)
    if not isinstance(value, datetime):
        return escape(value)
    moment = value.astimezone(UTC) if value.tzinfo else value
    return escape(moment.strftime(format or f"{moment.day} %b %Y, %H:%M UTC"))


def truncate(value: object, length: int = 80) -> Markdown:
    """One line of at most ``length`` characters, with "…" where it was cut; without styles."""
    if isinstance(value, Markdown):
        value = to_text(parse(value), links=False)
    words, people = marked(value)
    text, whole = beginning(words, length)
    return with_mentions(literal(shorten(one_line(text), length, whole=whole)), people)


def join(values: Iterable[object], separator: object = "") -> Markdown:
    """The values with ``separator`` between them; each is escaped unless it is Markdown."""
    return escape(separator).join(values) if separator else Markdown().join(values)
