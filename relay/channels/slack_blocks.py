"""A document as Slack's blocks.

``rich_text`` is what Slack's own composer makes: its text elements are literal, so that a comment
that holds ``<!channel>`` can't ping, by construction. Where Slack takes no ``rich_text`` (the
notification's ``text``, the small print of a ``context`` block), ``&``, ``<`` and ``>`` are
escaped.

https://docs.slack.dev/reference/block-kit/blocks/rich-text-block
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from itertools import groupby
from types import MappingProxyType
from typing import Any, TypeAlias
from urllib.parse import quote

from relay.messages.graphemes import shorten
from relay.messages.markdown import (
    Block,
    CodeBlock,
    Document,
    Heading,
    Inline,
    LineBreak,
    ListBlock,
    Paragraph,
    Quote,
    Rule,
    Text,
    parse,
)
from relay.messages.mentions import with_all, with_people
from relay.messages.message import Message
from relay.messages.plain import cut, length, to_text
from relay.messages.rendering import block_kit
from relay.penpot.wire import encodable

Json: TypeAlias = dict[str, Any]

# Slack documents 50 blocks and 3,000 characters in a context's text. All blocks together must stay
# below an undocumented length: 13,172 characters of text with one divider were refused with
# msg_blocks_too_long (github.com/slackapi/bolt-js/issues/2509), and 11,341 in many small
# rich_text elements as well (issues/2867), so the whole JSON is kept below that.
_TEXT = 3000
_FOOTER = 300
_TITLE = 300
_BLOCKS = 50
_JSON = 11_000
_CONTEXT = 10
_DEEPEST_LIST = 8

_NOBODY: Mapping[str, str] = MappingProxyType({})
_UNFORMATTED = re.compile(r"[^\W_]([^\W_]|[ .,()/\u2026\u2013-])*")
_NOT_IN_URL = re.compile(r"[<>|\s]")


def render(message: Message, pings: Mapping[str, str] = _NOBODY, image: Json | None = None) -> Json:
    """The ``text`` and ``blocks`` of a message. ``pings`` are Slack's ids of those who are pinged,
    by their profile in Penpot; ``image`` is a block that stands before the footer."""
    document = _with_pings(message, pings)
    footer = [*filter(None, [image]), *_footer(message.footer)]
    limit = min(_TEXT, length(document))
    blocks = [*_blocks(cut(document, limit)), *footer]
    while len(blocks) > _BLOCKS or _size(blocks) > _JSON:
        # Much structure, little text: half of the text has about half of the structure.
        limit //= 2
        if limit < 100:
            plain = shorten(to_text(document, links=False).strip(), _TEXT // 2)
            blocks = [_rich_text([_section([_text(plain or "…")])])]
            break
        blocks = [*_blocks(cut(document, limit)), *footer]
    text = _notification(message)
    return {"text": text, "blocks": blocks} if blocks else {"text": text}


def _with_pings(message: Message, pings: Mapping[str, str]) -> Document:
    """The body in which ``profile`` is Slack's id of whom it pings, and stands nowhere else."""
    pinged = [one for one in message.mentions if one.id in pings]
    return with_people(
        with_all(parse(message.body), pinged),
        lambda part: replace(part, profile=pings.get(part.profile, "")),
    )


def override(message: Message, pings: Mapping[str, str] = _NOBODY) -> Json:
    """The same from the message's own Block Kit JSON, with a line for those who are pinged and do
    not stand in it. Raises ``ValueError`` where it is none."""
    try:
        value = encodable(json.loads(message.override), message.override.encode())
    except RecursionError:
        raise ValueError("is nested too deeply") from None
    blocks, text = block_kit(value)
    absent = [user for user in pings.values() if f'"{user}"' not in message.override]
    users = [{"type": "user", "user_id": user} for user in absent]
    more = [_rich_text([_section(users)])] if users else []
    return {"text": text or _notification(message), "blocks": [*blocks, *more]}


def escape(text: str) -> str:
    """Text for a place where Slack would read ``<…>`` as a link or a mention.

    https://docs.slack.dev/messaging/formatting-message-text#escaping
    """
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _notification(message: Message) -> str:
    return escape(shorten(message.title.strip(), _TITLE)) or "Penpot"


def _size(blocks: list[Json]) -> int:
    return len(json.dumps(blocks, ensure_ascii=False))


