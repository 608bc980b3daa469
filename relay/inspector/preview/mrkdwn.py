"""Slack's text markup, ``mrkdwn``, as HTML.

https://docs.slack.dev/messaging/formatting-message-text
"""

import re
from collections.abc import Iterator, Mapping

from markupsafe import Markup

from relay.inspector.preview.markup import link, wrapped

# Slack encodes only these three.
_ENTITIES = {"&amp;": "&", "&lt;": "<", "&gt;": ">"}
_ENTITY_PATTERN = re.compile("|".join(_ENTITIES))
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
    return _joined(_quotes(text, names, verbatim))


def mention(words: str) -> Markup:
    return Markup('<span class="preview-mention">{}</span>').format(words)


def _quotes(text: str, names: Mapping[str, str], verbatim: bool) -> Iterator[str]:
    position = 0
    for quoted in _QUOTED_LINES_PATTERN.finditer(text):
        yield from _codes(text[position : quoted.start()], names, verbatim)
        lines = _QUOTE_PREFIX_PATTERN.sub("", quoted[0]).removesuffix("\n")
        inner = _joined(_codes(lines, names, verbatim))
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
            yield wrapped(kind, _joined(_styles(inner, names, verbatim)))
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
    return _ENTITY_PATTERN.sub(lambda match: _ENTITIES[match[0]], text)


def _joined(parts: Iterator[str]) -> Markup:
    return Markup("").join(parts)
