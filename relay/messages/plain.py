"""A document as plain text, and documents shortened to a length."""

import unicodedata
from collections.abc import Iterable
from dataclasses import replace
from itertools import groupby

from relay.messages.document import (
    Block,
    CodeBlock,
    Document,
    Heading,
    Inline,
    LeafBlock,
    LineBreak,
    ListBlock,
    Paragraph,
    Quote,
    Rule,
    Text,
    leaf_blocks,
)

ELLIPSIS = "…"

_JOINER = "\u200d"
_MAX_CLUSTER_LENGTH = 64  # code points; longer sequences of marks occur only in hostile text


def shorten(text: str, length: int, *, whole: bool = True) -> str:
    """At most ``length`` characters of ``text``, ending in "…" if it was cut.

    ``whole=False``: it was cut before, so it ends in "…" in any case.
    """
    if whole and len(text) <= length:
        return text
    if length < 1:
        return ""
    return text[: boundary(text, length - 1)].rstrip() + ELLIPSIS


def boundary(text: str, at: int) -> int:
    """The last index at or before ``at`` that splits no visible character."""
    if at >= len(text):
        return len(text)
    for index in range(at, max(0, at - _MAX_CLUSTER_LENGTH), -1):
        if not _is_joined(text, index):
            return index
    return max(0, at - _MAX_CLUSTER_LENGTH)


def _is_joined(text: str, at: int) -> bool:
    """Whether the code points before and after ``at`` form one visible character."""
    before, after = text[at - 1], text[at]
    if before.isascii() and after.isascii():
        return before == "\r" and after == "\n"
    if _extends(after):
        return True
    if before == _JOINER:
        return unicodedata.category(after) in ("So", "Cn")  # Cn: an emoji newer than Python
    if _is_flag_half(before) and _is_flag_half(after):
        start = at
        while start > 0 and _is_flag_half(text[start - 1]):
            start -= 1
        return (at - start) % 2 == 1
    if "\u1100" <= before <= "\u115f":
        return _is_hangul(after)
    return _is_hangul(before) and "\u1160" <= after <= "\u11ff"


def _extends(character: str) -> bool:
    return (
        unicodedata.category(character) in ("Mn", "Me", "Mc")
        or character in "\u200c\u200d"
        or "\U0001f3fb" <= character <= "\U0001f3ff"  # skin tones
        or "\U000e0020" <= character <= "\U000e007f"  # tag letters in the flag of a region
    )


def _is_flag_half(character: str) -> bool:
    return "\U0001f1e6" <= character <= "\U0001f1ff"


def _is_hangul(character: str) -> bool:
    return "\u1100" <= character <= "\u11ff" or "\uac00" <= character <= "\ud7a3"


def to_text(document: Document, *, links: bool, quoted: str = "> ") -> str:
    """Plain text: list items begin with "- " or a number, blocks are separated by a blank line.

    With ``links`` a link is "text (url)", otherwise only its text. ``quoted`` is the prefix of each
    line of a quotation. Lines are not wrapped.
    """
    return "\n\n".join(_block(block, links, quoted) for block in document)


def first_line(document: Document) -> str:
    """The first line with text, without quote and list markers; may be empty."""
    blocks = (block for block in leaf_blocks(document) if not isinstance(block, Rule))
    lines = (line for block in blocks for line in to_text((block,), links=False).split("\n"))
    return next(filter(str.strip, lines), "")


def _block(block: Block, links: bool, quoted: str) -> str:
    match block:
        case Paragraph(inlines) | Heading(_, inlines):
            return _inlines(inlines, links)
        case Quote(blocks):
            lines = to_text(blocks, links=links, quoted=quoted).split("\n")
            return "\n".join((quoted + line).rstrip() for line in lines)
        case ListBlock(items, start):
            markers = ["- "] * len(items)
            if start is not None:
                markers = [f"{number}. " for number in range(start, start + len(items))]
            pairs = zip(markers, items, strict=True)
            return "\n".join(_item(marker, item, links, quoted) for marker, item in pairs)
        case CodeBlock(text):
            return text
        case _:
            return "---"


def _item(marker: str, item: Document, links: bool, quoted: str) -> str:
    lines = "\n".join(_block(block, links, quoted) for block in item).split("\n")
    return (marker + f"\n{' ' * len(marker)}".join(lines)).rstrip()


def _inlines(inlines: Iterable[Inline], links: bool) -> str:
    parts = []
    for url, run in groupby(inlines, lambda part: part.url if isinstance(part, Text) else ""):
        text = "".join(part.text if isinstance(part, Text) else "\n" for part in run)
        parts.append(f"{text} ({url})" if links and url and text != url else text)
    return "".join(parts)


def length(document: Document) -> int:
    """Characters of text; a line break counts as one."""
    return sum(map(_length, leaf_blocks(document)))


def _length(block: LeafBlock) -> int:
    match block:
        case Paragraph(inlines) | Heading(_, inlines):
            return sum(len(part.text) if isinstance(part, Text) else 1 for part in inlines)
        case CodeBlock(text):
            return len(text)
        case _:
            return 0


def cut(document: Document, limit: int) -> Document:
    """At most ``limit`` characters of text, with a valid structure.

    A document that was cut ends in "…", which is counted; no visible character is split.
    """
    if length(document) <= limit:
        return document
    return _Cutter(limit).document(document)


class _Cutter:
    def __init__(self, limit: int) -> None:
        self.left = limit

    def document(self, document: Document) -> Document:
        blocks: list[Block] = []
        for block in document:
            if self.left <= 0:
                break
            kept = self.block(block)
            if kept is not None:
                blocks.append(kept)
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
                # A break in the last position would leave no place for the "…".
                kept.append(inline if self.left > 1 else Text(ELLIPSIS))
                self.left -= 1
            else:
                kept.append(replace(inline, text=self.text(inline.text)))
        return tuple(kept)

    def text(self, text: str) -> str:
        """As much of ``text`` as fits, with one character reserved for the "…"."""
        if len(text) < self.left:
            self.left -= len(text)
            return text
        kept = shorten(text + ELLIPSIS, self.left)  # too long in any case, so that it is cut
        self.left = 0
        return kept
