"""Markdown output: a template's text, parsed into a tree that channels convert to their own form.

A document is a tuple of blocks. Blocks contain blocks or inlines. Inlines are flat: each ``Text``
has its own styles and link, so that channels need no stack.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import chain, groupby, takewhile
from operator import attrgetter, itemgetter
from typing import ClassVar, NamedTuple, TypeAlias

from markdown_it import MarkdownIt
from markdown_it.token import Token

from relay.messages import simple_markdown
from relay.messages.escape import PROFILE_SCHEME, safe_url, unescaped
from relay.messages.shorten import ELLIPSIS, shorten
from relay.messages.times import Moment, words


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
    moment: Moment | None = None  # None for text that is no time


@dataclass(frozen=True, slots=True)
class LineBreak:
    """A hard line break; a plain line end in Markdown becomes a space."""

    text: ClassVar = "\n"
    url: ClassVar = ""
    profile: ClassVar = ""
    moment: ClassVar = None


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

    @property
    def inlines(self) -> tuple[Inline, ...]:
        return (Text(self.text),)


@dataclass(frozen=True, slots=True)
class Rule:
    """A horizontal line."""

    inlines: ClassVar[tuple[Inline, ...]] = ()


Block: TypeAlias = Paragraph | Heading | Quote | ListBlock | CodeBlock | Rule
Document: TypeAlias = tuple[Block, ...]

LeafBlock: TypeAlias = Paragraph | Heading | CodeBlock | Rule

_MAX_CACHED_LENGTH = 16_384  # characters
SCHEMES = ("http://", "https://", "mailto:")
_MAX_NESTING_DEPTH = 50  # of quotes, lists and links; the parser drops deeper content


def _parser() -> MarkdownIt:
    # No indented code: an inserted value after white space must not become code.
    options = {"html": False, "maxNesting": _MAX_NESTING_DEPTH}
    parser = MarkdownIt("commonmark", options).enable("strikethrough").disable("code")
    # safe_url validates links. (The parser's normalization breaks http://[::1]/ and the like.)
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


def _parse(markdown: str) -> Document:
    blocks = simple_markdown.read(markdown)
    if blocks is None:
        return parse_fully(markdown)
    return tuple(
        Quote(tuple(map(_simple_paragraph, paragraphs)))
        if is_quote
        else _simple_paragraph(*paragraphs)
        for is_quote, paragraphs in blocks
    )


def parse_fully(markdown: str) -> Document:
    """As ``parse``, with the parser whatever the Markdown is."""
    return tuple(_blocks(iter(_MARKDOWN.parse(markdown)), until=""))


def _simple_paragraph(runs: Sequence[simple_markdown.Run]) -> Paragraph:
    return Paragraph(_joined(map(_part, runs)))


def _part(run: simple_markdown.Run) -> "tuple[_Style | None, str]":
    if run.is_break:
        return None, run.text
    style = _Style(run.bold, run.italic)
    return (style.linked(run.address) if run.address else style), run.text


_parse_cached = lru_cache(maxsize=256)(_parse)


def _blocks(tokens: Iterator[Token], until: str) -> Iterator[Block]:
    """The blocks that are not empty, up to the token that ends them."""
    for token in takewhile(lambda token: token.type != until, tokens):
        match token.type:
            case "paragraph_open" | "heading_open":
                if inlines := _joined(_parts(next(tokens).children or ())):
                    heading = token.type == "heading_open"
                    yield Heading(int(token.tag[1:]), inlines) if heading else Paragraph(inlines)
            case "blockquote_open":
                if blocks := tuple(_blocks(tokens, "blockquote_close")):
                    yield Quote(blocks)
            case "bullet_list_open":
                yield ListBlock(_items(tokens, "bullet_list_close"))
            case "ordered_list_open":
                start = int(token.attrs.get("start", 1))  # the parser omits 1
                yield ListBlock(_items(tokens, "ordered_list_close"), start)
            case "fence" | "code_block":
                yield CodeBlock(unescaped(token.content).removesuffix("\n"))
            case "hr":
                yield Rule()


def _items(tokens: Iterator[Token], until: str) -> tuple[Document, ...]:
    starts = takewhile(lambda token: token.type != until, tokens)
    return tuple(tuple(_blocks(tokens, "list_item_close")) for _ in starts)


def _joined(parts: "Iterable[tuple[_Style | None, str]]") -> tuple[Inline, ...]:
    """Adjacent texts of one style are one ``Text``."""
    inlines: list[Inline] = []
    for style, run in groupby(parts, itemgetter(0)):
        if style is None:
            inlines += [LineBreak() for _ in run]
        else:
            inlines.append(Text("".join(text for _, text in run), *style))
    return tuple(inlines)


class _Style(NamedTuple):
    """The fields of ``Text`` after its text."""

    bold: bool = False
    italic: bool = False
    strike: bool = False
    code: bool = False
    url: str = ""
    profile: str = ""
    moment: Moment | None = None

    def linked(self, address: str) -> "_Style":
        is_mention = address.startswith(PROFILE_SCHEME)
        profile = address.removeprefix(PROFILE_SCHEME) if is_mention else ""
        url, moment = safe_url(address, SCHEMES), Moment.parse(address)
        return self._replace(url=url, profile=profile, moment=moment)


def _parts(tokens: Sequence[Token]) -> Iterator[tuple[_Style | None, str]]:
    """Style and text of each token that is not empty; None and a line end for a hard break."""
    style = _Style()
    depths = {"strong": 0, "em": 0, "s": 0}  # bold may contain bold
    for token in tokens:
        match token.type:
            case "text":
                if token.content:
                    yield style, token.content
            case "strong_open" | "strong_close" | "em_open" | "em_close" | "s_open" | "s_close":
                depths[token.tag] += token.nesting
                bold, italic, strike = (depth > 0 for depth in depths.values())
                style = style._replace(bold=bold, italic=italic, strike=strike)
            case "link_open":
                style = style.linked(str(token.attrGet("href") or ""))
            case "link_close":
                style = style._replace(url="", profile="", moment=None)
            case "hardbreak":
                yield None, "\n"
            case "softbreak":
                yield style, " "
            case "code_inline":
                if text := unescaped(token.content):
                    yield style._replace(code=True), text
            case "image":
                alt = "".join(child.content for child in token.children or ())
                url = style.url or safe_url(str(token.attrGet("src") or ""), SCHEMES)
                if alt or url:
                    yield style._replace(url=url), alt or url
            case _ if token.content:
                yield style, token.content


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


def all_inlines(document: Document) -> Iterator[Inline]:
    return chain.from_iterable(block.inlines for block in leaf_blocks(document))


def _map_leaves(document: Document, convert: Callable[[LeafBlock], LeafBlock | None]) -> Document:
    """Drops the blocks for which ``convert`` returns None, and those that are empty without."""

    def convert_block(block: Block) -> Block | None:
        match block:
            case Quote(blocks):
                inner = _map_leaves(blocks, convert)
                return Quote(inner) if inner else None
            case ListBlock(items, start):
                inners = tuple(filter(None, (_map_leaves(item, convert) for item in items)))
                return ListBlock(inners, start) if inners else None
            case _:
                return convert(block)

    return tuple(filter(None, map(convert_block, document)))


def map_texts(document: Document, convert: Callable[[Text], Text]) -> Document:
    """``document`` with each text of its paragraphs and headings converted."""

    def convert_leaf(block: LeafBlock) -> LeafBlock:
        if not isinstance(block, Paragraph | Heading):
            return block
        inlines = (convert(part) if isinstance(part, Text) else part for part in block.inlines)
        return replace(block, inlines=tuple(inlines))

    return _map_leaves(document, convert_leaf)


# Times


def with_dates(document: Document) -> Document:
    """With times that can't be written again: with the date instead of "yesterday"."""
    return map_texts(
        document,
        lambda part: replace(part, text=words(part.moment), moment=None) if part.moment else part,
    )


