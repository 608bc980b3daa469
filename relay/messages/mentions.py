"""Mentions in a document: finding, replacing and adding them."""

from collections.abc import Callable, Collection
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
    leaf_blocks,
)
from relay.messages.message import Mention


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
