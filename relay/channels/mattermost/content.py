"""A message as Mattermost's Markdown.

https://docs.mattermost.com/collaborate/format-messages.html. Mattermost finds "@name", "#tag",
"~channel" and ":emoji:" in the text that is left after its Markdown, so that no backslash protects
them. A webhook's text may also ping as in Slack, by ``<!channel>``:
https://developers.mattermost.com/integrate/webhooks/incoming/#slack-compatibility
"""

import re

from relay.channels.markdown import INVISIBLE, Dialect, bounded
from relay.messages.document import (
    Document,
    cut,
    length,
    parse,
)
from relay.messages.mentions import add_missing_mentions, with_ids
from relay.messages.message import Mention, Message

MAX_LENGTH = 16_383  # characters: server/public/model/post.go, PostMessageMaxRunesV2
OLD_MAX_LENGTH = 4000  # PostMessageMaxRunesV1: of a database from before version 5.0
_MAX_FOOTER_LENGTH = 300
_MAX_FOOTER_SIZE = 1000  # of Markdown, with its addresses

DIALECT = Dialect(
    formats=re.compile(r"[\\`*_~|\[\]]"),
    pings=re.compile(r"@|:(?=//|[\w+-]+:)|#(?=[^\W\d_])|~(?=\w)|<(?=[\w!/?@])|&(?=#?\w+;)"),
    # The invisible character ends the name, so that no text after it belongs to it.
    mention=lambda name: f"@{name}{INVISIBLE}",
)


def render(message: Message, max_length: int = MAX_LENGTH) -> str:
    footer = _footer(message)
    body = bounded(_body(message), DIALECT, max_length - len(footer) - 2)
    return "\n\n".join(filter(None, (body, footer))) or DIALECT.literal(message.title) or "Penpot"


def fits(message: Message) -> bool:
    """Whether ``render`` sends all text."""
    if length(parse(message.content.footer)) > _MAX_FOOTER_LENGTH:
        return False
    footer = _footer(message)
    whole = bounded(_body(message), DIALECT, 10 * MAX_LENGTH)
    is_whole = bool(footer or not message.content.footer)
    return is_whole and len(whole) <= MAX_LENGTH - len(footer) - 2


def pinged(message: Message) -> list[Mention]:
    return [person for person in message.mentions if person.address("mattermost")]


def _body(message: Message) -> Document:
    """In which ``profile`` holds names in Mattermost only."""
    people = pinged(message)
    names = {person.id: person.address("mattermost") for person in people}
    return with_ids(add_missing_mentions(parse(message.content.body), people), names)


def _footer(message: Message) -> str:
    """Empty where its addresses are too long."""
    document = with_ids(cut(parse(message.content.footer), _MAX_FOOTER_LENGTH), {})
    text = bounded(document, DIALECT, _MAX_FOOTER_SIZE)
    return text if length(document) <= _MAX_FOOTER_LENGTH else ""
