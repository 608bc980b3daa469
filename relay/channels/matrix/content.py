"""A message as the content of a Matrix event."""

import json
import re
from collections.abc import Collection
from dataclasses import replace
from html import escape
from typing import Any, Literal, NamedTuple, TypeAlias
from urllib.parse import quote

from relay.channels.matrix.plain import plain_text
from relay.messages.document import (
    Block,
    Document,
    Paragraph,
    Text,
    cut,
    length,
    parse,
)
from relay.messages.escape import one_line
from relay.messages.html import inlines_to_html, to_html
from relay.messages.locale import gettext
from relay.messages.mentions import add_missing_mentions, replace_mentions
from relay.messages.message import Mention, Message, Picture

MessageType: TypeAlias = Literal["m.text", "m.notice"]

# "The complete event MUST NOT be larger than 65536 bytes", including the signatures, hashes and
# fields that servers add: https://spec.matrix.org/latest/client-server-api/#size-limits
_MAX_CONTENT_BYTES = 48 * 1024
_MAX_TEXT_LENGTH = 12_000  # characters; nobody reads more in a chat
_MAX_OVERRIDE_LENGTH = 40_000  # characters: a longer one has no room in an event
_MAX_FOOTER_LENGTH = 300
_MAX_ALT_TEXT_LENGTH = 200
_MAX_IMAGE_WIDTH = 400  # pixels
_NO_FILE_NAME_PATTERN = re.compile(r'[/\\:*?"<>|]+')


class Image(NamedTuple):
    """An uploaded picture."""

    uri: str  # mxc://
    picture: Picture


def message_type(message: Message, setting: str) -> MessageType:
    """``setting`` is the channel's ``msgtype``.

    The default push rules notify nobody of an ``m.notice``, not even the people whom it mentions:
    https://spec.matrix.org/latest/client-server-api/#default-override-rules
    """
    if setting != "auto":
        return "m.text" if setting == "text" else "m.notice"
    is_for_people = message.to is not None or _pinged(message) or message.change is not None
    return "m.notice" if message.activity and not is_for_people else "m.text"


def render(
    message: Message, image: Image | None = None, msgtype: MessageType | None = None
) -> dict[str, Any]:
    """The content of the event, as HTML and as plain text. Without ``msgtype`` it has that of
    ``msgtype = "auto"``.

    The HTML has no title, since the body says the same. ``m.mentions`` is always present, so that a
    name in the text notifies nobody who is not listed there:
    https://spec.matrix.org/latest/client-server-api/#user-and-room-mentions
    """
    content: dict[str, Any] = {"msgtype": msgtype or message_type(message, "auto")}
    return content | _texts(message, image)


def _texts(message: Message, image: Image | None) -> dict[str, Any]:
    mentions = _pinged(message)
    body = add_missing_mentions(parse(message.content.body), mentions)
    footer = cut(parse(message.content.footer), _MAX_FOOTER_LENGTH)
    limit = min(_MAX_TEXT_LENGTH, length(body))
    override = message.content.override
    while True:
        content = _content(message, cut(body, limit), footer, override, mentions, image)
        if _fit(content):
            return content
        if override:
            override = ""
        elif limit < 100:  # too much structure for its text
            return _content(replace(message, url=""), (), (), "", mentions, None)
        else:
            limit //= 2


def fits(message: Message) -> bool:
    """Whether ``render`` sends all text."""
    mentions = _pinged(message)
    body = add_missing_mentions(parse(message.content.body), mentions)
    footer = parse(message.content.footer)
    if length(body) > _MAX_TEXT_LENGTH or length(footer) > _MAX_FOOTER_LENGTH:
        return False
    return _fit(_content(message, body, footer, "", mentions, None))


def _fit(content: dict[str, Any]) -> bool:
    # Canonical JSON: https://spec.matrix.org/latest/appendices/#canonical-json
    canonical = json.dumps(content, ensure_ascii=False, separators=(",", ":"))
    return len(canonical.encode()) <= _MAX_CONTENT_BYTES


