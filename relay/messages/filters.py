"""The filters of Markdown templates. Each returns Markdown."""

import re
from collections.abc import Iterable
from datetime import UTC, datetime
from itertools import groupby

from relay.messages.document import ELLIPSIS, parse, shorten, to_text
from relay.messages.escape import (
    Markdown,
    Run,
    escape,
    inline,
    line_runs,
    one_line_runs,
    prefix_runs,
    readable,
    safe_url,
    slice_runs,
    strip_runs,
)

MAX_QUOTED_LINES = 400  # Penpot's longest comment has fewer
_LINK_SYNTAX = "]("  # present in Markdown with a link, never in escaped text
_ENTITY_PATTERN = re.compile(r"&(?=#?\w+;)")


def link(text: object, url: object = None) -> Markdown:
    """``text`` as a link to ``url``, by default to its own (``file | link``).

    Returns the text alone without a URL or for a scheme other than http and https.
    """
    label = Markdown(escape(text).strip())
    if _LINK_SYNTAX in label:  # a link can contain neither links nor mentions
        label = escape(to_text(parse(label), links=False))
    target = safe_url(readable(getattr(text, "url", "") if url is None else url))
    if not (label and target):
        return label
    return Markdown(f"[{label}](<{_ENTITY_PATTERN.sub('&amp;', target)}>)")


def quote(text: object, length: int = 10_000) -> Markdown:
    """``text`` as a block quote with its line breaks and paragraphs; empty for an empty text.

    Plain text is cut after ``length`` characters and after ``MAX_QUOTED_LINES`` lines.
    """
    if isinstance(text, Markdown):
        quoted = "\n".join(f"> {line}" for line in text.strip().split("\n")) if text else ""
    else:
        prefix, whole = prefix_runs(text, length)
        rows = line_runs(_shorten(strip_runs(prefix), length, whole=whole))
        if len(rows) > MAX_QUOTED_LINES:
            rows[MAX_QUOTED_LINES:] = [[(ELLIPSIS, "")]]
        paragraphs = (
            "\\\n> ".join(map(inline, group)) for filled, group in groupby(rows, bool) if filled
        )
        quoted = "\n>\n> ".join(paragraphs)
        quoted = f"> {quoted}" if quoted else ""
    # On lines of its own: Markdown would take text directly before or after it as part of it.
    return Markdown(f"\n{quoted}\n\n" if quoted else "")


def when(value: object, format: str = "") -> Markdown:  # noqa: A002 - the name in templates
    """A datetime or ISO 8601 text in UTC, such as "25 Jul 2026, 08:17 UTC"; empty for None.

    ``format`` as in strftime. Any other value is only escaped.
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
    """One line of at most ``length`` characters, without styles, ending in "…" if it was cut."""
    if isinstance(value, Markdown):
        value = to_text(parse(value), links=False)
    parts, whole = prefix_runs(value, length)
    return inline(_shorten(one_line_runs(parts), length, whole=whole))


def _shorten(parts: list[Run], length: int, *, whole: bool) -> list[Run]:
    """As ``shorten``."""
    text = "".join(part for part, _ in parts)
    shortened = shorten(text, length, whole=whole)
    if shortened == text:
        return parts
    kept = slice_runs(parts, 0, len(shortened) - len(ELLIPSIS))
    return [*kept, (ELLIPSIS, "")] if shortened else []


def join(values: Iterable[object], separator: object = "") -> Markdown:
    """Escapes each value that is not Markdown."""
    return escape(separator).join(values)


FILTERS = {function.__name__: function for function in (join, link, quote, truncate, when)}
