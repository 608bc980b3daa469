"""Markdown output: a template's text, parsed into a tree that channels convert to their own form.

A document is a tuple of blocks. Blocks contain blocks or inlines. Inlines are flat: each ``Text``
has its own styles and link, so that channels need no stack.
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TypeAlias

from markdown_it import MarkdownIt
from markdown_it.token import Token

from relay.messages.escape import PROFILE_SCHEME, safe_url, unescaped
from relay.messages.message import Mention


@dataclass(frozen=True, slots=True)
class Text:
    """A run of text in one style, never empty. Its characters have no special meaning."""

    text: str
    bold: bool = False
    italic: bool = False
    strike: bool = False
    code: bool = False
    url: str = ""  # the link's address (http, https or mailto); empty for text that is no link
    profile: str = ""  # the id of the mentioned Penpot profile; empty for text that is no mention


@dataclass(frozen=True, slots=True)
class LineBreak:
    """A hard line break; a plain line end in Markdown becomes a space."""


Inline: TypeAlias = Text | LineBreak


@dataclass(frozen=True, slots=True)
class Paragraph:
    inlines: tuple[Inline, ...]


@dataclass(frozen=True, slots=True)
class Heading:
    level: int  # 1 to 6
    inlines: tuple[Inline, ...]


@dataclass(frozen=True, slots=True)
class Quote:
    blocks: "Document"


@dataclass(frozen=True, slots=True)
class ListBlock:
    items: tuple["Document", ...]
    start: int | None = None  # the first number; None for a bullet list


@dataclass(frozen=True, slots=True)
class CodeBlock:
    text: str  # lines without a line end after the last


@dataclass(frozen=True, slots=True)
class Rule:
    """A horizontal line."""


Block: TypeAlias = Paragraph | Heading | Quote | ListBlock | CodeBlock | Rule
Document: TypeAlias = tuple[Block, ...]

LeafBlock: TypeAlias = Paragraph | Heading | CodeBlock | Rule

_MAX_CACHED_LENGTH = 16_384  # characters
_SCHEMES = ("http://", "https://", "mailto:")
_MAX_NESTING_DEPTH = 100  # of quotes, lists and links; the parser drops deeper content


def _parser() -> MarkdownIt:
    # No indented code: an inserted value after white space must not become code.
    options = {"html": False, "maxNesting": _MAX_NESTING_DEPTH}
    parser = MarkdownIt("commonmark", options).enable("strikethrough").disable("code")
    # _safe_address validates links. (The parser's normalization breaks http://[::1]/ and the like.)
    parser.validateLink = lambda url: True  # type: ignore[method-assign]
    parser.normalizeLink = lambda url: url  # type: ignore[method-assign]
    return parser


_MARKDOWN = _parser()


def parse(markdown: str) -> Document:
    """Parse CommonMark with ``~~strikethrough~~``, without HTML (``<b>`` is text) and without
    indented code.

    Backslash escapes also apply in code, because all values in a template are escaped. A link whose
    scheme is not http, https or mailto becomes text; an image becomes a link to it. Short texts are
    cached, since a message goes to many channels.
    """
    return _parse_cached(markdown) if len(markdown) <= _MAX_CACHED_LENGTH else _parse(markdown)


def leaf_blocks(document: Document) -> Iterator[LeafBlock]:
    """The blocks that contain no other block, in order."""
    for block in document:
        match block:
            case Quote(blocks):
                yield from leaf_blocks(blocks)
            case ListBlock(items):
                for item in items:
                    yield from leaf_blocks(item)
            case _:
                yield block


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
                start = int(token.attrs.get("start", 1))  # the parser omits 1
                yield ListBlock(_items(tokens, "ordered_list_close"), start)
            case "fence" | "code_block":
                yield CodeBlock(unescaped(token.content).removesuffix("\n"))
            case "hr":
                yield Rule()
            case _:
                pass  # the end of a block whose content was consumed above


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
    depths = {"strong": 0, "em": 0, "s": 0}  # bold may contain bold
    for token in tokens:
        match token.type:
            case "strong_open" | "strong_close" | "em_open" | "em_close" | "s_open" | "s_close":
                depths[token.tag] += token.nesting
                bold, italic, strike = (depth > 0 for depth in depths.values())
                style = replace(style, bold=bold, italic=italic, strike=strike)
            case "link_open" | "link_close":
                url, profile = _target(token) if token.nesting == 1 else ("", "")
                style = replace(style, url=url, profile=profile)
            case "hardbreak":
                inlines.append(LineBreak())
            case "softbreak":
                _append(inlines, replace(style, text=" "))
            case "code_inline":
                _append(inlines, replace(style, text=unescaped(token.content), code=True))
            case "image":
                alt = "".join(child.content for child in token.children or ())
                url = style.url or _safe_address(token, "src")
                _append(inlines, replace(style, text=alt or url, url=url))
            case _:
                _append(inlines, replace(style, text=token.content))
    return tuple(inlines)


def _target(token: Token) -> tuple[str, str]:
    """The address of a link and the profile id of a mention; at most one of them is set."""
    address = str(token.attrGet("href") or "")
    if address.startswith(PROFILE_SCHEME):
        return "", address.removeprefix(PROFILE_SCHEME)
    return _safe_address(token, "href"), ""


def _safe_address(token: Token, attribute: str) -> str:
    return safe_url(str(token.attrGet(attribute) or ""), _SCHEMES)


def _append(inlines: list[Inline], text: Text) -> None:
    last = inlines[-1] if inlines else None
    if isinstance(last, Text) and replace(last, text="") == replace(text, text=""):
        inlines[-1] = replace(last, text=last.text + text.text)
    elif text.text:
        inlines.append(text)


def mentioned_profiles(document: Document) -> set[str]:
    return {
        part.profile
        for block in leaf_blocks(document)
        if isinstance(block, Paragraph | Heading)
        for part in block.inlines
        if isinstance(part, Text) and part.profile
    }


def replace_mentions(document: Document, convert: Callable[[Text], Text]) -> Document:
    def convert_inline(part: Inline) -> Inline:
        return convert(part) if isinstance(part, Text) and part.profile else part

    def convert_block(block: Block) -> Block:
        match block:
            case Paragraph(inlines) | Heading(_, inlines):
                return replace(block, inlines=tuple(map(convert_inline, inlines)))
            case Quote(blocks):
                return Quote(replace_mentions(blocks, convert))
            case ListBlock(items, start):
                return ListBlock(tuple(replace_mentions(item, convert) for item in items), start)
            case _:
                return block

    return tuple(map(convert_block, document))


def add_missing_mentions(document: Document, pinged: Collection[Mention]) -> Document:
    """Appends a line for the people to ping whom the document does not mention: neither a comment's
    text nor a template has to include them."""
    present = mentioned_profiles(document)
    missing = [mention for mention in pinged if mention.id not in present]
    if not missing:
        return document
    line: list[Inline] = []
    for mention in missing:
        line += [Text(" ")] if line else []
        line.append(Text(f"@{mention.name or 'someone'}", profile=mention.id))
    return (*document, Paragraph(tuple(line)))
