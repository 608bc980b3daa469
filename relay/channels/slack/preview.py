"""Preview of a Slack message: the blocks that are posted, styled like Slack.

https://docs.slack.dev/reference/block-kit/blocks. Blocks may come from a user's template and
have any content: an unknown block becomes a box with its type, never an error.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from markupsafe import Markup

from relay.channels.preview import MessagePreview, clock, image, link, wrapped
from relay.channels.slack import blocks as slack_blocks
from relay.messages.document import parse
from relay.messages.html import to_html
from relay.messages.message import Message

# Slack encodes only these three.
_MRKDWN_ENTITIES = {"&amp;": "&", "&lt;": "<", "&gt;": ">"}
_ENTITY_PATTERN = re.compile("|".join(_MRKDWN_ENTITIES))
_CODE_PATTERN = re.compile(r"```(?P<block>.+?)```|`(?P<line>[^`\n]+)`", re.DOTALL)
_QUOTED_LINES_PATTERN = re.compile(r"(?:^(?:&gt;|>).*(?:\n|\Z))+", re.MULTILINE)
_QUOTE_PREFIX_PATTERN = re.compile(r"^(?:&gt;|>) ?", re.MULTILINE)
# A style character must touch the text inside, and no word character outside.
_STYLED_PATTERN = re.compile(
    r"<(?P<angle>[^<>\n]+)>"
    r"|(?<![\w*])\*(?=\S)(?P<b>[^*\n]+)(?<=\S)\*(?![\w*])"
    r"|(?<!\w)_(?=\S)(?P<i>[^_\n]+)(?<=\S)_(?!\w)"
    r"|(?<![\w~])~(?=\S)(?P<s>[^~\n]+)(?<=\S)~(?![\w~])"
    r"|(?P<bare>https?://[^\s<>|]+)"
)


def mrkdwn(text: str, names: Mapping[str, str], *, verbatim: bool = False) -> Markup:
    """``names``: people's names by Slack user id. ``verbatim``: bare URLs do not become links."""
    return _joined_mrkdwn(_quotes(text, names, verbatim))


def mention(words: str) -> Markup:
    return Markup('<span class="preview-mention">{}</span>').format(words)


def _quotes(text: str, names: Mapping[str, str], verbatim: bool) -> Iterator[str]:
    position = 0
    for quoted in _QUOTED_LINES_PATTERN.finditer(text):
        yield from _codes(text[position : quoted.start()], names, verbatim)
        lines = _QUOTE_PREFIX_PATTERN.sub("", quoted[0]).removesuffix("\n")
        inner = _joined_mrkdwn(_codes(lines, names, verbatim))
        yield Markup('<div class="preview-quote">{}</div>').format(inner)
        position = quoted.end()
    yield from _codes(text[position:], names, verbatim)


def _codes(text: str, names: Mapping[str, str], verbatim: bool) -> Iterator[str]:
    position = 0
    for code in _CODE_PATTERN.finditer(text):
        yield from _styles(text[position : code.start()], names, verbatim)
        tag = "pre" if code["block"] else "code"
        inner = _decoded((code["block"] or code["line"]).removeprefix("\n"))
        yield wrapped(tag, inner)
        position = code.end()
    yield from _styles(text[position:], names, verbatim)


def _styles(text: str, names: Mapping[str, str], verbatim: bool) -> Iterator[str]:
    position = 0
    for match in _STYLED_PATTERN.finditer(text):
        yield _decoded(text[position : match.start()])
        kind, inner = match.lastgroup or "", match[match.lastgroup or 0]
        if kind == "angle":
            yield _angle(inner, names)
        elif kind == "bare":
            yield _decoded(inner) if verbatim else link(_decoded(inner), _decoded(inner))
        else:
            yield wrapped(kind, _joined_mrkdwn(_styles(inner, names, verbatim)))
        position = match.end()
    yield _decoded(text[position:])