# Plain text


def to_text(document: Document, *, links: bool, quoted: str = "> ") -> str:
    """Plain text: list items begin with "- " or a number, blocks are separated by a blank line.

    With ``links`` a link is "text (url)", otherwise only its text. ``quoted`` is the prefix of each
    line of a quotation. Lines are not wrapped.
    """
    return "\n\n".join(_block_text(block, links, quoted) for block in document)


def first_line(document: Document) -> str:
    """The first line with text, without quote and list markers; may be empty."""
    texts = (_inline_text(block.inlines, links=False) for block in leaf_blocks(document))
    return next((line for text in texts for line in text.split("\n") if line.strip()), "")


def _block_text(block: Block, links: bool, quoted: str) -> str:
    match block:
        case Quote(blocks):
            lines = to_text(blocks, links=links, quoted=quoted).split("\n")
            return "\n".join((quoted + line).rstrip() for line in lines)
        case ListBlock(items, start):
            lines = []
            for number, item in enumerate(items, start or 0):
                marker = "- " if start is None else f"{number}. "
                text = "\n".join(_block_text(block, links, quoted) for block in item)
                lines.append((marker + text.replace("\n", "\n" + " " * len(marker))).rstrip())
            return "\n".join(lines)
        case Rule():
            return "---"
        case _:
            return _inline_text(block.inlines, links)


