"""Digests: the messages that wait in a lane that is late, put together."""

from collections.abc import Sequence

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


def fitting(messages: Sequence[Message]) -> int:
    """How many of the first messages go into one digest; 1 where the first is too long for any,
    goes to a person, or changes another."""
    text = markdown = 0
    for number, message in enumerate(messages[:MOST]):
        entry = _entry(message)
        text += length(parse(entry)) + len(message.file) + 2
        markdown += len(entry) + len(message.file) + 20
        alone = message.to is not None or message.change is not None
        if text > TEXT or markdown > MARKDOWN or alone:
            return max(number, 1)
    return min(len(messages), MOST)


def together(messages: Sequence[Message]) -> Message:
    """One message that tells what these tell, file by file and each file's in their order, which a
    conversation needs. Every comment keeps its text."""
    by_file: dict[str, list[Message]] = {}
    for message in messages:
        by_file.setdefault(message.file, []).append(message)
    parts = []
    for file, entries in by_file.items():
        if file and len(by_file) > 1:
            parts.append(f"**{escape(file)}**")
        parts += map(_entry, entries)
    last = messages[-1]
    return Message(
        title=_title(len(messages), [file for file in by_file if file]),
        body="\n\n".join(parts),
        url=last.url if len(by_file) == 1 else "",
        event="digest",
        team=last.team,
        at=last.at,
        mentions=_everyone(messages),
        file=last.file if len(by_file) == 1 else "",
    )


def _entry(message: Message) -> str:
    """A message as it is by itself, without its footer; its title where it has no body."""
    return (message.body or str(escape(message.title))).strip()


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
