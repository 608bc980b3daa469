"""Digests: the messages that wait in a queue that is late, put together."""

import re
from collections.abc import Sequence
from itertools import chain, pairwise

from relay.messages.escape import escape
from relay.messages.markdown import parse
from relay.messages.message import Mention, Message
from relay.messages.plain import length

MOST = 20
"""Messages in one digest."""
TEXT = 2400
"""Characters that a reader sees in one; Slack takes some 3,000 (``channels/slack_blocks.py``)."""
MARKDOWN = 4500
"""Characters of Markdown, addresses of links included, in one."""
_PLACE = ("· ", "to “")  # how a line begins that tells where a comment stands
_BETWEEN = "\n\n---\n\n"


def fitting(messages: Sequence[Message]) -> int:
    """How many of the first messages go into one digest; 1 where the first is too long for any,
    goes to a person, or changes another.

    Each is counted as it is by itself; in a digest it is shorter, but for the heading.
    """
    text = markdown = 0
    for number, message in enumerate(messages[:MOST]):
        entry = _text(message)
        markdown += len(entry) + 2 * len(escape(message.file)) + 20
        if markdown <= MARKDOWN:  # else not worth reading
            text += length(parse(entry)) + len(message.file) + 5
        alone = message.to is not None or message.change is not None
        if text > TEXT or markdown > MARKDOWN or alone:
            return max(number, 1)
    return min(len(messages), MOST)


def together(messages: Sequence[Message]) -> Message:
    """One message that tells what these tell, file by file and each file's in their order, which a
    conversation needs. Every comment keeps its text.

    The file is named once, a person once for what they did without a break, and the place of a
    comment once for those that follow in its thread.
    """
    by_file: dict[str, list[Message]] = {}
    for message in messages:
        by_file.setdefault(message.file_id or message.file, []).append(message)
    last = messages[-1]
    return Message(
        title=_title(len(messages), [of[-1].file for of in by_file.values() if of[-1].file]),
        body=_BETWEEN.join(map(_part, by_file.values())),
        url=last.url if len(by_file) == 1 else "",
        event="digest",
        team=last.team,
        at=last.at,
        mentions=_everyone(messages),
        file=last.file if len(by_file) == 1 else "",
        file_id=last.file_id if len(by_file) == 1 else "",
    )


def _part(messages: Sequence[Message]) -> str:
    """What is told of one file, or of none."""
    file = messages[-1].file  # it may have been renamed
    entries = [
        _entry(message, before) for before, message in pairwise(chain([None], messages)) if message
    ]
    if not file:
        return "\n\n".join(entries)
    named = [found for one in messages if (found := _on(one.file).search(_text(one)))]
    url = next((found["url"] for found in named if found["url"]), "")
    name = f"[{escape(file)}](<{url}>)" if url else escape(file)
    return "\n\n".join([f"### {name}", *entries])


def _entry(message: Message, before: Message | None) -> str:
    """A message without what stands above it, as far as it says that in the words of the built-in
    templates. ``before`` is the one that it follows."""
    _, gap, rest = _text(message).partition("\n\n")
    first = _first(message)
    if before and message.thread and message.thread == before.thread:
        told = _first(before)
        while gap and len(first) > 1 and first[-1].startswith(_PLACE) and first[-1:] == told[-1:]:
            first, told = first[:-1], told[:-1]
    if before and message.actor and message.actor == before.actor:
        first[0] = _by(message.actor).sub("", first[0], 1)
    return "\n".join(first) + gap + rest


def _first(message: Message) -> list[str]:
    """The lines of the first paragraph, without the file."""
    first, _, _ = _text(message).partition("\n\n")
    return (_on(message.file).sub("", first, 1) if message.file else first).split("\n")


def _text(message: Message) -> str:
    """A message as it is by itself, without its footer; its title where it has no body."""
    return (message.body or str(escape(message.title))).strip()


def _on(file: str) -> re.Pattern[str]:
    """``on Landing page``, as a link or bold."""
    name = re.escape(escape(file))
    return re.compile(rf"\s+on (?:\*\*{name}\*\*|\[{name}\]\(<(?P<url>[^<>\s]*)>\))(?=\s|$)")


def _by(actor: str) -> re.Pattern[str]:
    """``Ada Lovelace``, bold, before words with which a line can begin."""
    return re.compile(rf"^\*\*{re.escape(escape(actor))}\*\*\s+(?=[^\W\d_])")


def _title(count: int, files: Sequence[str]) -> str:
    match files:
        case []:
            return f"{count} events"
        case [file]:
            return f"{count} events, {file}"
        case _:
            return f"{count} events in {len(files)} files"


def _everyone(messages: Sequence[Message]) -> tuple[Mention, ...]:
    """Each of the mentioned, once."""
    return tuple({one.id: one for message in messages for one in message.mentions}.values())
