"""A message as title and plain text, in which no service finds anything to format, ping or link.

apprise passes a text on to services that read it in some hundred dialects, and does not say in
which. So the text has none of the characters that format in any of them: similar ones replace
those that format in pairs around a text, as no invisible character stops Markdown from reading
them. An invisible character follows those that ping, name or begin something.
"""

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import groupby
from typing import NamedTuple

from relay.channels.addresses import addresses
from relay.channels.apprise.process import AppriseService
from relay.channels.errors import one_line
from relay.channels.markdown import INVISIBLE
from relay.channels.plain import INSIDE, SEPARATOR, footer_texts, words_in
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
    parse,
    to_text,
    with_dates,
)
from relay.messages.message import Message
from relay.messages.shorten import shorten

# ntfy makes a file of what is longer: https://docs.ntfy.sh/publish/#limitations
_MAX_BODY_BYTES = 4000
_MAX_JSON_LENGTH = 7600  # of title and body; apprise itself does the same with more than 8,000
_MAX_TITLE_LENGTH = 200
_SIMILAR = str.maketrans("*`~<>[]", "\u2217\u02cb\u223c\u2039\u203a\uff3b\uff3d")
_UNDERSCORES_PATTERN = re.compile(r"(?<![^\W_])_+|_+(?![^\W_])")  # not within a word
_PINGS_PATTERN = re.compile(
    r"[@#|\\]"
    r"|\$(?=\$)|&(?=#?\w+;)|=(?==)"
    r"|:(?=//|[\w+-]+:)"  # a scheme, and an emoji's name
    r"|!(?=\w+\()"  # Zulip's avatars
    r"|\((?=(?:met|rol|chn|ins|spl|emj|font|size|color|pad|files)\))"  # KOOK's "(met)all(met)"
    r"|(?<![\w:/.])/(?=\w)|(?<=\b[ur])/(?=\w)"  # a bot's commands, and Reddit's people
)
# What makes a list, a heading, a rule, a table or code at the beginning of a line.
_LINE_START_PATTERN = re.compile(r"[#>+=|/:-]|\d{1,9}[.)]|\s|h\d\.|bq\.")
_WEB_SCHEMES = ("http://", "https://")
_CONTROLS_PATTERN = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\ud800-\udfff]")
_IN_ADDRESS_PATTERN = re.compile(rf"[@*~`\[\]<>|]|{_UNDERSCORES_PATTERN.pattern}")


class AppriseText(NamedTuple):
    title: str  # empty where the body is all
    body: str


class _Room(NamedTuple):
    """What the text between title and address may have."""

    characters: int
    bytes: int
    json: int  # characters, with all beyond ASCII escaped

    def excess(self, text: str) -> float:
        """How many times as long the text is as it may be."""
        sizes = zip((len(text), len(text.encode()), len(json.dumps(text))), self, strict=True)
        return max(size / limit for size, limit in sizes)


def render(message: Message, service: AppriseService) -> AppriseText:
    title, address, room = _around(message, service)
    document, links = _document(message), not message.url
    characters = min(room.characters, length(document))
    while (excess := room.excess(text := _text(cut(document, characters), links=links))) > 1:
        characters = min(characters - 1, int(characters / excess))
    body = "\n\n".join(filter(None, (text, address)))
    return AppriseText(title, body) if body else AppriseText("", title)


def fits(message: Message, service: AppriseService) -> bool:
    """Whether ``render`` sends all text."""
    _, _, room = _around(message, service)
    return room.excess(_text(_document(message), links=not message.url)) <= 1


def literal(text: str) -> str:
    """The text as each service shows it; web addresses stay as they are."""
    text = _CONTROLS_PATTERN.sub(" ", text)
    parts, position = [], 0
    for start, end, address in addresses(text):
        if address:
            parts += [_neutral(text[position:start]), _address(address)]
            position = end
    return "".join([*parts, _neutral(text[position:])])


def _neutral(text: str) -> str:
    text = _UNDERSCORES_PATTERN.sub(lambda match: "\uff3f" * len(match[0]), text)
    return _PINGS_PATTERN.sub(rf"\g<0>{INVISIBLE}", text.translate(_SIMILAR))


def _address(url: str) -> str:
    """The same address in characters that no service takes for a format or a ping."""
    return _IN_ADDRESS_PATTERN.sub(
        lambda match: "".join(f"%{ord(character):02X}" for character in match[0]), url
    )


def _around(message: Message, service: AppriseService) -> tuple[str, str, _Room]:
    """Title, the address in the last line, and the room between them."""
    limit = min(service.title_limit or service.body_limit // 3, _MAX_TITLE_LENGTH)
    text, characters = one_line(message.title) or "Penpot", limit
    while len(title := literal(shorten(text, characters))) > limit:
        characters -= len(title) - limit
    # It becomes the body's first line where the service has no titles.
    above = f"{title}\r\n" if service.title_limit == 0 else ""
    url = message.url
    address = _address(url) if url.startswith(_WEB_SCHEMES) else ""
    if len(above) + len(address) > service.body_limit * 2 // 3:
        address = ""  # a text message of a phone is shorter than most addresses
    rest = f"{above}\n\n{address}"
    used = len(rest), len(rest.encode()), len(json.dumps(f"{title}{rest}"))
    limits = service.body_limit, _MAX_BODY_BYTES, _MAX_JSON_LENGTH
    return title, address, _Room(*(limit - size for limit, size in zip(limits, used, strict=True)))


def _document(message: Message) -> Document:
    """Without a first line that says no more than the title, and the place below."""
    content = message.content
    body, footer = (with_dates(parse(text)) for text in (content.body, content.footer))
    place = INSIDE.join(message.place)
    known = words_in(message.title) | words_in(place)
    is_line = bool(body) and isinstance(body[0], Paragraph | Heading)
    said = words_in(to_text(body[:1], links=False)) if is_line else set()
    if said and said <= known:
        body = body[1:]
        if not words_in(place) <= words_in(message.title):
            body = (*body, Paragraph((Text(place),)))
    texts = [text for text in footer_texts(message, footer) if not words_in(text) <= known]
    return (*body, Paragraph((Text(SEPARATOR.join(texts)),))) if texts else body


def _text(document: Document, *, links: bool) -> str:
    return to_text(tuple(map(_literal_block, document)), links=links).strip()


def _literal_block(block: Block) -> Block:
    match block:
        case Paragraph(inlines) | Heading(_, inlines):
            return Paragraph(tuple(_literal_inlines(inlines)))
        case CodeBlock(text):
            return Paragraph((Text("\n".join(map(_literal_line, text.split("\n")))),))
        case Quote(blocks):
            return Quote(tuple(map(_literal_block, blocks)))
        case ListBlock(items, start):
            return ListBlock(tuple(tuple(map(_literal_block, item)) for item in items), start)
        case Rule():
            return block


def _literal_line(text: str) -> str:
    return (INVISIBLE if _LINE_START_PATTERN.match(text) else "") + literal(text)


def _literal_inlines(inlines: Iterable[Inline]) -> Iterator[Inline]:
    for is_break, run in groupby(inlines, lambda part: isinstance(part, LineBreak)):
        parts = list(run)
        if is_break:
            yield from parts
            continue
        if _LINE_START_PATTERN.match("".join(part.text for part in parts)):
            yield Text(INVISIBLE)
        for part in parts:
            if isinstance(part, Text):
                url = _address(part.url) if part.url.startswith(_WEB_SCHEMES) else ""
                text = url if part.text == part.url else literal(part.text)
                yield replace(part, text=text, url=url)
