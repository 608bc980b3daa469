"""A message as one text in the Markdown of a chat: its body, and below it the footer."""

from collections.abc import Callable
from dataclasses import dataclass

from relay.channels.markdown import Dialect, bounded, line_of
from relay.messages.document import Document, Text, cut, length, parse
from relay.messages.mentions import add_missing_mentions, with_ids
from relay.messages.message import Mention, Message

_MAX_FOOTER_LENGTH = 300
_MAX_FOOTER_SIZE = 1000  # of Markdown, with its addresses


def utf16_length(text: str) -> int:
    return len(text.encode("utf-16-le", "replace")) // 2


@dataclass(frozen=True, slots=True, kw_only=True)
class MarkdownText:
    """How a chat writes messages of at most ``max_length``, as ``size`` counts it. ``people`` is
    its key in ``[people]``."""

    dialect: Dialect
    people: str
    max_length: int
    size: Callable[[str], int] = len

    def render(self, message: Message, max_length: int = 0) -> str:
        """In at most ``max_length``, if it is given."""
        footer = self._footer(message)
        limit = (max_length or self.max_length) - self.size(footer) - 2
        body = bounded(self._body(message), self.dialect, limit, self.size)
        title = line_of([Text(message.title)], self.dialect)
        return "\n\n".join(filter(None, (body, footer))) or title or "Penpot"

    def fits(self, message: Message) -> bool:
        """Whether ``render`` sends all text."""
        if length(parse(message.content.footer)) > _MAX_FOOTER_LENGTH:
            return False
        footer = self._footer(message)
        whole = bounded(self._body(message), self.dialect, 10 * self.max_length, self.size)
        is_whole = bool(footer or not message.content.footer)
        return is_whole and self.size(whole) <= self.max_length - self.size(footer) - 2

    def pinged(self, message: Message) -> list[Mention]:
        return [person for person in message.mentions if person.address(self.people)]

    def _body(self, message: Message) -> Document:
        """In which ``profile`` holds names in the chat only."""
        people = self.pinged(message)
        names = {person.id: person.address(self.people) for person in people}
        return with_ids(add_missing_mentions(parse(message.content.body), people), names)

    def _footer(self, message: Message) -> str:
        """Empty where its addresses are too long."""
        document = with_ids(cut(parse(message.content.footer), _MAX_FOOTER_LENGTH), {})
        text = bounded(document, self.dialect, _MAX_FOOTER_SIZE, self.size)
        return text if length(document) <= _MAX_FOOTER_LENGTH else ""