def _angle(inner: str, names: Mapping[str, str]) -> Markup:
    """The content of ``<…>``: a link, a mention or a date."""
    target, _, words = (_decoded(part) for part in inner.partition("|"))
    match target[:1]:
        case "@":
            return mention(f"@{words or names.get(target[1:], target[1:])}")
        case "#":
            return mention(f"#{words or target[1:]}")
        case "!" if target.startswith("!date^"):
            return Markup("{}").format(words)
        case "!":
            return mention(f"@{words.removeprefix('@') or target[1:]}")
    return link(target, words or target)


def _decoded(text: str) -> str:
    return _ENTITY_PATTERN.sub(lambda match: _MRKDWN_ENTITIES[match[0]], text)


def _joined_mrkdwn(parts: Iterator[str]) -> Markup:
    return Markup("").join(parts)


Json = Mapping[str, Any]

_TAGS = {"bold": "b", "italic": "i", "strike": "s", "underline": "u", "code": "code"}
_MAX_LIST_DEPTH = 8
_ENTITIES = (("&lt;", "<"), ("&gt;", ">"), ("&amp;", "&"))


def preview(message: Message) -> MessagePreview:
    """Everyone with a Slack id, or an e-mail address to find it by, is pinged."""
    people = [who for who in message.mentions if who.address("slack") or who.email]
    pings = {who.id: who.address("slack") or who.id for who in people}
    names = {pings[who.id]: who.name or "someone" for who in people}
    arguments, note = _arguments(message, pings)
    text = arguments["text"]
    for entity, character in _ENTITIES:
        text = text.replace(entity, character)
    return MessagePreview(
        posted(draw(arguments, names), clock(message.at)), text, notifies=True, note=note
    )


def posted(blocks: Markup, time: str) -> Markup:
    return Markup(
        '<article class="preview preview-slack">'
        '<span class="preview-icon" aria-hidden="true">P</span>'
        '<div class="preview-who"><b>Penpot</b> <span class="preview-app">APP</span> '
        '<span class="preview-time">{}</span></div>{}</article>'
    ).format(time, blocks)


def draw(
    arguments: Json, names: Mapping[str, str], picture: Callable[[Json], Markup] | None = None
) -> Markup:
    """The ``blocks`` of a message, or its ``text`` without any. ``names``: people's names by Slack
    user id. ``picture`` replaces the default rendering of image blocks, a labelled box."""
    blocks = arguments.get("blocks")
    if not isinstance(blocks, list) or not blocks:
        return Markup('<div class="preview-section">{}</div>').format(
            mrkdwn(str(arguments.get("text", "")), names)
        )
    try:
        return _joined(map(_BlockRenderer(names, picture or _placeholder).block, blocks))
    except RecursionError:
        return _unknown("block", {"type": "nested too deeply"})


def _arguments(message: Message, pings: Mapping[str, str]) -> tuple[Json, str]:
    """The arguments of ``chat.postMessage``, and why they are not the template's, if so."""
    note = ""
    if message.content.override:
        try:
            return slack_blocks.override(message, pings), ""
        except ValueError as error:
            note = f"Slack gets the built-in message: the template's JSON {error}"
    words = message.file or "Thumbnail"
    shown = {"type": "image", "alt_text": words} if message.picture and not note else None
    return slack_blocks.render(message, pings, shown), note


def _placeholder(block: Json) -> Markup:
    return image(block.get("alt_text"))


