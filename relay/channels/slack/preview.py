"""Preview of a Slack message: the blocks that are posted, styled like Slack.

https://docs.slack.dev/reference/block-kit/blocks. Blocks may come from a user's template and
have any content: an unknown block becomes a box with its type, never an error.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from markupsafe import Markup

from relay.channels.base import ReplyTo
from relay.channels.preview import MessagePreview, clock, image, link, wrapped
from relay.channels.slack import blocks as slack_blocks
from relay.channels.slack.blocks import unescape
from relay.messages.document import parse
from relay.messages.html import to_html
from relay.messages.message import Message

# A style character must touch the text inside, and no word character outside.
_MRKDWN_PATTERN = re.compile(
    r"(?P<quote>(?:^(?:&gt;|>).*(?:\n|\Z))+)"
    r"|```\n?(?P<pre>(?s:.+?))```"
    r"|`(?P<code>[^`\n]+)`"
    r"|<(?P<angle>[^<>\n]+)>"
    r"|(?<![\w*])\*(?=\S)(?P<b>[^*`\n]+)(?<=\S)\*(?![\w*])"
    r"|(?<!\w)_(?=\S)(?P<i>[^_`\n]+)(?<=\S)_(?!\w)"
    r"|(?<![\w~])~(?=\S)(?P<s>[^~`\n]+)(?<=\S)~(?![\w~])"
    r"|(?P<bare>https?://[^\s<>|]+)",
    re.MULTILINE,
)
_QUOTE_PREFIX_PATTERN = re.compile(r"^(?:&gt;|>) ?", re.MULTILINE)
_TAGS = {"bold": "b", "italic": "i", "strike": "s", "underline": "u", "code": "code"}
_MAX_LIST_DEPTH = 8


def mrkdwn(
    text: str,
    names: Mapping[str, str],
    *,
    verbatim: bool = False,
    span: tuple[int, int] | None = None,
) -> Markup:
    """``names``: people's names by Slack user id. ``verbatim``: bare URLs do not become links.
    ``span``: the part of the text to render."""
    position, end = span or (0, len(text))
    parts = []
    for match in _MRKDWN_PATTERN.finditer(text, position, end):
        parts += [_literal(text[position : match.start()]), _formatted(match, names, verbatim)]
        position = match.end()
    return _joined([*parts, _literal(text[position:end])])


def _formatted(found: re.Match[str], names: Mapping[str, str], verbatim: bool) -> Markup:
    kind = str(found.lastgroup)
    inner = found[kind]
    match kind:
        case "quote":
            lines = _QUOTE_PREFIX_PATTERN.sub("", inner).removesuffix("\n")
            return _box("quote", mrkdwn(lines, names, verbatim=verbatim))
        case "pre" | "code":
            return wrapped(kind, unescape(inner))
        case "angle":
            return _angle(inner, names)
        case "bare":
            return _literal(inner) if verbatim else link(unescape(inner), unescape(inner))
    return wrapped(kind, mrkdwn(found.string, names, verbatim=verbatim, span=found.span(kind)))


def _literal(text: str) -> Markup:
    return Markup("{}").format(unescape(text))


def _angle(inner: str, names: Mapping[str, str]) -> Markup:
    """The content of ``<…>``: a link, a mention or a date."""
    target, _, words = map(unescape, inner.partition("|"))
    match target[:1]:
        case "@":
            return _mention("@", words or names.get(target[1:], target[1:]))
        case "#":
            return _mention("#", words or target[1:])
        case "!" if target.startswith("!date^"):
            return Markup("{}").format(words)
        case "!":
            return _mention("@", words.removeprefix("@") or target[1:])
    return link(target, words or target)


def preview(message: Message, thread: ReplyTo | None, settings: object) -> MessagePreview:
    """Everyone with a Slack id, or an e-mail address to find it by, is pinged."""
    people = [who for who in message.mentions if who.address("slack") or who.email]
    pings = {who.id: who.address("slack") or who.id for who in people}
    names = {pings[who.id]: who.name or "someone" for who in people}
    arguments, note = None, ""
    if message.content.override:
        try:
            arguments = slack_blocks.override(message, pings)
        except ValueError as error:
            note = f"Slack gets the built-in message: the template's JSON {error}"
    if arguments is None:
        picture: dict[str, Any] | None = {} if message.picture and not note else None
        arguments = slack_blocks.render(message, pings, picture)
    html = posted(draw(arguments, names), clock(message.at))
    return MessagePreview(html, unescape(arguments["text"]), notifies=True, note=note)


def posted(blocks: Markup, time: str) -> Markup:
    return Markup(
        '<article class="preview preview-slack">'
        '<span class="preview-icon" aria-hidden="true">P</span>'
        '<div class="preview-who"><b>Penpot</b> <span class="preview-app">APP</span> '
        '<span class="preview-time">{}</span></div>{}</article>'
    ).format(time, blocks)


def draw(arguments: Mapping[str, Any], names: Mapping[str, str]) -> Markup:
    """The ``blocks`` of a message, or its ``text`` without any. ``names``: people's names by Slack
    user id. A picture is a labelled box."""
    blocks = arguments.get("blocks")
    if not isinstance(blocks, list) or not blocks:
        return _box("section", mrkdwn(str(arguments.get("text", "")), names))
    try:
        return _joined(map(_BlockRenderer(names).block, blocks))
    except RecursionError:
        return _unknown("block", {"type": "nested too deeply"})


class _BlockRenderer:
    def __init__(self, names: Mapping[str, str]) -> None:
        self._names = names

    def block(self, block: Any) -> Markup:
        match block:
            case {"type": "rich_text", "elements": list(parts)}:
                return _joined(map(self._part, parts))
            case {"type": "header", "text": {"text": str(words)}}:
                return _box("header", words)
            case {"type": "section"}:
                return self._section(block)
            case {"type": "context", "elements": list(parts)}:
                return _box("context", Markup(" ").join(map(self._text, parts)))
            case {"type": "divider"}:
                return Markup("<hr>")
            case {"type": "image"}:
                title = self._text(block["title"]) if "title" in block else ""
                return _box("picture", _joined([title, self._text(block)]))
            case {"type": "actions", "elements": list(parts)}:
                return _box("actions", Markup(" ").join(map(self._control, parts)))
            case {"type": "markdown", "text": str(words)}:
                return _box("section", Markup(to_html(parse(words))))  # noqa: S704 - escaped there
        return _unknown("block", block)

    def _section(self, block: Mapping[str, Any]) -> Markup:
        text = self._text(block["text"]) if "text" in block else ""
        fields = block.get("fields")
        if isinstance(fields, list):
            cells = (wrapped("div", self._text(field)) for field in fields)
            text = _joined([text, _box("fields", _joined(cells))])
        beside = self._control(block["accessory"]) if "accessory" in block else ""
        return _box("section", _joined([wrapped("div", text), beside]))

    def _text(self, value: Any) -> Markup:
        match value:
            case {"type": "image"}:
                return image(value.get("alt_text"))
            case {"type": "mrkdwn", "text": str(words)}:
                return mrkdwn(words, self._names, verbatim=value.get("verbatim") is True)
            case {"type": "plain_text", "text": str(words)}:
                return _literal(words)  # Slack wants every text except rich_text escaped
        return _unknown("text", value)

    def _control(self, element: Any) -> Markup:
        match element:
            case {"type": "image"}:
                return self._text(element)
            case {"type": "button", "text": {"text": str(words)}}:
                style = element.get("style")
                kind = f" preview-{style}" if style in ("primary", "danger") else ""
                button = Markup('<span class="preview-button{}">{}</span>').format(kind, words)
                return link(element.get("url"), button)
            case {"type": str(), "placeholder": {"text": str(label)}}:
                return Markup('<span class="preview-button">{} ▾</span>').format(label)
            case {"type": str(kind)}:
                label = kind.replace("_", " ")
                return Markup('<span class="preview-button">{} ▾</span>').format(label)
        return _unknown("element", element)

    def _part(self, part: Any) -> Markup:
        match part:
            case {"type": "rich_text_list", "elements": list(items)}:
                return self._list(part, items)
            case {"type": "rich_text_section", "elements": list(elements)}:
                return _box("text", _joined(map(self._inline, elements)))
            case {"type": "rich_text_quote", "elements": list(elements)}:
                return _box("quote", _joined(map(self._inline, elements)))
            case {"type": "rich_text_preformatted", "elements": list(elements)}:
                inner = _joined(map(self._inline, elements))
                return Markup('<pre tabindex="0">{}</pre>').format(inner)
        return _unknown("part", part)

    def _list(self, part: Mapping[str, Any], items: list[object]) -> Markup:
        indent, offset = (
            value if isinstance(value, int) and value > 0 else 0
            for value in (part.get("indent"), part.get("offset"))
        )
        tag = "ol" if part.get("style") == "ordered" else "ul"
        start = Markup(' start="{}"').format(offset + 1) if tag == "ol" and offset else ""
        inner = _joined(wrapped("li", self._part(item)) for item in items)
        return Markup('<{0} class="preview-indent-{1}"{2}>{3}</{0}>').format(
            tag, min(indent, _MAX_LIST_DEPTH), start, inner
        )

    def _inline(self, element: Any) -> Markup:
        shown = self._unstyled(element)
        if not isinstance(element, Mapping):
            return shown
        style = element.get("style")
        for name, tag in _TAGS.items():
            if isinstance(style, Mapping) and style.get(name) is True:
                shown = wrapped(tag, shown)
        return link(element.get("url"), shown) if element.get("type") == "link" else shown

    def _unstyled(self, element: Any) -> Markup:
        match element:
            case {"type": "link", "url": str(url)}:
                words = element.get("text")
                return Markup("{}").format(words if isinstance(words, str) and words else url)
            case {"type": "user", "user_id": str(user)}:
                return _mention("@", self._names.get(user, user))
            case {"type": "channel", "channel_id": str(words)}:
                return _mention("#", words)
            case {"type": "usergroup", "usergroup_id": str(words)} | {
                "type": "broadcast",
                "range": str(words),
            }:
                return _mention("@", words)
            case {"type": "emoji", "name": str(name)}:
                return Markup("{}").format(_emoji(element.get("unicode")) or f":{name}:")
            case {"type": "text", "text": str(words)} | {"type": "date", "fallback": str(words)}:
                return Markup("{}").format(words)
            case {"type": "color", "value": str(color)}:
                return wrapped("code", color)
        return _unknown("element", element)


def _emoji(codes: object) -> str:
    """The emoji of code points such as ``1f389`` or ``1f1e9-1f1ea``; empty if they are invalid."""
    try:
        text = "".join(chr(int(code, 16)) for code in str(codes).split("-"))
        text.encode()  # raises for a lone surrogate
    except (ValueError, OverflowError):
        return ""
    return text


def _mention(sign: str, name: str) -> Markup:
    return Markup('<span class="preview-mention">{}{}</span>').format(sign, name)


def _unknown(what: str, value: object) -> Markup:
    kind = value.get("type") if isinstance(value, Mapping) else None
    return _box("unknown", f"{what} {kind if isinstance(kind, str) else 'without a type'}")


def _box(name: str, inner: str) -> Markup:
    return Markup('<div class="preview-{}">{}</div>').format(name, inner)


def _joined(parts: Iterable[str]) -> Markup:
    return Markup("").join(parts)
