"""Preview of a Matrix message: the HTML that the specification permits clients to show.

https://spec.matrix.org/v1.16/client-server-api/#mroommessage-msgtypes
"""

import re
from html.parser import HTMLParser
from urllib.parse import unquote

from markupsafe import Markup, escape

from relay.channels.base import ReplyTo
from relay.channels.matrix import content as matrix_content
from relay.channels.preview import MessagePreview, clock, image, link
from relay.messages.message import Message

_TAGS = {
    *("del", "h1", "h2", "h3", "h4", "h5", "h6", "blockquote", "p", "a", "ul", "ol", "sup", "sub"),
    *("li", "b", "i", "u", "strong", "em", "s", "code", "hr", "br", "div", "table", "thead"),
    *("tbody", "tr", "th", "td", "caption", "pre", "span", "img", "details", "summary"),
}
_ATTRIBUTES = {
    "span": {"data-mx-color", "data-mx-spoiler"},
    "a": {"href"},
    "img": {"alt", "title"},
    "ol": {"start"},
}
_MATRIX_TO_PATTERN = re.compile(r"https://matrix\.to/#/(?:@|%40)([^?]+)")
_COLOR_PATTERN = re.compile(r"#[0-9a-fA-F]{6}")


def preview(message: Message, thread: ReplyTo | None, settings: object) -> MessagePreview:
    """The message with a labelled box for its picture."""
    picture = None
    if message.picture and not message.content.override:
        picture = matrix_content.Image("mxc://", 1, 1)
    content = matrix_content.render(message, picture)
    plain = str(content["body"])
    html = content.get("formatted_body")
    inner = sanitized(str(html)) if html else Markup('<p class="preview-text">{}</p>').format(plain)
    shown = Markup(
        '<article class="preview preview-matrix">'
        '<span class="preview-icon" aria-hidden="true">P</span>'
        '<div class="preview-who"><b>Penpot</b> <span class="preview-time">{}</span></div>'
        '<div class="preview-body">{}</div></article>'
    ).format(clock(message.at), inner)
    note = ""
    if message.content.override and message.content.override not in str(html):
        note = "Matrix gets the built-in message: the template's output is too long"
    return MessagePreview(shown, plain.partition("\n")[0], plain, notifies=True, note=note)


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
        attributes = {name: value or "" for name, value in attrs}
        match tag:
            case "a":
                self._link(attributes.get("href", ""))
            case "img":
                self.parts.append(image(attributes.get("alt") or attributes.get("title")))
            case "span":
                self._span(attributes)
            case "ol" if re.fullmatch(r"-?\d+", attributes.get("start", "")):
                self._open(f'<ol start="{attributes["start"]}">', "</ol>")
            case "hr" | "br":
                self.parts.append(f"<{tag}>")
            case _:
                self._open(f"<{tag}>", f"</{tag}>")

    def handle_endtag(self, tag: str) -> None:
        if tag not in ("img", "hr", "br"):
            self.parts.append(self._ends.pop())

    def handle_data(self, data: str) -> None:
        self.parts.append(escape(data))

    def _open(self, start: str, end: str) -> None:
        self.parts.append(start)
        self._ends.append(end)

    def _link(self, address: str) -> None:
        if match := _MATRIX_TO_PATTERN.fullmatch(address):
            title = escape(f"@{unquote(match[1])}")
            self._open(f'<span class="preview-pill" title="{title}">', "</span>")
        else:
            start, _, end = link(address, "\0").partition("\0")
            self._open(start, end)

    def _span(self, attributes: dict[str, str]) -> None:
        # The page's policy forbids style attributes but not <font color>.
        if _COLOR_PATTERN.fullmatch(color := attributes.get("data-mx-color", "")):
            self._open(f'<font color="{color}">', "</font>")
        elif "data-mx-spoiler" in attributes:
            self._open('<span class="preview-spoiler" tabindex="0">', "</span>")
        else:
            self._open("<span>", "</span>")
