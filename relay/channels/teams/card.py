"""A document as elements of an Adaptive Card, of version 1.2 of its schema.

Every text is a ``TextRun``, which knows no Markdown. What clients read in it all the same gets an
invisible character: a function such as ``{{DATE(…)}}``, and ``<at>…</at>``, Teams' mention.

https://docs.microsoft.com/adaptive-cards/schema-explorer/rich-text-block
https://docs.microsoft.com/adaptive-cards/schema-explorer/text-run
https://docs.microsoft.com/adaptive-cards/authoring-cards/text-features
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from itertools import groupby
from types import MappingProxyType
from typing import Any, TypeAlias

from relay.channels.addresses import addresses
from relay.channels.markdown import INVISIBLE
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

Json: TypeAlias = dict[str, Any]
Style: TypeAlias = Mapping[str, Any]
"""Properties of each ``TextRun``."""

_NO_STYLE: Style = MappingProxyType({})
_FUNCTION_PATTERN = re.compile(r"\{(?=\{\s*(?:DATE|TIME)\s*\()|<(?=\s*/?\s*at\b)", re.IGNORECASE)
_BLANK_PATTERN = re.compile(r"^ | (?= )")  # that HTML does not show
_NO_BREAK_SPACE = "\u00a0"
_INDENT = "\u2003\u2003"  # of an inner list
# Teams opens no address of mail: github.com/microsoft/AdaptiveCards/issues/5804
_SCHEMES = ("http://", "https://")


def to_elements(document: Document, style: Style = _NO_STYLE) -> list[Json]:
    """``profile`` of a mention is set for a person who is notified. A rule is the line before the
    next element."""
    elements: list[Json] = []
    is_separated = False
    for block in document:
        new = list(_block(block, style))
        if new and is_separated:
            new[0]["separator"] = True
        is_separated = isinstance(block, Rule) or (is_separated and not new)
        elements += new
    return elements


def text_line(runs: list[Json]) -> Json:
    return {"type": "RichTextBlock", "inlines": runs}


def text_run(text: str, style: Style = _NO_STYLE) -> Json:
    return {"type": "TextRun", "text": _FUNCTION_PATTERN.sub(rf"\g<0>{INVISIBLE}", text), **style}


def _block(block: Block, style: Style) -> Iterator[Json]:
    match block:
        case Paragraph(inlines):
            yield from _lines(inlines, style)
        case Heading(level, inlines):
            size = "Large" if level <= 2 else "Medium"
            yield from _lines(inlines, {**style, "size": size, "weight": "Bolder"})
        case Quote(blocks):
            yield from _box(to_elements(blocks, style))
        case CodeBlock(text):
            lines = text.split("\n")
            yield from _box([_code_line(line, style) for line in lines])
        case ListBlock():
            yield from _list(block, style, 0)


def _box(items: list[Json]) -> Iterator[Json]:
    """Teams has neither quotations nor blocks of code."""
    for item in items[:1]:
        item.pop("separator", None)
        yield {"type": "Container", "style": "emphasis", "items": items}


def _code_line(line: str, style: Style) -> Json:
    text = _BLANK_PATTERN.sub(_NO_BREAK_SPACE, line) or _NO_BREAK_SPACE
    return {"spacing": "None"} | text_line([text_run(text, {**style, "fontType": "Monospace"})])


def _list(block: ListBlock, style: Style, depth: int) -> Iterator[Json]:
    """Its lines begin with a marker: lists exist in Markdown only."""
    for number, item in enumerate(block.items, block.start or 0):
        elements: list[Json] = []
        for part in item:
            if isinstance(part, ListBlock):
                elements += _list(part, style, depth + 1)
            else:
                elements += _block(part, style)
        has_line = bool(elements) and elements[0]["type"] == "RichTextBlock"
        if not has_line or isinstance(item[0], ListBlock):
            elements.insert(0, text_line([]))
        marker = "• " if block.start is None else f"{number}. "
        elements[0]["inlines"].insert(0, text_run(_INDENT * depth + marker, style))
        if depth or number > (block.start or 0):
            elements[0]["spacing"] = "None"
        yield from elements


def _lines(inlines: Iterable[Inline], style: Style) -> Iterator[Json]:
    """An element for each line: not all clients break lines within one. An empty line is the space
    before the next."""
    spacing: Json = {}
    for is_break, parts in groupby(inlines, lambda part: isinstance(part, LineBreak)):
        if is_break:
            spacing = {"spacing": "None"} if len(list(parts)) == 1 else {}
            continue
        runs = [run for part in parts if isinstance(part, Text) for run in _runs(part, style)]
        if any(run["text"].strip() for run in runs):
            yield spacing | text_line(runs)


def _runs(part: Text, style: Style) -> Iterator[Json]:
    """The text with each address in it as a link to itself, even within another link."""
    position = 0
    is_literal = part.profile or part.moment or part.code
    for start, end, address in () if is_literal else addresses(part.text):
        if start > position:
            yield _run(replace(part, text=part.text[position:start]), style)
        yield _run(replace(part, text=part.text[start:end], url=address), style)
        position = end
    if position < len(part.text):
        yield _run(replace(part, text=part.text[position:]), style)


def _run(part: Text, style: Style) -> Json:
    text = part.text.replace("\n", " ")
    run = text_run(_BLANK_PATTERN.sub(_NO_BREAK_SPACE, text) if part.code else text, style)
    if part.bold or part.profile:
        run["weight"] = "Bolder"
    if part.profile:
        run["color"] = "Accent"
    if part.italic:
        run["italic"] = True
    if part.strike:
        run["strikethrough"] = True
    if part.code:
        run["fontType"] = "Monospace"
    if part.url.lower().startswith(_SCHEMES):
        run["selectAction"] = {"type": "Action.OpenUrl", "url": part.url}
    return run
