"""Markdown on the way out: a template's text, parsed once, as records that channels walk.

A document is a tuple of blocks. Blocks hold blocks or inlines; inlines are flat: a ``Text`` carries
its own styles and its link, so that a channel never keeps a stack.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TypeAlias

from markdown_it import MarkdownIt
from markdown_it.token import Token

from relay.messages.escape import PROFILE, unescaped, web_address


@dataclass(frozen=True, slots=True)
class Text:
    """A run of text in one style. Never empty; literal, whatever characters it holds."""

    text: str
    bold: bool = False
    italic: bool = False
    strike: bool = False
    code: bool = False
    url: str = ""
    """Where it links to (http, https or mailto); empty for text that is no link."""
    profile: str = ""
    """Id of the Penpot profile of who is mentioned here; empty for text that mentions nobody."""


@dataclass(frozen=True, slots=True)
class LineBreak:
    """A line break that the writer meant; a mere line end in a template is a space."""


Inline: TypeAlias = Text | LineBreak


@dataclass(frozen=True, slots=True)
class Paragraph:
    """Lines of text."""

    inlines: tuple[Inline, ...]


@dataclass(frozen=True, slots=True)
class Heading:
    """A heading of level 1 to 6."""

    level: int
    inlines: tuple[Inline, ...]


@dataclass(frozen=True, slots=True)
class Quote:
    """What someone else said."""

    blocks: "Document"


@dataclass(frozen=True, slots=True)
class ListBlock:
    """A list; each item is a document of its own."""

    items: tuple["Document", ...]
    start: int | None = None
    """The first number of a numbered list; None for a list with bullets."""


@dataclass(frozen=True, slots=True)
class CodeBlock:
    """Lines kept as they are, without a line end after the last."""

    text: str


@dataclass(frozen=True, slots=True)
class Rule:
    """A line across."""


Block: TypeAlias = Paragraph | Heading | Quote | ListBlock | CodeBlock | Rule
Document: TypeAlias = tuple[Block, ...]

_CACHED_UP_TO = 16_384  # characters; a longer text is parsed each time rather than kept
_SCHEMES = ("http://", "https://", "mailto:")
_DEEPEST = 100
"""Quotes, lists and links within each other; the parser leaves out what goes beyond."""


def _parser() -> MarkdownIt:
    # Indented code is off: text that is put in after white space must not turn into code.
    options = {"html": False, "maxNesting": _DEEPEST}
    parser = MarkdownIt("commonmark", options).enable("strikethrough").disable("code")
    # All links are parsed and left as they are; _followed decides which are links to Relay.
    # (The parser's own normalizing breaks addresses such as http://[::1]/.)
    parser.validateLink = lambda url: True  # type: ignore[method-assign]
    parser.normalizeLink = lambda url: url  # type: ignore[method-assign]
    return parser


_MARKDOWN = _parser()


def parse(markdown: str) -> Document:
    """The document that a text in Markdown means.

    CommonMark with ``~~strikethrough~~``, without HTML (``<b>`` is text) and without indented
    code. In code too a backslash before punctuation is an escape, as all values in a template are
    escaped. A link with any scheme but http, https and mailto is its text alone; an image is a
    link to it. Short texts are cached, since a message goes to many channels.
    """
    return _parse_cached(markdown) if len(markdown) <= _CACHED_UP_TO else _parse(markdown)


def _parse(markdown: str) -> Document:
    return _blocks(iter(_MARKDOWN.parse(markdown)), until="")


_parse_cached = lru_cache(maxsize=256)(_parse)


def _blocks(tokens: Iterator[Token], until: str) -> Document:
    return tuple(block for block in _walk(tokens, until) if block is not None)


def _walk(tokens: Iterator[Token], until: str) -> Iterator[Block | None]:
    for token in tokens:
        if token.type == until:
            return
        match token.type:
            case "paragraph_open":
                inlines = _inlines(next(tokens).children or ())
                yield Paragraph(inlines) if inlines else None
            case "heading_open":
                inlines = _inlines(next(tokens).children or ())
                yield Heading(int(token.tag[1:]), inlines) if inlines else None
            case "blockquote_open":
                blocks = _blocks(tokens, "blockquote_close")
                yield Quote(blocks) if blocks else None
            case "bullet_list_open":
                yield ListBlock(_items(tokens, "bullet_list_close"))
            case "ordered_list_open":
                start = int(token.attrs.get("start", 1))  # left out by the parser where it is 1
                yield ListBlock(_items(tokens, "ordered_list_close"), start)
            case "fence" | "code_block":
                yield CodeBlock(unescaped(token.content).removesuffix("\n"))
            case "hr":
                yield Rule()
            case _:
                pass  # the closing half of a block whose content was taken above


def _items(tokens: Iterator[Token], until: str) -> tuple[Document, ...]:
    items = []
    for token in tokens:
        if token.type == until:
            break
        items.append(_blocks(tokens, "list_item_close"))
    return tuple(items)


def _inlines(tokens: Sequence[Token]) -> tuple[Inline, ...]:
    inlines: list[Inline] = []
    style = Text("")
    depths = {"strong": 0, "em": 0, "s": 0}  # bold may hold bold
    for token in tokens:
        opens = token.nesting == 1
        match token.type:
            case "strong_open" | "strong_close" | "em_open" | "em_close" | "s_open" | "s_close":
                depths[token.tag] += token.nesting
                bold, italic, strike = (depth > 0 for depth in depths.values())
                style = replace(style, bold=bold, italic=italic, strike=strike)
            case "link_open" | "link_close":
                url, profile = _target(token) if opens else ("", "")
                style = replace(style, url=url, profile=profile)
            case "hardbreak":
                inlines.append(LineBreak())
            case "softbreak":
                _append(inlines, replace(style, text=" "))
            case "code_inline":
                _append(inlines, replace(style, text=unescaped(token.content), code=True))
            case "image":
                words = "".join(part.content for part in token.children or ())
                url = style.url or _followed(token, "src")
                _append(inlines, replace(style, text=words or url, url=url))
            case _:
                _append(inlines, replace(style, text=token.content))
    return tuple(inlines)


def _target(token: Token) -> tuple[str, str]:
    """Where a link leads to, and whom it stands for: one of the two."""
    address = str(token.attrGet("href") or "")
    if address.startswith(PROFILE):
        return "", address.removeprefix(PROFILE)
    return _followed(token, "href"), ""


def _followed(token: Token, attribute: str) -> str:
    return web_address(str(token.attrGet(attribute) or ""), _SCHEMES)


def _append(inlines: list[Inline], found: Text) -> None:
    last = inlines[-1] if inlines else None
    if isinstance(last, Text) and replace(last, text="") == replace(found, text=""):
        inlines[-1] = replace(last, text=last.text + found.text)
    elif found.text:
        inlines.append(found)