def _footer(markdown: str) -> list[Json]:
    """Small grey print, in a context block.

    That block takes no ``rich_text``. Its ``plain_text`` is literal but links nothing, its
    ``mrkdwn`` links but formats; so text is the one, and a link is the other as long as its
    words hold nothing that formats. Else the footer is ``rich_text``, in full size.
    """
    document = cut(parse(markdown), _FOOTER)
    elements: list[Json] = []
    runs = groupby(_joined(document), lambda part: part.url if isinstance(part, Text) else "")
    for url, run in runs:
        text = "".join(part.text if isinstance(part, Text) else " " for part in run).strip()
        if url and not _UNFORMATTED.fullmatch(text):
            return list(_blocks(document))
        if url:
            link = f"<{escape(_NOT_IN_URL.sub(_percent, url))}|{text}>"
            elements.append({"type": "mrkdwn", "text": link, "verbatim": True})
        elif text:
            elements.append({"type": "plain_text", "text": escape(text), "emoji": False})
    if len(elements) > _CONTEXT:
        return list(_blocks(document))
    return [{"type": "context", "elements": elements}] if elements else []


def _percent(character: re.Match[str]) -> str:
    return quote(character[0], safe="")


def _blocks(document: Document) -> Iterator[Json]:
    """One ``rich_text`` for all that stands between the document's rules."""
    elements: list[Json] = []
    for block in document:
        if isinstance(block, Rule):
            if elements:
                yield _rich_text(elements)
            yield {"type": "divider"}
            elements = []
        else:
            _add(elements, block)
    if elements:
        yield _rich_text(elements)


def _add(elements: list[Json], block: Block) -> None:
    match block:
        case Quote():
            elements.append(
                {"type": "rich_text_quote", "elements": _inlines(_joined(block.blocks, airy=True))}
            )
        case ListBlock():
            elements.extend(_lists(block, 0))
        case CodeBlock(text):
            elements.append({"type": "rich_text_preformatted", "elements": [_text(text or " ")]})
        case _:
            inlines = _inlines(_flat(block))
            if elements and elements[-1]["type"] == "rich_text_section":
                # Neighbouring sections stand on neighbouring lines; paragraphs need air.
                elements[-1]["elements"] += [_text("\n\n"), *inlines]
            else:
                elements.append(_section(inlines))


def _lists(block: ListBlock, depth: int) -> Iterator[Json]:
    """Slack has no list within a list: an inner one follows with a deeper indent."""
    style = "bullet" if block.start is None else "ordered"
    items: list[Json] = []
    done = 0

    def gathered() -> Json:
        found: Json = {"type": "rich_text_list", "style": style, "elements": items}
        if depth:
            found["indent"] = min(depth, _DEEPEST_LIST)
        if block.start is not None and block.start + done > 1:
            found["offset"] = block.start + done - 1
        return found

    for item in block.items:
        own = tuple(part for part in item if not isinstance(part, ListBlock))
        items.append(_section(_inlines(_joined(own)) or [_text(" ")]))
        inner = [part for part in item if isinstance(part, ListBlock)]
        if inner:
            yield gathered()
            done += len(items)
            items = []
            for part in inner:
                yield from _lists(part, depth + 1)
    if items:
        yield gathered()


def _flat(block: Block) -> Iterator[Inline]:
    """A block as nothing but inlines, for places that hold no blocks."""
    match block:
        case Paragraph(inlines):
            yield from inlines
        case Heading(_, inlines):
            for part in inlines:
                yield replace(part, bold=True) if isinstance(part, Text) else part
        case Quote(blocks):
            yield from _joined(blocks)
        case ListBlock(items, start):
            for number, item in enumerate(items):
                if number:
                    yield LineBreak()
                yield Text("• " if start is None else f"{start + number}. ")
                yield from _joined(item)
        case CodeBlock(text):
            yield Text(text or " ", code=True)
        case Rule():
            yield Text("———")


def _joined(blocks: Document, *, airy: bool = False) -> Iterator[Inline]:
    """The blocks one below the other, where it is ``airy`` with a blank line between paragraphs."""
    before: Block | None = None
    for block in blocks:
        if before is not None:
            yield LineBreak()
            if airy and isinstance(before, Paragraph) and isinstance(block, Paragraph):
                yield LineBreak()
        yield from _flat(block)
        before = block


def _inlines(inlines: Iterable[Inline]) -> list[Json]:
    found: list[Json] = []
    for inline in inlines:
        if isinstance(inline, LineBreak):
            inline = Text("\n")
        element = _text(inline.text)
        if inline.url:
            element = {"type": "link", "url": inline.url, "text": inline.text}
        elif inline.profile:
            element = {"type": "user", "user_id": inline.profile}
        style = {
            name: True for name in ("bold", "italic", "strike", "code") if getattr(inline, name)
        }
        if style:
            element["style"] = style
        last = found[-1] if found else None
        literal = element.keys() == {"type", "text"}
        if last and literal and last.keys() == element.keys():
            last["text"] += inline.text
        else:
            found.append(element)
    return found


def _text(text: str) -> Json:
    return {"type": "text", "text": text}


def _section(elements: list[Json]) -> Json:
    return {"type": "rich_text_section", "elements": elements}


def _rich_text(elements: list[Json]) -> Json:
    return {"type": "rich_text", "elements": elements}
