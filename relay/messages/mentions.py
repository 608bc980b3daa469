"""The mentions of a document: texts with the id of a person's Penpot profile."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import replace

from relay.messages.document import Document, Inline, Paragraph, Text, all_inlines, map_texts
from relay.messages.locale import gettext
from relay.messages.message import Mention


def mentioned_profiles(document: Document) -> set[str]:
    return {part.profile for part in all_inlines(document)} - {""}


def replace_mentions(document: Document, convert: Callable[[Text], Text]) -> Document:
    return map_texts(document, lambda part: convert(part) if part.profile else part)


def with_ids(document: Document, ids: Mapping[str, str]) -> Document:
    """With the id or name in a chat as ``profile`` of each mention; ``ids`` has it by the Penpot
    profile's. Who is not in it is only named."""
    return replace_mentions(document, lambda part: replace(part, profile=ids.get(part.profile, "")))


def add_missing_mentions(document: Document, pinged: Collection[Mention]) -> Document:
    """Appends a line for the people to ping whom the document does not mention: neither a comment's
    text nor a template has to include them."""
    present = mentioned_profiles(document)
    line: list[Inline] = []
    for mention in pinged:
        if mention.id not in present:
            line += [Text(" ")] if line else []
            name = f"@{mention.name}" if mention.name else gettext("@someone")
            line.append(Text(name, profile=mention.id))
    return (*document, Paragraph(tuple(line))) if line else document
