"""A document as HTML, with only elements that all Matrix clients and mail programs show."""

from collections.abc import Iterable
from html import escape
from itertools import groupby
from operator import attrgetter

from relay.messages.document import (
    CodeBlock,
    Document,
    Heading,
    Inline,
    LineBreak,
    ListBlock,
    Paragraph,
    Quote,
)

_STYLES = (("code", "code"), ("strike", "del"), ("italic", "em"), ("bold", "strong"))


def to_html(document: Document) -> str:
    """Every text is escaped.

    Elements: p, br, strong, em, del, code, pre, blockquote, ul, ol, li, h1 to h6, hr, a.
    Attributes: ``href`` of a, ``start`` of ol.
    """
    return "".join(map(_block, document))


def inlines_to_html(inlines: Iterable[Inline]) -> str:
    """As ``to_html``, without a block element around the text."""
    parts = []
    for url, run in groupby(inlines, attrgetter("url")):
        inner = "".join(map(_inline, run))
        parts.append(f'<a href="{escape(url)}">{inner}</a>' if url else inner)
    return "".join(parts)


def _block(block: object) -> str:
    match block:
        case Paragraph(inlines):
            return f"<p>{inlines_to_html(inlines)}</p>"
        case Heading(level, inlines):
            return f"<h{level}>{inlines_to_html(inlines)}</h{level}>"
        case Quote(blocks):
            return f"<blockquote>{to_html(blocks)}</blockquote>"
        case ListBlock(items, start):
            inner = "".join(f"<li>{_item(item)}</li>" for item in items)
            if start is None:
                return f"<ul>{inner}</ul>"
            return f'<ol start="{start}">{inner}</ol>' if start != 1 else f"<ol>{inner}</ol>"
        case CodeBlock(text):
            return f"<pre><code>{escape(text)}</code></pre>"
        case _:
            return "<hr>"


def _item(item: Document) -> str:
    # Without <p> in the first paragraph, clients show a tight list.
    if item and isinstance(item[0], Paragraph):
        return inlines_to_html(item[0].inlines) + to_html(item[1:])
    return to_html(item)


def _inline(inline: Inline) -> str:
    if isinstance(inline, LineBreak):
        return "<br>"
    html = escape(inline.text)
    for style, tag in _STYLES:
        if getattr(inline, style):
            html = f"<{tag}>{html}</{tag}>"
    return html
