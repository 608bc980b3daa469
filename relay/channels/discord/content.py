"""A message as the body of Discord's *Execute Webhook*: an embed with the text, and before it the
people to ping, as a mention within an embed notifies nobody.

https://docs.discord.com/developers/resources/webhook#execute-webhook
https://docs.discord.com/developers/reference#message-formatting
"""

import re
from collections.abc import Iterable
from typing import Any, TypeAlias

from relay.channels.markdown import Dialect, bounded, line_of
from relay.channels.markdown_text import utf16_length
from relay.messages.document import (
    Document,
    cut,
    leaf_blocks,
    length,
    parse,
)
from relay.messages.mentions import with_ids
from relay.messages.message import Mention, Message

Json: TypeAlias = dict[str, Any]

# https://docs.discord.com/developers/resources/message#embed-object-embed-limits. Discord does not
# say what it counts as a character: UTF-16 has the most.
_MAX_DESCRIPTION_LENGTH = 4096
_MAX_FOOTER_LENGTH = 300  # of text
_MAX_FOOTER_SIZE = 1000  # of Markdown, with its addresses
_MAX_PINGS = 80  # of 23 characters each, of the 2,000 that ``content`` may have

# By the form of a moment: long date and short time, long date, short time.
_TIME_STYLES = {"": "f", "date": "D", "time": "t"}

# Discord links "<https://…>" and shows it without a preview of the page. It has no links to mail.
DIALECT = Dialect(
    formats=re.compile(r"[\\`*_~|\[\]<]|:(?=[\w~+-]+:)"),
    pings=re.compile(r"@|:(?=//)|<(?=t:)|&(?=#?\w+;)"),
    mention=lambda user: f"<@{user}>",
    rule="———",
    deepest_heading=3,
    schemes=("http://", "https://"),
    time=lambda moment: f"<t:{moment.at}:{_TIME_STYLES[moment.form]}>",
)


def render(message: Message, picture: str = "") -> Json:
    """``picture`` is the name of the file that is uploaded with the message."""
    people = pinged(message)
    embed: Json = {"description": description(message)}
    if picture:
        embed["image"] = {"url": f"attachment://{picture}"}
    return {
        "content": " ".join(f"<@{person.address('discord')}>" for person in people),
        "embeds": [embed],
        # So that nothing else in the message pings: no role, "@everyone" or "@here".
        "allowed_mentions": {
            "parse": [],
            "users": list(dict.fromkeys(person.address("discord") for person in people)),
        },
    }


def pinged(message: Message) -> list[Mention]:
    return [person for person in message.mentions if person.address("discord")][:_MAX_PINGS]


def description(message: Message) -> str:
    """The body and, in small type, the footer."""
    footer = _footer(message)
    limit = _MAX_DESCRIPTION_LENGTH - utf16_length(footer) - 1
    body = bounded(_body(message), DIALECT, limit, utf16_length)
    return "\n".join(filter(None, (body, footer))) or DIALECT.literal(message.title) or "Penpot"


def fits(message: Message) -> bool:
    """Whether ``render`` sends all text."""
    if length(parse(message.content.footer)) > _MAX_FOOTER_LENGTH:
        return False
    footer = _footer(message)
    limit = _MAX_DESCRIPTION_LENGTH - utf16_length(footer) - 1
    whole = bounded(_body(message), DIALECT, 10 * _MAX_DESCRIPTION_LENGTH, utf16_length)
    return bool(footer or not message.content.footer) and utf16_length(whole) <= limit


def _body(message: Message) -> Document:
    """In which ``profile`` holds Discord user ids only."""
    user_ids = {person.id: person.address("discord") for person in pinged(message)}
    return with_ids(parse(message.content.body), user_ids)


def _footer(message: Message) -> str:
    """A line of small type for each block; empty where its addresses are too long."""
    document = with_ids(cut(parse(message.content.footer), _MAX_FOOTER_LENGTH), {})
    lines = _small(line_of(block.inlines, DIALECT) for block in leaf_blocks(document))
    return lines if utf16_length(lines) <= _MAX_FOOTER_SIZE else ""


def _small(lines: Iterable[str]) -> str:
    return "\n".join(f"-# {line}" for line in lines if line)
