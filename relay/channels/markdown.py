"""A document as the Markdown of a chat, with every text from outside literal.

Chats read Markdown in dialects of their own; a ``Dialect`` has what they differ in. Two kinds of
characters keep a text literal: a backslash before one that formats, and an invisible character
after one that pings or links, which most chats look for before they read the Markdown. Where
neither helps, a text has no style.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import groupby
from operator import attrgetter

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
    cut,
    length,
    to_text,
)
from relay.messages.shorten import shorten
from relay.messages.times import Moment

INVISIBLE = "\u200b"
_THIN = "\u200a"  # a space that is hardly visible
# What makes a list, a quotation, a heading or a rule at the beginning of a line.
_BLOCK_START_PATTERN = re.compile(r"(?=[#>+=-])|(?<=\d)(?=[.)])")
_NUMBER_PATTERN = re.compile(r"\d{1,9}(?=[.)])")
_TICKS_PATTERN = re.compile("`+")
_MENTION_PATTERN = re.compile(f" @(?!{INVISIBLE})")
_MIN_TEXT_LENGTH = 50  # characters, below which the structure is left out


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """``formats`` matches what needs a backslash in text, ``pings`` what gets an invisible
    character after it, also in code if there are no ``pings_in_code``."""

    formats: re.Pattern[str]
    pings: re.Pattern[str]
    pings_in_code: re.Pattern[str] | None = None
    mention: Callable[[str], str]
    """Of the person with this id, address or name in the chat. A space before it is left out after
    another one and at the beginning of a line."""
    bold: str = "**"
    italic: str = "*"
    strike: str = "~~"
    rule: str = "---"
    deepest_heading: int = 6  # 0: headings are bold
    schemes: tuple[str, ...] = ("http://", "https://", "mailto:")  # that the chat links to
    time: Callable[[Moment], str] | None = None  # None where the chat shows a time's words only
    link: Callable[[str, str], str] | None = None
    """Of a text and an address, where the chat reads no styles in it; None: ``[text](address)``."""
    block_escape: str = "\\"  # before what would begin a list or the like
    empty_line: str = ""  # what an empty line of a quotation has
    spaced: str = ""  # markers that a letter beside them would make text
    unstyled: re.Pattern[str] | None = None
    """What a text with a style may not have, where no backslash is read in it; None: it is read."""
    has_long_ticks: bool = True  # whether code may be between several backticks

    def literal(self, text: str) -> str:
        """A text that shows as it is, except at the beginning of a line."""
        return self.formats.sub(r"\\\g<0>", self.unpinged(text))

    def unpinged(self, text: str) -> str:
        return self.pings.sub(rf"\g<0>{INVISIBLE}", text)

    def code(self, text: str) -> str:
        return (self.pings_in_code or self.pings).sub(rf"\g<0>{INVISIBLE}", text)


def to_markdown(document: Document, dialect: Dialect) -> str:
    """``profile`` of a mention is the id in the chat; empty for text that notifies nobody."""
    return "\n\n".join(_block(block, dialect) for block in document)


def bounded(
    document: Document, dialect: Dialect, limit: int, size: Callable[[str], int] = len
) -> str:
    """At most ``limit`` of Markdown as ``size`` counts it, cut with a valid structure."""
    characters = min(limit, length(document))
    while size(text := to_markdown(cut(document, characters), dialect)) > limit:
        characters = min(characters - 1, characters * limit // size(text))
        if characters < _MIN_TEXT_LENGTH:
            words = shorten(to_text(document, links=False).strip(), limit // 4)
            return dialect.literal(words)
    return text


def line_of(inlines: Iterable[Inline], dialect: Dialect) -> str:
    """Inlines on one line."""
    return " ".join(filter(None, _lines(inlines, dialect)))


def _block(block: Block, dialect: Dialect) -> str:
    match block:
        case Paragraph(inlines):
            return "\n".join(_lines(inlines, dialect))
        case Heading(level, inlines):
            if dialect.deepest_heading:
                marker = "#" * min(level, dialect.deepest_heading)
                return f"{marker} {line_of(inlines, dialect)}"
            texts = (part for part in inlines if isinstance(part, Text))
            return line_of((replace(part, bold=True) for part in texts), dialect)
        case Quote(blocks):
            lines = to_markdown(blocks, dialect).split("\n")
            return "\n".join(f"> {line or dialect.empty_line}" for line in lines)
        case ListBlock(items, start):
            return "\n".join(_items(items, start, dialect))
        case CodeBlock(text):
            inner = dialect.code(text).replace("``", f"`{INVISIBLE}`")
            return f"```\n{inner.replace('``', f'`{INVISIBLE}`') or ' '}\n```"
        case Rule():
            return dialect.rule


def _items(items: Iterable[Document], start: int | None, dialect: Dialect) -> Iterator[str]:
    for number, item in enumerate(items, start or 0):
        marker = "- " if start is None else f"{number}. "
        text = "\n".join(_block(block, dialect) for block in item)
        yield marker + text.replace("\n", "\n" + " " * len(marker))


def _lines(inlines: Iterable[Inline], dialect: Dialect) -> list[str]:
    lines = [""]
    for is_break, run in groupby(inlines, lambda part: isinstance(part, LineBreak)):
        if is_break:
            lines += [""] * len(list(run))
        else:
            lines[-1] += _joined(_runs(run, dialect), dialect)
    return [_without_block_start(line.strip(f" {_THIN}"), dialect) for line in lines]


def _without_block_start(line: str, dialect: Dialect) -> str:
    """Text at the beginning of a line, which must not become a list or the like."""
    number = _NUMBER_PATTERN.match(line)
    position = number.end() if number else 0
    if not _BLOCK_START_PATTERN.match(line, position):
        return line
    # Not all dialects escape "=".
    literal = INVISIBLE if line[position] == "=" else dialect.block_escape
    return f"{line[:position]}{literal}{line[position:]}"


def _runs(inlines: Iterable[Inline], dialect: Dialect) -> Iterator[str]:
    for url, run in groupby(inlines, attrgetter("url")):
        parts = [part for part in run if isinstance(part, Text)]
        if not url:
            for part in parts:
                yield from _part(part, dialect)
        elif not url.lower().startswith(dialect.schemes):
            yield _joined((_styled(part, dialect) for part in parts), dialect)
        elif dialect.link:
            yield dialect.link("".join(part.text for part in parts).replace("\n", " "), url)
        elif "".join(part.text for part in parts) == url and _is_plain(url):
            yield _address(url, dialect)
        else:
            yield _link(_joined((_styled(part, dialect) for part in parts), dialect), url)


def _joined(parts: Iterable[str], dialect: Dialect) -> str:
    """Markers of styles that touch would be read as one."""
    text = ""
    for part in parts:
        if text and part and _touch(text[-1], part[0], dialect.spaced):
            text += INVISIBLE
        is_spaced = text.endswith(" ") and _MENTION_PATTERN.match(part)
        text += part[1:] if is_spaced else part
    return text


def _touch(end: str, start: str, spaced: str) -> bool:
    if end == start:
        return end in "*_~`"
    return (end in spaced and start.isalnum()) or (start in spaced and end.isalnum())


def _part(part: Text, dialect: Dialect) -> Iterator[str]:
    """The text with each address in it as a link to itself."""
    position = 0
    for start, end, address in () if part.code or part.profile else addresses(part.text):
        if address:
            before = part.text[position:start]
            yield _styled(replace(part, text=before), dialect) if before else ""
            yield _address(address, dialect)
            position = end
    if rest := part.text[position:]:
        yield _styled(replace(part, text=rest), dialect)


def _is_plain(url: str) -> bool:
    """Whether the address can be a link without a text."""
    return next(addresses(url), (0, 0, ""))[2] == url


def _address(url: str, dialect: Dialect) -> str:
    """In an address "%40" is the same as "@", which would ping."""
    return dialect.link(url, url) if dialect.link else f"<{url.replace('@', '%40')}>"


def _link(inner: str, url: str) -> str:
    """Brackets in a link's text have to be in pairs, as dialects differ in escaped ones."""
    if not _in_pairs(inner):
        inner = inner.replace("\\[", "(").replace("\\]", ")")
    url = url.replace("(", "%28").replace(")", "%29").replace("@", "%40")
    return f"[{inner or INVISIBLE}]({url})"


