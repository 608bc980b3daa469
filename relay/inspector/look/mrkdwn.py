"""Slack's own markup for text, ``mrkdwn``, as HTML.

https://docs.slack.dev/messaging/formatting-message-text
"""

import re
from collections.abc import Iterator, Mapping

from markupsafe import Markup

from relay.inspector.look.markup import link, wrapped

# Only these three are encoded in Slack's text.
_ENTITIES = {"&amp;": "&", "&lt;": "<", "&gt;": ">"}
_ENTITY = re.compile("|".join(_ENTITIES))
_CODE = re.compile(r"```(?P<block>.+?)```|`(?P<line>[^`\n]+)`", re.DOTALL)
_QUOTED = re.compile(r"(?:^(?:&gt;|>).*(?:\n|\Z))+", re.MULTILINE)
_QUOTE = re.compile(r"^(?:&gt;|>) ?", re.MULTILINE)
# A mark counts where it touches its words, and no word outside.
_STYLED = re.compile(
    r"<(?P<angle>[^<>\n]+)>"
    r"|(?<![\w*])\*(?=\S)(?P<b>[^*\n]+)(?<=\S)\*(?![\w*])"
    r"|(?<!\w)_(?=\S)(?P<i>[^_\n]+)(?<=\S)_(?!\w)"
    r"|(?<![\w~])~(?=\S)(?P<s>[^~\n]+)(?<=\S)~(?![\w~])"
    r"|(?P<bare>https?://[^\s<>|]+)"
)


def mrkdwn(text: str, names: Mapping[str, str], *, verbatim: bool = False) -> Markup:
    """The text as Slack shows it. ``names`` are of people, by Slack's ids; ``verbatim`` leaves
    addresses that stand bare as they are."""
    return _joined(_quotes(text, names, verbatim))


def mention(words: str) -> Markup:
    """Somebody, or a channel, that is mentioned."""
    return Markup('<span class="look-mention">{}</span>').format(words)


def _quotes(text: str, names: Mapping[str, str], verbatim: bool) -> Iterator[str]:
    done = 0
    for quoted in _QUOTED.finditer(text):
        yield from _codes(text[done : quoted.start()], names, verbatim)
        inner = _joined(_codes(_QUOTE.sub("", quoted[0]).removesuffix("\n"), names, verbatim))
        yield Markup('<div class="look-quote">{}</div>').format(inner)
        done = quoted.end()
    yield from _codes(text[done:], names, verbatim)


def _codes(text: str, names: Mapping[str, str], verbatim: bool) -> Iterator[str]:
    done = 0
    for code in _CODE.finditer(text):
        yield from _styles(text[done : code.start()], names, verbatim)
        tag = "pre" if code["block"] else "code"
        inner = _decoded((code["block"] or code["line"]).removeprefix("\n"))
        yield wrapped(tag, inner)
        done = code.end()
    yield from _styles(text[done:], names, verbatim)


def _styles(text: str, names: Mapping[str, str], verbatim: bool) -> Iterator[str]:
    done = 0
    for found in _STYLED.finditer(text):
        yield _decoded(text[done : found.start()])
        kind, inner = found.lastgroup or "", found[found.lastgroup or 0]
        if kind == "angle":
            yield _angle(inner, names)
        elif kind == "bare":
            yield _decoded(inner) if verbatim else link(_decoded(inner), _decoded(inner))
        else:
            yield wrapped(kind, _joined(_styles(inner, names, verbatim)))
        done = found.end()
    yield _decoded(text[done:])


def _angle(inner: str, names: Mapping[str, str]) -> Markup:
    """What stands between ``<`` and ``>``: a link, a mention, a date."""
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
    return _ENTITY.sub(lambda found: _ENTITIES[found[0]], text)


def _joined(parts: Iterator[str]) -> Markup:
    return Markup("").join(parts)
