"""The plain text beside the HTML: the notification on a phone, and all that a client without HTML
shows."""

import re

from relay.channels.plain import INSIDE, SEPARATOR, footer_texts, words_in
from relay.messages.document import Document, Heading, Paragraph, to_text
from relay.messages.escape import clean
from relay.messages.message import Message
from relay.messages.shorten import shorten

_MAX_LINE_LENGTH = 1000  # characters
_SIGNS_PATTERN = re.compile(r"^\W+")  # such as an emoji


def plain_text(message: Message, body: Document, footer: Document) -> str:
    """The notice, all words that it leaves out, and where it happened, with the only address: a
    notification shows no more than the first lines.

    ``body`` and ``footer`` are those of the message; both may be cut.
    """
    notice = shorten(_one_line(message.notice or message.title), _MAX_LINE_LENGTH) or "Penpot"
    line, rest = _first_line(message, notice, body)
    names, texts = list(map(clean, message.place)), footer_texts(message, footer)
    if (team := clean(message.team_name)) in texts:
        names.insert(0, team)
    # A line such as "Ada created the file Home in Website" says it already.
    is_known = words_in(" ".join(names)) <= words_in(message.title)
    place = "" if is_known else INSIDE.join(names)
    texts = [text for text in texts if text not in names]
    where = "\n".join(filter(None, (place, message.url)))
    words = to_text(rest, links=False)
    return "\n\n".join(filter(None, (line, words, SEPARATOR.join(texts), where)))


def _first_line(message: Message, notice: str, body: Document) -> tuple[str, Document]:
    """The first line, and the blocks with words that neither it nor the place has."""
    first, others = body[:1], body[1:]
    has_text = bool(first) and isinstance(first[0], Paragraph | Heading)
    text = _one_line(to_text(first, links=False)) if has_text else ""
    is_own = message.notice not in ("", message.title)  # it has words that the title has not
    for said in (others, others[:-1]) if is_own else ():  # the last may be the people to ping
        if _ends_with(notice, _one_line(to_text(said, links=False, quoted=""))):
            others = others[len(said) :]
            break
    # Such as "Ada commented on Landing page", where the notice quotes her.
    known = words_in(" ".join((notice, message.title, *message.place)))
    if words := words_in(text):
        if words <= known:
            return notice, others
        if len(text) <= _MAX_LINE_LENGTH and _SIGNS_PATTERN.sub("", text).startswith(notice):
            return text, others
    return notice, first + others


def _ends_with(notice: str, words: str) -> bool:
    """Also for "Ada: the words", where the notice names Ada earlier."""
    name, _, text = words.partition(": ")
    is_named = bool(text) and name in notice and notice.endswith(text)
    return is_named or (bool(words) and notice.endswith(words))


def _one_line(text: str) -> str:
    return " ".join(text.split())
