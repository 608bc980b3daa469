"""A message in a Matrix room: its HTML as far as the specification lets clients show it.

https://spec.matrix.org/v1.16/client-server-api/#mroommessage-msgtypes
"""

import re
from html.parser import HTMLParser
from urllib.parse import unquote

import nh3
from markupsafe import Markup, escape

from relay.channels import matrix_content
from relay.inspector.look import Look
from relay.inspector.look.markup import clock, image, link
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
_PERSON = re.compile(r"https://matrix\.to/#/(?:@|%40)([^?]+)")
_COLOR = re.compile(r"#[0-9a-fA-F]{6}")


def look(message: Message) -> Look:
    """The message as a client shows it, its picture as a box with its words."""
    picture = None
    if message.picture and not message.override:
        picture = matrix_content.Image("mxc://", message.file or "Thumbnail", 1, 1)
    content = matrix_content.render(message, picture)
    plain = str(content["body"])
    html = content.get("formatted_body")
    inner = sanitized(str(html)) if html else Markup('<p class="look-text">{}</p>').format(plain)
    shown = Markup(
        '<article class="look look-matrix"><span class="look-icon" aria-hidden="true">P</span>'
        '<div class="look-who"><b>Penpot</b> <span class="look-time">{}</span></div>'
        '<div class="look-body">{}</div></article>'
    ).format(clock(message.at), inner)
    note = ""
    if message.override and message.override not in str(html):
        note = "Matrix gets the message's own text: what the template gives is too long"
    return Look(shown, plain.partition("\n")[0], plain, note=note)


def sanitized(html: str) -> Markup:
    """What a client shows of the HTML: the elements and attributes that the specification permits,
    with names as pills and pictures as boxes."""
    clean = nh3.clean(
        html,
        tags=_TAGS,
        attributes=_ATTRIBUTES,
        clean_content_tags={"script", "style", "mx-reply"},
        url_schemes={"https", "http", "mailto"},
        link_rel=None,
    )
    client = _Client()
    client.feed(clean)
    client.close()
    return Markup("".join(client.parts))  # noqa: S704 - put together from escaped parts


class _Client(HTMLParser):
    """Does with clean HTML what a Matrix client does: every element in it is one of ``_TAGS``."""

    def __init__(self) -> None:
        super().__init__()
        self.parts: list[str] = []
        self._ends: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        match tag:
            case "a":
                self._link(given.get("href", ""))
            case "img":
                self.parts.append(image(given.get("alt") or given.get("title")))
            case "span":
                self._span(given)
            case "ol" if re.fullmatch(r"-?\d+", given.get("start", "")):
                self._open(f'<ol start="{given["start"]}">', "</ol>")
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
        if person := _PERSON.fullmatch(address):
            title = escape(f"@{unquote(person[1])}")
            self._open(f'<span class="look-pill" title="{title}">', "</span>")
        else:
            start, _, end = link(address, "\0").partition("\0")
            self._open(start, end)

    def _span(self, given: dict[str, str]) -> None:
        # A page allows no style; this element's own colour is none.
        if _COLOR.fullmatch(color := given.get("data-mx-color", "")):
            self._open(f'<font color="{color}">', "</font>")
        elif "data-mx-spoiler" in given:
            self._open('<span class="look-spoiler" tabindex="0">', "</span>")
        else:
            self._open("<span>", "</span>")
