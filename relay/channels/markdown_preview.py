"""The Markdown that a chat gets as HTML for the inspector, read by a CommonMark parser."""

import re
from collections.abc import Mapping
from functools import cache
from html import escape

from markdown_it import MarkdownIt
from markupsafe import Markup

from relay.channels.preview import LINK_ATTRIBUTES
from relay.messages.document import SCHEMES

_MAX_NESTING_DEPTH = 50


@cache
def _parser() -> MarkdownIt:
    options = {"html": False, "breaks": True, "xhtmlOut": False, "maxNesting": _MAX_NESTING_DEPTH}
    parser = MarkdownIt("commonmark", options).enable("strikethrough")
    # An address of another scheme stays text, as in the chats.
    parser.validateLink = lambda url: url.lower().startswith(SCHEMES)  # type: ignore[method-assign]
    return parser.disable(["code", "image", "reference", "html_block", "html_inline"])


def to_preview(markdown: str, mentions: Mapping[str, str]) -> Markup:
    """``mentions``: what the chat shows for each text that pings somebody."""
    html = _parser().render(markdown).replace("<a ", f"<a {LINK_ATTRIBUTES} ")
    if mentions:
        shown = {escape(text): name for text, name in mentions.items()}
        pattern = "|".join(map(re.escape, sorted(shown, key=len, reverse=True)))
        html = re.sub(rf"(?:{pattern})(?!\w)", lambda match: _pill(shown[match[0]]), html)
    return Markup(html)  # noqa: S704 - escaped by the parser


def _pill(name: str) -> str:
    return f'<span class="preview-mention">@{escape(name)}</span>'
