"""A message as the content of a Matrix event."""

import json
from collections.abc import Collection
from dataclasses import dataclass
from html import escape
from typing import Any
from urllib.parse import quote

from relay.channels.base import ReplyTo
from relay.messages.html import inlines_to_html, to_html
from relay.messages.markdown import Block, Document, Paragraph, Text, parse
from relay.messages.mentions import with_all, with_people
from relay.messages.message import Mention, Message
from relay.messages.plain import cut, length, to_text

# "The complete event MUST NOT be larger than 65536 bytes", with signatures, hashes and what else
# servers add: https://spec.matrix.org/latest/client-server-api/#size-limits
_CONTENT = 48 * 1024
_TEXT = 12_000  # characters; nobody reads more in a chat
_WIDEST = 400  # pixels of a picture


@dataclass(frozen=True, slots=True)
class Image:
    """A picture that the homeserver keeps."""

    uri: str
    """``mxc://…``"""
    words: str
    """For who can't see it."""
    width: int
    height: int

    def html(self) -> str:
        """The element, no wider than a message."""
        scale = min(1.0, _WIDEST / self.width)
        return (
            f'<p><img src="{escape(self.uri)}" alt="{escape(self.words)}"'
            f' width="{round(self.width * scale)}" height="{round(self.height * scale)}"></p>'
        )


def render(message: Message, image: Image | None = None) -> dict[str, Any]:
    """The content of the event: HTML for those who can show it, plain text for the others.

    The title is left out: in a room the body says the same. ``m.mentions`` is always there, so that
    no name in the text pings but those of whom it names:
    https://spec.matrix.org/latest/client-server-api/#user-and-room-mentions
    """
    pinged = [one for one in message.mentions if one.matrix]
    body = with_all(parse(message.body), pinged)
    footer = cut(parse(message.footer), 300)
    limit = min(_TEXT, length(body))
    override = message.override
    while True:
        content = _content(message, cut(body, limit), footer, override, pinged, image)
        # Canonical JSON: https://spec.matrix.org/latest/appendices/#canonical-json
        if len(json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode()) <= _CONTENT:
            return content
        if override:
            override = ""
        elif limit < 100:  # much structure without text
            return _content(message, (), (), "", pinged, None)
        else:
            limit //= 2


def replacement(content: dict[str, Any], of: str, pinged: Collection[str]) -> dict[str, Any]:
    """The content of an event that puts ``content`` in the place of that of the event ``of``. Only
    the users ``pinged`` are told of it:
    https://spec.matrix.org/latest/client-server-api/#event-replacements
    """
    new = {key: value for key, value in content.items() if key != "m.relates_to"}
    return {
        "msgtype": content["msgtype"],
        "body": f"* {content['body']}",
        "m.mentions": {"user_ids": list(pinged)} if pinged else {},
        "m.new_content": new,
        "m.relates_to": {"rel_type": "m.replace", "event_id": of},
    }


def relation(thread: ReplyTo) -> dict[str, Any]:
    """A place in a thread; clients that know no threads show a reply to its last message:
    https://spec.matrix.org/latest/client-server-api/#threading
    """
    return {
        "rel_type": "m.thread",
        "event_id": thread.root,
        "is_falling_back": True,
        "m.in_reply_to": {"event_id": thread.last},
    }


def _content(
    message: Message,
    body: Document,
    footer: Document,
    override: str,
    pinged: Collection[Mention],
    image: Image | None,
) -> dict[str, Any]:
    plain = with_people(body, lambda part: Text(part.text))
    text = to_text(plain + footer, links=True) or message.title[:1000] or "Penpot"
    content: dict[str, Any] = {"msgtype": "m.text", "body": text, "m.mentions": {}}
    if pinged:
        content["m.mentions"] = {"user_ids": [one.matrix for one in pinged]}
    html = override or to_html(_with_pills(body, pinged))
    if override:
        absent = [one for one in pinged if one.matrix not in override]
        html += to_html(_with_pills(with_all((), absent), absent))
    else:
        html += image.html() if image else ""
        html += "".join(map(_small, footer))
    if html:
        content |= {"format": "org.matrix.custom.html", "formatted_body": html}
    return content


def _with_pills(document: Document, pinged: Collection[Mention]) -> Document:
    """Names as links that clients show as pills:
    https://spec.matrix.org/latest/client-server-api/#user-and-room-mentions
    """
    users = {one.id: one.matrix for one in pinged}

    def shown(part: Text) -> Text:
        user = users.get(part.profile)
        if user is None:
            return Text(part.text)
        return Text(part.text.removeprefix("@"), url=f"https://matrix.to/#/{quote(user, '@:')}")

    return with_people(document, shown)


def _small(block: Block) -> str:
    if isinstance(block, Paragraph):
        return f"<p><sub>{inlines_to_html(block.inlines)}</sub></p>"
    return to_html((block,))
