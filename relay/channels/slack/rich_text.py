"""A document as Slack's ``rich_text`` blocks.

Their text elements are literal, so a comment that contains ``<!channel>`` can't notify anybody, and
an address in it is no link: it becomes a ``link`` element. A time is a ``date`` element, which
Slack shows in each reader's zone and language, also later as "yesterday"; its text shows where
Slack can't do so.

https://docs.slack.dev/reference/block-kit/blocks/rich-text-block
https://docs.slack.dev/reference/block-kit/block-elements/link-element
https://docs.slack.dev/reference/block-kit/block-elements/date-element
"""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import chain, groupby
from typing import Any, TypeAlias

from relay.channels.addresses import addresses
from relay.messages.document import (
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
)
from relay.messages.times import Moment

Json: TypeAlias = dict[str, Any]

_MAX_INDENT_DEPTH = 8
_STYLES = ("bold", "italic", "strike", "code")
DATE_FORMATS = {
    "": "{date_short_pretty} {time}",
    "date": "{date_short_pretty}",
    "time": "{time}",
}
"""By the form of a moment."""


def to_blocks(document: Document) -> Iterator[Json]:
    """One ``rich_text`` per part between the document's rules, which become dividers."""
    for is_rule, blocks in groupby(document, lambda block: isinstance(block, Rule)):
        if is_rule:
            yield from ({"type": "divider"} for _ in blocks)
        else:
            elements: list[Json] = []
            for block in blocks:
                _add(elements, block)
            yield group("rich_text", elements)


def _add(elements: list[Json], block: Block) -> None:
    match block:
        case Quote(blocks):
            elements.append(group("rich_text_quote", _inlines(joined(blocks, spaced=True))))
        case ListBlock():
            _add_list(elements, block, 0)
        case CodeBlock(text):
            elements.append(group("rich_text_preformatted", [text_element(text or " ")]))
        case _:
            inlines = _inlines(_flat(block))
            if elements and elements[-1]["type"] == "rich_text_section":
                # Slack shows adjacent sections without the space that paragraphs need.
                elements[-1]["elements"] += [text_element("\n\n"), *inlines]
            else:
                elements.append(group("rich_text_section", inlines))


def _add_list(elements: list[Json], block: ListBlock, depth: int) -> None:
    """Slack has no nested lists: an inner list follows the outer one with a deeper indent."""
    is_new = True
    for number, item in enumerate(block.items, block.start or 0):
        if is_new:
            style = "bullet" if block.start is None else "ordered"
            elements.append(group("rich_text_list", []) | {"style": style})
            if depth:
                elements[-1]["indent"] = min(depth, _MAX_INDENT_DEPTH)
            if block.start is not None and number > 1:
                elements[-1]["offset"] = number - 1
        own = tuple(part for part in item if not isinstance(part, ListBlock))
        elements[-1]["elements"].append(
            group("rich_text_section", _inlines(joined(own)) or [text_element(" ")])
        )
        inner = [part for part in item if isinstance(part, ListBlock)]
        for part in inner:
            _add_list(elements, part, depth + 1)
        is_new = bool(inner)


def _flat(block: Block) -> Iterator[Inline]:
    """A block as inlines, for places that accept no blocks."""
    match block:
        case Paragraph(inlines):
            yield from inlines
        case Heading(_, inlines):
            for part in inlines:
                yield replace(part, bold=True) if isinstance(part, Text) else part
        case Quote(blocks):
            yield from joined(blocks)
        case ListBlock(items, start):
            for number, item in enumerate(items):
                if number:
                    yield LineBreak()
                yield Text("• " if start is None else f"{start + number}. ")
                yield from joined(item)
        case CodeBlock(text):
            yield Text(text or " ", code=True)
        case Rule():
            yield Text("———")


def joined(blocks: Document, *, spaced: bool = False) -> Iterator[Inline]:
    """Blocks on lines of their own; ``spaced`` puts an empty line between paragraphs."""
    previous: Block | None = None
    for block in blocks:
        if previous is not None:
            yield LineBreak()
            if spaced and isinstance(previous, Paragraph) and isinstance(block, Paragraph):
                yield LineBreak()
        yield from _flat(block)
        previous = block


def _inlines(inlines: Iterable[Inline]) -> list[Json]:
    elements: list[Json] = []
    for inline in chain.from_iterable(map(_with_links, inlines)):
        element = text_element(inline.text)
        if inline.url:
            element = {"type": "link", "url": inline.url, "text": inline.text}
        elif inline.profile:
            element = {"type": "user", "user_id": inline.profile}
        elif inline.moment and not inline.code:  # the one style that a date can't have
            element = _date(inline.text, inline.moment)
        if style := {name: True for name in _STYLES if getattr(inline, name)}:
            element["style"] = style
        last = elements[-1] if elements else None
        literal = element.keys() == {"type", "text"}
        if last and literal and last.keys() == element.keys():
            last["text"] += inline.text
        else:
            elements.append(element)
    return elements


def _with_links(inline: Inline) -> Iterator[Text]:
    """The inline with each address in it as a link to itself, even within another link."""
    if isinstance(inline, LineBreak):
        yield Text("\n")
        return
    position = 0
    is_literal = inline.profile or inline.moment or (inline.code and not inline.url)
    for start, end, address in () if is_literal else addresses(inline.text):
        if start > position:
            yield replace(inline, text=inline.text[position:start])
        yield replace(inline, text=inline.text[start:end], url=address)
        position = end
    if position < len(inline.text):
        yield replace(inline, text=inline.text[position:])


def _date(text: str, moment: Moment) -> Json:
    form = DATE_FORMATS[moment.form]
    return {"type": "date", "timestamp": moment.at, "format": form, "fallback": text}


def text_element(text: str) -> Json:
    return {"type": "text", "text": text}


def group(kind: str, elements: list[Json]) -> Json:
    return {"type": kind, "elements": elements}
