"""A message in Slack: the very blocks that are posted, drawn after Slack's looks.

https://docs.slack.dev/reference/block-kit/blocks. Blocks may come out of a user's own template and
be anything at all: one that is not known is a box with its name, never an error.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from markupsafe import Markup

from relay.channels import slack_blocks
from relay.inspector.look import Look
from relay.inspector.look.markup import clock, image, link, wrapped
from relay.inspector.look.mrkdwn import mention, mrkdwn
from relay.messages.html import to_html
from relay.messages.markdown import parse
from relay.messages.message import Message

Json = Mapping[str, Any]

_TAGS = {"bold": "b", "italic": "i", "strike": "s", "underline": "u", "code": "code"}
_DEEPEST_LIST = 8
_ENTITIES = (("&lt;", "<"), ("&gt;", ">"), ("&amp;", "&"))


def look(message: Message) -> Look:
    """The message as Slack shows it, with a ping for everyone who has an id there, or an address
    to find it by."""
    pings = {one.id: one.slack or one.id for one in message.mentions if one.slack or one.email}
    names = {pings[one.id]: one.name or "someone" for one in message.mentions if one.id in pings}
    arguments, note = _arguments(message, pings)
    text = arguments["text"]
    for entity, character in _ENTITIES:
        text = text.replace(entity, character)
    return Look(posted(draw(arguments, names), clock(message.at)), text, note=note)


def posted(blocks: Markup, time: str) -> Markup:
    """Blocks under the name of the app that posted them."""
    return Markup(
        '<article class="look look-slack"><span class="look-icon" aria-hidden="true">P</span>'
        '<div class="look-who"><b>Penpot</b> <span class="look-app">APP</span> '
        '<span class="look-time">{}</span></div>{}</article>'
    ).format(time, blocks)


def draw(
    arguments: Json, names: Mapping[str, str], picture: Callable[[Json], Markup] | None = None
) -> Markup:
    """The ``blocks`` of a message, or where there are none its ``text``. ``names`` are of people,
    by Slack's ids; ``picture`` draws an image block in the place of a box with its words."""
    blocks = arguments.get("blocks")
    if not isinstance(blocks, list) or not blocks:
        return Markup('<div class="look-section">{}</div>').format(
            mrkdwn(str(arguments.get("text", "")), names)
        )
    try:
        return _joined(map(_Drawing(names, picture or _placeholder).block, blocks))
    except RecursionError:
        return _unknown("block", {"type": "nested too deeply"})


def _arguments(message: Message, pings: Mapping[str, str]) -> tuple[Json, str]:
    """What is posted, and why it is not what the template says where that can't be."""
    note = ""
    if message.override:
        try:
            return slack_blocks.override(message, pings), ""
        except ValueError as error:
            note = f"Slack gets the message's own blocks: the template's JSON {error}"
    words = message.file or "Thumbnail"
    shown = {"type": "image", "alt_text": words} if message.picture and not note else None
    return slack_blocks.render(message, pings, shown), note


def _placeholder(block: Json) -> Markup:
    return image(block.get("alt_text"))