def _inline_text(inlines: Iterable[Inline], links: bool) -> str:
    parts = []
    for url, run in groupby(inlines, attrgetter("url")):
        text = "".join(part.text for part in run)
        parts.append(f"{text} ({url})" if links and url and text != url else text)
    return "".join(parts)


# Size


class Size(NamedTuple):
    """What the time and the result of every conversion depend on."""

    depth: int  # of nested quotes and lists
    parts: int  # blocks and inlines
    characters: int  # of texts and addresses; a link's address counts for each of its parts


def size(document: Document) -> Size:
    depth, parts, characters = 0, 0, 0
    for block in document:
        match block:
            case Quote(blocks):
                inner = [size(blocks)]
            case ListBlock(items):
                inner = [size(item) for item in items]
                parts += len(items)
            case _:
                texts = [part for part in block.inlines if isinstance(part, Text)]
                parts += len(block.inlines)
                characters += sum(len(part.text) + len(part.url) for part in texts)
                inner = [Size(0, 0, 0)]
        parts += 1 + sum(each.parts for each in inner)
        characters += sum(each.characters for each in inner)
        depth = max(depth, 1 + max(each.depth for each in inner))
    return Size(depth, parts, characters)


def length(document: Document) -> int:
    """Characters of text; a line break counts as one."""
    return sum(len(part.text) for part in all_inlines(document))


def cut(document: Document, limit: int) -> Document:
    """At most ``limit`` characters of text, with a valid structure.

    A document that was cut ends in "…", which is counted; no visible character is split.
    """
    if length(document) <= limit:
        return document
    return _map_leaves(document, _Cutter(limit).cut)


class _Cutter:
    def __init__(self, limit: int) -> None:
        self._left = limit

    def cut(self, block: LeafBlock) -> LeafBlock | None:
        if self._left <= 0:
            return None
        match block:
            case Paragraph(inlines) | Heading(_, inlines):
                kept = takewhile(lambda _: self._left > 0, inlines)
                return replace(block, inlines=tuple(map(self._inline, kept)))
            case CodeBlock(text):
                return CodeBlock(self._text(text))
            case _:
                return block

    def _inline(self, inline: Inline) -> Inline:
        text = self._text(inline.text)
        if text == inline.text:
            return inline
        if isinstance(inline, LineBreak):
            return Text(text)
        # the beginning of an address may look like another one
        url = "" if "://" in inline.text else inline.url
        return replace(inline, text=text, url=url, moment=None)

    def _text(self, text: str) -> str:
        """As much of ``text`` as fits, with one character reserved for the "…"."""
        if len(text) < self._left:
            self._left -= len(text)
            return text
        kept = shorten(text + ELLIPSIS, self._left)  # too long in any case, so that it is cut
        self._left = 0
        return kept
