"""Digests: combines the waiting messages of a queue that is behind."""

import re
from collections.abc import Sequence
from itertools import chain, pairwise

from relay.messages.document import parse
from relay.messages.escape import escape
from relay.messages.message import Mention, Message
from relay.messages.plain import length

MAX_DIGEST_SIZE = 20  # messages
MAX_TEXT_LENGTH = 2400
"""Visible characters; chats allow about 3,000."""
MAX_MARKDOWN_LENGTH = 4500  # characters of Markdown, with the addresses of links
_PLACE_PREFIXES = ("· ", "to “")  # begin a line that says where a comment is
_SEPARATOR = "\n\n---\n\n"


def digest_size(messages: Sequence[Message]) -> int:
    """How many of the first messages fit into one digest; 1 where the first is too long, goes to a
    person, or edits another message.

    Each counts with its full text, though a digest shortens it.
    """
    text = markdown = 0
    for number, message in enumerate(messages[:MAX_DIGEST_SIZE]):
        entry = _text(message)
        markdown += len(entry) + 2 * len(escape(message.file)) + 20
        if markdown <= MAX_MARKDOWN_LENGTH:  # parsing takes time
            text += length(parse(entry)) + len(message.file) + 5
        is_single = message.to is not None or message.change is not None
        if text > MAX_TEXT_LENGTH or markdown > MAX_MARKDOWN_LENGTH or is_single:
            return max(number, 1)
    return min(len(messages), MAX_DIGEST_SIZE)


def combine(messages: Sequence[Message]) -> Message:
    """One message with the entries of ``messages``, grouped by file, in their order.

    Repetitions are left out: the file in each entry, the person in consecutive entries, and the
    place of a comment in consecutive entries of a thread. Every comment keeps its text.
    """
    by_file: dict[str, list[Message]] = {}
    for message in messages:
        by_file.setdefault(message.file_id or message.file, []).append(message)
    last = messages[-1]
    files = [group[-1].file for group in by_file.values() if group[-1].file]
    return Message(
        title=_title(len(messages), files),
        body=_SEPARATOR.join(map(_section, by_file.values())),
        url=last.url if len(by_file) == 1 else "",
        event="digest",
        team=last.team,
        at=last.at,
        mentions=_mentions(messages),
        file=last.file if len(by_file) == 1 else "",
        file_id=last.file_id if len(by_file) == 1 else "",
    )


def _section(messages: Sequence[Message]) -> str:
    """The entries of one file, or of events without a file."""
    file = messages[-1].file  # it may have been renamed
    entries = [
        _entry(message, before) for before, message in pairwise(chain([None], messages)) if message
    ]
    if not file:
        return "\n\n".join(entries)
    matches = [_file_pattern(message.file).search(_text(message)) for message in messages]
    url = next((match["url"] for match in matches if match and match["url"]), "")
    name = f"[{escape(file)}](<{url}>)" if url else escape(file)
    return "\n\n".join([f"### {name}", *entries])


def _entry(message: Message, before: Message | None) -> str:
    """A message without what the digest has said already, as far as it uses the words of the
    built-in templates. ``before`` is the previous message."""
    _, gap, rest = _text(message).partition("\n\n")
    lines = _first_lines(message)
    if before and message.thread and message.thread == before.thread:
        previous = _first_lines(before)
        while (
            gap
            and len(lines) > 1
            and lines[-1].startswith(_PLACE_PREFIXES)
            and lines[-1:] == previous[-1:]
        ):
            lines, previous = lines[:-1], previous[:-1]
    if before and message.actor and message.actor == before.actor:
        lines[0] = _actor_pattern(message.actor).sub("", lines[0], 1)
    return "\n".join(lines) + gap + rest


def _first_lines(message: Message) -> list[str]:
    """The lines of the first paragraph, without the file."""
    first, _, _ = _text(message).partition("\n\n")
    return (_file_pattern(message.file).sub("", first, 1) if message.file else first).split("\n")


def _text(message: Message) -> str:
    """The body without the footer; the title where there is no body."""
    return (message.body or str(escape(message.title))).strip()


def _file_pattern(file: str) -> re.Pattern[str]:
    """``on Landing page``, as a link or bold."""
    name = re.escape(escape(file))
    return re.compile(rf"\s+on (?:\*\*{name}\*\*|\[{name}\]\(<(?P<url>[^<>\s]*)>\))(?=\s|$)")


def _actor_pattern(actor: str) -> re.Pattern[str]:
    """``Ada Lovelace``, bold, before a word that can begin a line."""
    return re.compile(rf"^\*\*{re.escape(escape(actor))}\*\*\s+(?=[^\W\d_])")


def _title(count: int, files: Sequence[str]) -> str:
    match files:
        case []:
            return f"{count} events"
        case [file]:
            return f"{count} events, {file}"
        case _:
            return f"{count} events in {len(files)} files"


def _mentions(messages: Sequence[Message]) -> tuple[Mention, ...]:
    """Each mentioned person once."""
    mentions = [mention for message in messages for mention in message.mentions]
    return tuple({mention.id: mention for mention in mentions}.values())