def _pinged(message: Message) -> list[Mention]:
    return [person for person in message.mentions if person.address("matrix")]


def image_content(image: Image, name: str) -> dict[str, Any]:
    """The content of an event with the picture alone, for clients that show none in HTML:
    https://spec.matrix.org/latest/client-server-api/#mimage

    ``name`` is that of the file in Penpot.
    """
    file = _NO_FILE_NAME_PATTERN.sub("_", one_line(name))[:_MAX_ALT_TEXT_LENGTH].strip(" .")
    uri, picture = image
    info = {"mimetype": picture.type, "w": picture.width, "h": picture.height}
    return {
        "msgtype": "m.image",
        "body": f"{file or gettext('Thumbnail')}.{picture.extension}",
        "url": uri,
        "info": info | {"size": len(picture.content)},
        "m.mentions": {},
    }


def check_override(html: str) -> None:
    """Raises ``ValueError`` for a template's HTML that ``render`` would not use."""
    if len(html) > _MAX_OVERRIDE_LENGTH:
        raise ValueError(f"has more than {_MAX_OVERRIDE_LENGTH:,} characters")


def replacement(content: dict[str, Any], event: str, user_ids: list[str]) -> dict[str, Any]:
    """The content of an event that edits ``event`` and notifies ``user_ids``:
    https://spec.matrix.org/latest/client-server-api/#event-replacements
    """
    new = {key: value for key, value in content.items() if key != "m.relates_to"}
    return {
        "msgtype": content["msgtype"],
        "body": f"* {content['body']}",
        "m.mentions": {"user_ids": user_ids} if user_ids else {},
        "m.new_content": new,
        "m.relates_to": {"rel_type": "m.replace", "event_id": event},
    }


def relation(root: str, last: str) -> dict[str, Any]:
    """A thread reply, which clients without threads show as a reply to the previous message:
    https://spec.matrix.org/latest/client-server-api/#threading
    """
    return {
        "rel_type": "m.thread",
        "event_id": root,
        "is_falling_back": True,
        "m.in_reply_to": {"event_id": last},
    }


def _content(
    message: Message,
    body: Document,
    footer: Document,
    override: str,
    mentions: Collection[Mention],
    image: Image | None,
) -> dict[str, Any]:
    plain = replace_mentions(body, lambda part: Text(part.text))
    content: dict[str, Any] = {"body": plain_text(message, plain, footer), "m.mentions": {}}
    if mentions:
        content["m.mentions"] = {"user_ids": [person.address("matrix") for person in mentions]}
    html = override or to_html(_with_pills(body, mentions))
    if override:
        absent = [person for person in mentions if person.address("matrix") not in override]
        html += to_html(_with_pills(add_missing_mentions((), absent), absent))
    else:
        html += _picture(image, message.file) if image else ""
        html += "".join(map(_small, footer))
    if html:
        content |= {"format": "org.matrix.custom.html", "formatted_body": html}
    return content


def _with_pills(document: Document, mentions: Collection[Mention]) -> Document:
    """Names as links that clients show as pills:
    https://spec.matrix.org/latest/client-server-api/#user-and-room-mentions
    """
    user_ids = {person.id: person.address("matrix") for person in mentions}

    def pill(part: Text) -> Text:
        user = user_ids.get(part.profile)
        if user is None:
            return Text(part.text)
        return Text(part.text.removeprefix("@"), url=f"https://matrix.to/#/{quote(user, '@:')}")

    return replace_mentions(document, pill)


def _picture(image: Image, name: str) -> str:
    uri, picture = image
    scale = min(1.0, _MAX_IMAGE_WIDTH / picture.width)
    alt_text = (name or gettext("Thumbnail"))[:_MAX_ALT_TEXT_LENGTH]
    return (
        f'<p><img src="{escape(uri)}" alt="{escape(alt_text)}"'
        f' width="{round(picture.width * scale)}" height="{round(picture.height * scale)}"></p>'
    )


def _small(block: Block) -> str:
    if isinstance(block, Paragraph):
        return f"<p><sub>{inlines_to_html(block.inlines)}</sub></p>"
    return to_html((block,))