class _BlockRenderer:
    def __init__(self, names: Mapping[str, str], picture: Callable[[Json], Markup]) -> None:
        self._names = names
        self._picture = picture

    def block(self, block: Any) -> Markup:
        match block:
            case {"type": "rich_text", "elements": list(parts)}:
                return _joined(map(self._part, parts))
            case {"type": "header", "text": {"text": str(words)}}:
                return Markup('<div class="preview-header">{}</div>').format(words)
            case {"type": "section"}:
                return self._section(block)
            case {"type": "context", "elements": list(parts)}:
                inner = Markup(" ").join(map(self._small, parts))
                return Markup('<div class="preview-context">{}</div>').format(inner)
            case {"type": "divider"}:
                return Markup("<hr>")
            case {"type": "image"}:
                title = self._text(block["title"]) if "title" in block else ""
                return Markup('<div class="preview-picture">{}{}</div>').format(
                    title, self._picture(block)
                )
            case {"type": "actions", "elements": list(parts)}:
                inner = Markup(" ").join(map(self._control, parts))
                return Markup('<div class="preview-actions">{}</div>').format(inner)
            case {"type": "markdown", "text": str(words)}:
                inner = Markup(to_html(parse(words)))  # noqa: S704 - escaped there
                return Markup('<div class="preview-section">{}</div>').format(inner)
        return _unknown("block", block)

    def _section(self, block: Json) -> Markup:
        text = self._text(block["text"]) if "text" in block else ""
        fields = block.get("fields")
        if isinstance(fields, list):
            cells = _joined(Markup("<div>{}</div>").format(self._text(field)) for field in fields)
            text = Markup('{}<div class="preview-fields">{}</div>').format(text, cells)
        beside = self._control(block["accessory"]) if "accessory" in block else ""
        return Markup('<div class="preview-section"><div>{}</div>{}</div>').format(text, beside)

    def _small(self, element: Any) -> Markup:
        match element:
            case {"type": "image"}:
                return self._picture(element)
        return self._text(element)

    def _text(self, value: Any) -> Markup:
        match value:
            case {"type": "mrkdwn", "text": str(words)}:
                return mrkdwn(words, self._names, verbatim=value.get("verbatim") is True)
            case {"type": "plain_text", "text": str(words)}:
                # Slack wants every text except rich_text escaped.
                for entity, character in _ENTITIES:
                    words = words.replace(entity, character)
                return Markup("{}").format(words)
        return _unknown("text", value)

    def _control(self, element: Any) -> Markup:
        match element:
            case {"type": "image"}:
                return self._picture(element)
            case {"type": "button", "text": {"text": str(words)}}:
                style = element.get("style")
                kind = f" preview-{style}" if style in ("primary", "danger") else ""
                button = Markup('<span class="preview-button{}">{}</span>').format(kind, words)
                return link(element.get("url"), button)
            case {"type": str(kind)}:
                words = element.get("placeholder")
                label = words.get("text") if isinstance(words, Mapping) else None
                shown = label if isinstance(label, str) else kind.replace("_", " ")
                return Markup('<span class="preview-button">{} ▾</span>').format(shown)
        return _unknown("element", element)

    def _part(self, part: Any) -> Markup:
        match part:
            case {"type": "rich_text_section", "elements": list(elements)}:
                return Markup('<div class="preview-text">{}</div>').format(self._inlines(elements))
            case {"type": "rich_text_quote", "elements": list(elements)}:
                return Markup('<div class="preview-quote">{}</div>').format(self._inlines(elements))
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
        return Markup('<{0} class="preview-indent-{1}"{2}>{3}</{0}>').format(
            tag, min(indent, _MAX_LIST_DEPTH), start, inner
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
    """The emoji of code points such as ``1f389`` or ``1f1e9-1f1ea``; empty if they are invalid."""
    try:
        text = "".join(chr(int(code, 16)) for code in codes.split("-"))  # type: ignore[attr-defined]
        text.encode()  # raises for a lone surrogate
    except (AttributeError, ValueError, OverflowError):
        return ""
    return text


def _unknown(what: str, value: object) -> Markup:
    kind = value.get("type") if isinstance(value, Mapping) else None
    name = kind if isinstance(kind, str) else "without a type"
    return Markup('<div class="preview-unknown">{} {}</div>').format(what, name)


def _joined(parts: Iterable[Markup]) -> Markup:
    return Markup("").join(parts)
