"""A document as plain text, and a document cut to a length."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import groupby

from relay.messages.graphemes import ELLIPSIS, shorten
from relay.messages.markdown import (
    Block,
    CodeBlock,
    Document,
    Heading,
    Inline,
    LineBreak,
    ListBlock,
    Paragraph,
    Quote,
    Text,
)


def to_text(document: Document, *, links: bool, quoted: str = "> ") -> str:
    """Plain text: lists behind "- " or numbers, a blank line between blocks.

    With ``links`` a link is "text (url)", without it only its text. ``quoted`` stands before each
    line of a quotation. Lines are not wrapped.
    """
    return "\n\n".join(_block(block, links, quoted) for block in document)


def first_line(document: Document) -> str:
    """The first line that holds text, without the marks of quotes and lists; empty for none."""
    return next(_lines(document), "")


def _lines(document: Document) -> Iterator[str]:
    for block in document:
        match block:
            case Paragraph() | Heading() | CodeBlock():
                yield from filter(str.strip, to_text((block,), links=False).split("\n"))
            case Quote(blocks):
                yield from _lines(blocks)
            case ListBlock(items):
                for item in items:
                    yield from _lines(item)


def _block(block: Block, links: bool, quoted: str) -> str:
    match block:
        case Paragraph(inlines) | Heading(_, inlines):
            return _inlines(inlines, links)
        case Quote(blocks):
            lines = to_text(blocks, links=links, quoted=quoted).split("\n")
            return "\n".join((quoted + line).rstrip() for line in lines)
        case ListBlock(items, start):
            signs = ["- "] * len(items)
            if start is not None:
                signs = [f"{number}. " for number in range(start, start + len(items))]
            return "\n".join(_item(*one, links, quoted) for one in zip(signs, items, strict=True))
        case CodeBlock(text):
            return text
        case _:
            return "---"


def _item(sign: str, item: Document, links: bool, quoted: str) -> str:
    lines = "\n".join(_block(block, links, quoted) for block in item).split("\n")
    return (sign + f"\n{' ' * len(sign)}".join(lines)).rstrip()


def _inlines(inlines: Iterable[Inline], links: bool) -> str:
    parts = []
    for url, run in groupby(inlines, lambda part: part.url if isinstance(part, Text) else ""):
        text = "".join(part.text if isinstance(part, Text) else "\n" for part in run)
        parts.append(f"{text} ({url})" if links and url and text != url else text)
    return "".join(parts)


def length(document: Document) -> int:
    """How many characters of text a document holds; a line break counts as one."""
    return sum(map(_length, document))


def _length(block: Block) -> int:
    match block:
        case Paragraph(inlines) | Heading(_, inlines):
            return sum(len(part.text) if isinstance(part, Text) else 1 for part in inlines)
        case Quote(blocks):
            return length(blocks)
        case ListBlock(items):
            return sum(map(length, items))
        case CodeBlock(text):
            return len(text)
        case _:
            return 0


def cut(document: Document, limit: int) -> Document:
    """At most ``limit`` characters of the document's text, its structure kept whole.

    A document that is too long ends in "…", which is counted, at a boundary that a reader
    sees: no emoji and no accented letter is torn apart.
    """
    if length(document) <= limit:
        return document
    return _Cut(limit).document(document)


class _Cut:
    """A walk through a document that is too long, with what is left of its limit."""

    def __init__(self, limit: int) -> None:
        self.left = limit

    def document(self, document: Document) -> Document:
        blocks: list[Block] = []
        for block in document:
            if self.left <= 0:
                break
            found = self.block(block)
            if found is not None:
                blocks.append(found)
        return tuple(blocks)

    def block(self, block: Block) -> Block | None:
        match block:
            case Paragraph(inlines) | Heading(_, inlines):
                kept = self.inlines(inlines)
                return replace(block, inlines=kept) if kept else None
            case Quote(blocks):
                inner = self.document(blocks)
                return Quote(inner) if inner else None
            case ListBlock(items, start):
                documents = tuple(filter(None, map(self.document, items)))
                return ListBlock(documents, start) if documents else None
            case CodeBlock(text):
                return CodeBlock(self.text(text))
            case _:
                return block

    def inlines(self, inlines: tuple[Inline, ...]) -> tuple[Inline, ...]:
        kept: list[Inline] = []
        for inline in inlines:
            if self.left <= 0:
                break
            if isinstance(inline, LineBreak):
                # A break that is the last thing to fit would end the text without a "…".
                kept.append(inline if self.left > 1 else Text(ELLIPSIS))
                self.left -= 1
            else:
                kept.append(replace(inline, text=self.text(inline.text)))
        return tuple(kept)

    def text(self, text: str) -> str:
        """As much of ``text`` as fits; one place is kept for the "…"."""
        if len(text) < self.left:
            self.left -= len(text)
            return text
        kept = shorten(text + ELLIPSIS, self.left)  # longer than fits, so that it is cut
        self.left = 0
        return kept
