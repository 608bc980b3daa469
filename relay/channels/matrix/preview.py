"""Preview of a Matrix message: the HTML that the specification permits clients to show.

https://spec.matrix.org/v1.16/client-server-api/#mroommessage-msgtypes
"""

import json
import re
from html.parser import HTMLParser
from urllib.parse import unquote

from markupsafe import Markup, escape

from relay.channels.base import ReplyTo
from relay.channels.matrix import content as matrix_content
from relay.channels.matrix.settings import MatrixSettings
from relay.channels.preview import PICTURE, MessagePreview, image, link, posted_at
from relay.messages.message import Message

_TAGS = {
    *("del", "h1", "h2", "h3", "h4", "h5", "h6", "blockquote", "p", "a", "ul", "ol", "sup", "sub"),
    *("li", "b", "i", "u", "strong", "em", "s", "code", "hr", "br", "div", "table", "thead"),
    *("tbody", "tr", "th", "td", "caption", "pre", "span", "img", "details", "summary"),
}
_EMPTY_TAGS = ("img", "hr", "br")
_ATTRIBUTES = {
    "span": {"data-mx-color", "data-mx-spoiler"},
    "a": {"href"},
    "img": {"alt", "title"},
    "ol": {"start"},
}
_MATRIX_TO_PATTERN = re.compile(r"https://matrix\.to/#/(?:@|%40)([^?]+)")
_COLOR_PATTERN = re.compile(r"#[0-9a-fA-F]{6}")


def preview(message: Message, thread: ReplyTo | None, settings: MatrixSettings) -> MessagePreview:
    """The message with a labelled box for its picture."""
    msgtype = matrix_content.message_type(message, settings.msgtype)
    is_below = bool(message.picture) and settings.shows_image(msgtype)
    picture = None
    if message.picture and not message.content.override and not is_below:
        picture = matrix_content.Image("mxc://example.org/1", PICTURE)
    content = matrix_content.render(message, picture, msgtype)
    if thread is not None:
        content["m.relates_to"] = matrix_content.relation(thread.root, thread.last)
    plain = str(content["body"])
    html = content.get("formatted_body")
    inner = sanitized(str(html)) if html else Markup('<p class="preview-text">{}</p>').format(plain)
    if is_below:
        inner += image(message.file)
    shown = Markup(
        '<article class="preview preview-matrix">'
        '<span class="preview-icon" aria-hidden="true">P</span>'
        '<div class="preview-who"><b>Penpot</b> <span class="preview-time">{}</span></div>'
        '<div class="preview-body">{}</div></article>'
    ).format(posted_at(message.at), inner)
    note = ""
    if message.content.override and message.content.override not in str(html):
        note = "Matrix gets the built-in message: the template's output is too long"
    source, title = json.dumps(content, indent=2, ensure_ascii=False), plain.partition("\n")[0]
    return MessagePreview(shown, source, title, plain, notifies=True, note=note)


def sanitized(html: str) -> Markup:
    """The elements and attributes that the specification permits; mentions become pills, pictures
    become boxes."""
    import nh3  # loaded with the first preview

    clean = nh3.clean(
        html,
        tags=_TAGS,
        attributes=_ATTRIBUTES,
        clean_content_tags={"script", "style", "mx-reply"},
        url_schemes={"https", "http", "mailto"},
        link_rel=None,
    )
    client = _MatrixClient()
    client.feed(clean)
    client.close()
    return Markup("".join(client.parts))  # noqa: S704 - parts are escaped


class _MatrixClient(HTMLParser):
    """Renders sanitized HTML, with no elements but ``_TAGS``, as a Matrix client does."""

    def __init__(self) -> None:
        super().__init__()
        self.parts: list[str] = []
        self._ends: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        start, end = _element(tag, {name: value or "" for name, value in attrs})
        self.parts.append(start)
        if tag not in _EMPTY_TAGS:
            self._ends.append(end)

    def handle_endtag(self, tag: str) -> None:
        if tag not in _EMPTY_TAGS:
            self.parts.append(self._ends.pop())

    def handle_data(self, data: str) -> None:
        self.parts.append(escape(data))


def _element(tag: str, attributes: dict[str, str]) -> tuple[str, str]:
    """The start and the end of an element."""
    match tag:
        case "a":
            address = attributes.get("href", "")
            if match := _MATRIX_TO_PATTERN.fullmatch(address):
                title = escape(f"@{unquote(match[1])}")
                return f'<span class="preview-pill" title="{title}">', "</span>"
            start, _, end = link(address, "\0").partition("\0")
            return start, end
        case "img":
            return image(attributes.get("alt") or attributes.get("title")), ""
        case "span" if _COLOR_PATTERN.fullmatch(color := attributes.get("data-mx-color", "")):
            # The page's policy forbids style attributes but not <font color>.
            return f'<font color="{color}">', "</font>"
        case "span" if "data-mx-spoiler" in attributes:
            return '<span class="preview-spoiler" tabindex="0">', "</span>"
        case "ol" if re.fullmatch(r"-?\d+", attributes.get("start", "")):
            return f'<ol start="{attributes["start"]}">', "</ol>"
    return f"<{tag}>", f"</{tag}>"
