"""Who is mentioned in a document, and what stands there for them."""

from collections.abc import Callable, Collection, Iterator
from dataclasses import replace

from relay.messages.markdown import (
    Block,
    Document,
    Heading,
    Inline,
    ListBlock,
    Paragraph,
    Quote,
    Text,
)
from relay.messages.message import Mention


def mentioned(document: Document) -> set[str]:
    """The ids of the profiles that stand in a document."""
    return {part.profile for part in _inlines(document) if isinstance(part, Text) and part.profile}


def with_people(document: Document, shown: Callable[[Text], Text]) -> Document:
    """The document with ``shown`` in the place of each text that mentions somebody."""

    def inline(part: Inline) -> Inline:
        return shown(part) if isinstance(part, Text) and part.profile else part

    def block(one: Block) -> Block:
        match one:
            case Paragraph(inlines) | Heading(_, inlines):
                return replace(one, inlines=tuple(map(inline, inlines)))
            case Quote(blocks):
                return Quote(with_people(blocks, shown))
            case ListBlock(items, start):
                return ListBlock(tuple(with_people(item, shown) for item in items), start)
            case _:
                return one

    return tuple(map(block, document))


def with_all(document: Document, pinged: Collection[Mention]) -> Document:
    """The document with a line for those who are to be pinged and do not stand in it: a comment's
    text may lack them, and so may what a template shows of it."""
    placed = mentioned(document)
    absent = [one for one in pinged if one.id not in placed]
    if not absent:
        return document
    line: list[Inline] = []
    for one in absent:
        line += [Text(" ")] if line else []
        line.append(Text(f"@{one.name or 'someone'}", profile=one.id))
    return (*document, Paragraph(tuple(line)))


def _inlines(document: Document) -> Iterator[Inline]:
    for block in document:
        match block:
            case Paragraph(inlines) | Heading(_, inlines):
                yield from inlines
            case Quote(blocks):
                yield from _inlines(blocks)
            case ListBlock(items):
                for item in items:
                    yield from _inlines(item)
            case _:
                pass