def _in_pairs(text: str) -> bool:
    depth = 0
    for character in text:
        depth += (character == "[") - (character == "]")
        if not 0 <= depth <= 1:
            return False
    return depth == 0


def _styled(part: Text, dialect: Dialect) -> str:
    if part.profile:
        return dialect.mention(part.profile)
    if part.moment and dialect.time:
        return dialect.time(part.moment)
    text = part.text.replace("\n", " ")
    inner = text.strip()
    if not inner:
        return text
    is_code = part.code and (dialect.has_long_ticks or "`" not in inner)
    shown = _code(inner, dialect) if is_code else dialect.literal(inner)
    styles = (
        (part.strike, dialect.strike),
        (part.italic, dialect.italic),
        (part.bold, dialect.bold),
    )
    marks = [mark for has_style, mark in styles if has_style and mark]
    if marks and dialect.unstyled:
        if is_code or dialect.unstyled.search(inner):
            marks = []
        else:
            shown = dialect.unpinged(inner)
    if marks:
        marked = f"{''.join(reversed(marks))}{shown}{''.join(marks)}"
        # Beside a letter a marker would not close or open if punctuation is on its other side, such
        # as a backtick of code, or the marker of another style.
        within = marked.strip(marks[-1][0])
        before, after = ("" if end.isalnum() else _THIN for end in (within[0], within[-1]))
        shown = f"{before}{marked}{after}"
    left, right = len(text) - len(text.lstrip()), len(text) - len(text.rstrip())
    return " " * left + shown + " " * right


def _code(text: str, dialect: Dialect) -> str:
    """Between more backticks than the text has in a row: it has no escapes."""
    ticks = "`" * (1 + max(map(len, _TICKS_PATTERN.findall(text)), default=0))
    space = " " if text.startswith("`") or text.endswith("`") else ""
    return f"{ticks}{space}{dialect.code(text)}{space}{ticks}"
