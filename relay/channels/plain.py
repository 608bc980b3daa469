"""What channels share that show a message as plain text."""

import re

from relay.messages.document import Document, Text, leaf_blocks
from relay.messages.message import Message

SEPARATOR = " · "  # of the texts in a footer
INSIDE = " › "  # noqa: RUF001 - between the names of a place


def footer_texts(message: Message, footer: Document) -> list[str]:
    """Without the link to the message's subject, whose address is shown by itself."""
    texts: list[str] = []
    for block in leaf_blocks(footer):
        parts = [part for part in block.inlines if isinstance(part, Text)]
        kept = [part.text for part in parts if not part.url or part.url != message.url]
        texts += filter(None, map(str.strip, "".join(kept).split(SEPARATOR.strip())))
    return texts


def words_in(text: str) -> set[str]:
    """Without punctuation and case, to compare what two texts say."""
    return set(re.findall(r"\w+", text.casefold()))
