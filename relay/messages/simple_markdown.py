"""Reads the Markdown that most templates produce, in a fraction of the full parser's time.

That is: paragraphs and quotations of paragraphs, of text with escaped characters, bold and italic,
line breaks, and links as the filter ``link`` writes them. What has anything else, or could be read
in two ways, is left to the parser; both give the same document.
"""

import re
from collections.abc import Iterator
from itertools import groupby
from string import punctuation
from typing import NamedTuple, TypeAlias

from markdown_it.common.utils import isMdAsciiPunct, isPunctChar

_TEXT = rf"(?:[^\\*_`\[\]<>&~!\n]++|\\[{re.escape(punctuation)}])++"
_TOKEN_PATTERN = re.compile(
    rf"(?P<text>{_TEXT})|(?P<mark>\*\*?)(?!\*)|(?P<end>\\?\n)"
    rf"|\[(?P<label>{_TEXT})\]\(<(?P<address>[^<>\\\n]*)>\)"
)
_ESCAPED_PATTERN = re.compile(r"\\(.)")
_ENTITY_PATTERN = re.compile(r"&(?!amp;)#?\w+;")
# What begins no block but a paragraph.
_LINE_PATTERN = re.compile(r"""(?!\d+[.)])(?:[\w"'(]|[^\s\x00-\x7f]|\\.|\*\*?[^\s*]|\[)""")
# White space other than French has within a line, and what the parser replaces or drops.
_UNUSUAL_PATTERN = re.compile("[^\\S \n\u00a0\u202f]|[\x00\ufeff\ud800-\udfff]")


class Run(NamedTuple):
    """Text in one style."""

    text: str
    bold: bool = False
    italic: bool = False
    address: str = ""  # of a link; empty for other text
    is_break: bool = False  # whether it is a line break


Paragraphs: TypeAlias = list[list[Run]]


class _NotSimple(Exception):
    """The Markdown needs the parser."""


def read(markdown: str) -> list[tuple[bool, Paragraphs]] | None:
    """The blocks, each with whether it is a quotation; None for what needs the parser."""
    if _UNUSUAL_PATTERN.search(markdown):
        return None
    try:
        return list(_blocks(markdown))
    except _NotSimple:
        return None


def _blocks(markdown: str) -> Iterator[tuple[bool, Paragraphs]]:
    for is_filled, group in groupby(markdown.split("\n"), bool):
        if not is_filled:
            continue
        lines = list(group)
        if not lines[0].startswith(">"):
            yield False, [_paragraph(lines)]
        elif all(line == ">" or line.startswith("> ") for line in lines):
            rows = [line[2:] for line in lines]
            filled = (list(part) for is_text, part in groupby(rows, bool) if is_text)
            if paragraphs := [_paragraph(part) for part in filled]:
                yield True, paragraphs
        else:
            raise _NotSimple


def _paragraph(lines: list[str]) -> list[Run]:
    for line in lines:
        if not _LINE_PATTERN.match(line) or line[-1].isspace():
            raise _NotSimple
    text = "\n".join(lines)
    runs, marks, position = [], list[str](), 0
    while position < len(text):
        match = _TOKEN_PATTERN.match(text, position)
        if match is None:
            raise _NotSimple
        bold, italic = "**" in marks, "*" in marks
        match match.lastgroup:
            case "text":
                runs.append(Run(_ESCAPED_PATTERN.sub(r"\1", match[0]), bold, italic))
            case "mark":
                _apply(match, marks)
            case "address":
                address = match["address"]
                if "&" in address:
                    if _ENTITY_PATTERN.search(address):
                        raise _NotSimple
                    address = address.replace("&amp;", "&")
                label = _ESCAPED_PATTERN.sub(r"\1", match["label"])
                runs.append(Run(label, bold, italic, address))
            case _:
                is_break = len(match[0]) > 1
                runs.append(Run("\n" if is_break else " ", bold, italic, is_break=is_break))
        position = match.end()
    if marks:
        raise _NotSimple
    return runs


def _apply(match: re.Match[str], marks: list[str]) -> None:
    """Open or close a style; ``marks`` are the open ones.
    https://spec.commonmark.org/0.31.2/#left-flanking-delimiter-run"""
    text, (start, end), mark = match.string, match.span(), match[0]
    before = text[start - 1] if start else " "
    after = text[end] if end < len(text) else " "
    opens = not after.isspace() and (not _is_punctuation(after) or _is_edge(before))
    closes = not before.isspace() and (not _is_punctuation(before) or _is_edge(after))
    if opens == closes:
        raise _NotSimple
    if opens and mark not in marks:
        marks.append(mark)
    elif closes and marks[-1:] == [mark]:
        marks.pop()
    else:
        raise _NotSimple


def _is_edge(character: str) -> bool:
    return character.isspace() or _is_punctuation(character)


def _is_punctuation(character: str) -> bool:
    return isMdAsciiPunct(ord(character)) or isPunctChar(character)