class _Drawing:
    """Draws blocks, with what they are about."""

    def __init__(self, names: Mapping[str, str], picture: Callable[[Json], Markup]) -> None:
        self._names = names
        self._picture = picture

    def block(self, block: Any) -> Markup:
        """One block, whatever it is."""
        match block:
            case {"type": "rich_text", "elements": list(parts)}:
                return _joined(map(self._part, parts))
            case {"type": "header", "text": {"text": str(words)}}:
                return Markup('<div class="look-header">{}</div>').format(words)
            case {"type": "section"}:
                return self._section(block)
            case {"type": "context", "elements": list(parts)}:
                inner = Markup(" ").join(map(self._small, parts))
                return Markup('<div class="look-context">{}</div>').format(inner)
            case {"type": "divider"}:
                return Markup("<hr>")
            case {"type": "image"}:
                title = self._text(block["title"]) if "title" in block else ""
                return Markup('<div class="look-picture">{}{}</div>').format(
                    title, self._picture(block)
                )
            case {"type": "actions", "elements": list(parts)}:
                inner = Markup(" ").join(map(self._control, parts))
                return Markup('<div class="look-actions">{}</div>').format(inner)
            case {"type": "markdown", "text": str(words)}:
                inner = Markup(to_html(parse(words)))  # noqa: S704 - escaped there
                return Markup('<div class="look-section">{}</div>').format(inner)
        return _unknown("block", block)

    def _section(self, block: Json) -> Markup:
        text = self._text(block["text"]) if "text" in block else ""
        fields = block.get("fields")
        if isinstance(fields, list):
            cells = _joined(Markup("<div>{}</div>").format(self._text(one)) for one in fields)
            text = Markup('{}<div class="look-fields">{}</div>').format(text, cells)
        beside = self._control(block["accessory"]) if "accessory" in block else ""
        return Markup('<div class="look-section"><div>{}</div>{}</div>').format(text, beside)

    def _small(self, element: Any) -> Markup:
        """An element of a context block."""
        match element:
            case {"type": "image"}:
                return self._picture(element)
        return self._text(element)

    def _text(self, value: Any) -> Markup:
        """A text object."""
        match value:
            case {"type": "mrkdwn", "text": str(words)}:
                return mrkdwn(words, self._names, verbatim=value.get("verbatim") is True)
            case {"type": "plain_text", "text": str(words)}:
                # Escaped as all that Slack takes besides rich_text.
                for entity, character in _ENTITIES:
                    words = words.replace(entity, character)
                return Markup("{}").format(words)
        return _unknown("text", value)

    def _control(self, element: Any) -> Markup:
        """A button or another thing to use: it does nothing here."""
        match element:
            case {"type": "image"}:
                return self._picture(element)
            case {"type": "button", "text": {"text": str(words)}}:
                style = element.get("style")
                kind = f" look-{style}" if style in ("primary", "danger") else ""
                button = Markup('<span class="look-button{}">{}</span>').format(kind, words)
                return link(element.get("url"), button)
            case {"type": str(kind)}:
                words = element.get("placeholder")
                label = words.get("text") if isinstance(words, Mapping) else None
                shown = label if isinstance(label, str) else kind.replace("_", " ")
                return Markup('<span class="look-button">{} ▾</span>').format(shown)
        return _unknown("element", element)

    def _part(self, part: Any) -> Markup:
        """A part of a ``rich_text`` block."""
        match part:
            case {"type": "rich_text_section", "elements": list(elements)}:
                return Markup('<div class="look-text">{}</div>').format(self._inlines(elements))
            case {"type": "rich_text_quote", "elements": list(elements)}:
                return Markup('<div class="look-quote">{}</div>').format(self._inlines(elements))
            case {"type": "rich_text_preformatted", "elements": list(elements)}:
                return Markup('<pre tabindex="0">{}</pre>').format(self._inlines(elements))
            case {"type": "rich_text_list", "elements": list(items)}:
                return self._list(part, items)
        return _unknown("part", part)

    def _list(self, part: Json, items: list[object]) -> Markup:
        indent, offset = (
            value if isinstance(value, int) and value > 0 else 0
            for value in (part.get("indent"), part.get("offset"))
        )
        tag = Markup("ol") if part.get("style") == "ordered" else Markup("ul")
        start = Markup(' start="{}"').format(offset + 1) if tag == "ol" and offset else ""
        inner = _joined(Markup("<li>{}</li>").format(self._part(item)) for item in items)
        return Markup('<{0} class="look-indent-{1}"{2}>{3}</{0}>').format(
            tag, min(indent, _DEEPEST_LIST), start, inner
        )

    def _inlines(self, elements: Iterable[object]) -> Markup:
        return _joined(map(self._inline, elements))

    def _inline(self, element: Any) -> Markup:
        shown = self._plain(element)
        style = element.get("style") if isinstance(element, Mapping) else None
        if isinstance(style, Mapping):
            for name, tag in _TAGS.items():
                if style.get(name) is True:
                    shown = wrapped(tag, shown)
        if isinstance(element, Mapping) and element.get("type") == "link":
            return link(element.get("url"), shown)
        return shown

    def _plain(self, element: Any) -> Markup:
        """An element of rich text, without its style."""
        match element:
            case {"type": "text", "text": str(words)}:
                return Markup("{}").format(words)
            case {"type": "link", "url": str(url)}:
                words = element.get("text")
                return Markup("{}").format(words if isinstance(words, str) and words else url)
            case {"type": "user", "user_id": str(user)}:
                return mention(f"@{self._names.get(user, user)}")
            case {"type": "channel", "channel_id": str(channel)}:
                return mention(f"#{channel}")
            case {"type": "usergroup", "usergroup_id": str(group)}:
                return mention(f"@{group}")
            case {"type": "broadcast", "range": str(whom)}:
                return mention(f"@{whom}")
            case {"type": "emoji", "name": str(name)}:
                return Markup("{}").format(_emoji(element.get("unicode")) or f":{name}:")
            case {"type": "date", "fallback": str(words)}:
                return Markup("{}").format(words)
            case {"type": "color", "value": str(color)}:
                return Markup("<code>{}</code>").format(color)
        return _unknown("element", element)


def _emoji(codes: object) -> str:
    """The characters of an emoji, such as ``1f389`` or ``1f1e9-1f1ea``; empty where it is none."""
    try:
        text = "".join(chr(int(code, 16)) for code in codes.split("-"))  # type: ignore[attr-defined]
        text.encode()  # no half of a surrogate pair
    except (AttributeError, ValueError, OverflowError):
        return ""
    return text


def _unknown(what: str, value: object) -> Markup:
    kind = value.get("type") if isinstance(value, Mapping) else None
    name = kind if isinstance(kind, str) else "without a type"
    return Markup('<div class="look-unknown">{} {}</div>').format(what, name)


def _joined(parts: Iterable[Markup]) -> Markup:
    return Markup("").join(parts)
