"""A document as Slack's blocks.

Text elements of ``rich_text`` are literal, so a comment that contains ``<!channel>`` can't notify
anybody, and an address in it is no link: it becomes a ``link`` element. Where Slack accepts no
``rich_text`` (the notification's ``text``, the ``context`` block of the footer), ``&``, ``<`` and
``>`` are escaped.

https://docs.slack.dev/reference/block-kit/blocks/rich-text-block
https://docs.slack.dev/reference/block-kit/block-elements/link-element
"""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from itertools import chain, groupby
from types import MappingProxyType
from typing import Any, TypeAlias
from urllib.parse import quote

from relay.config.types import web_address
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
    add_missing_mentions,
    cut,
    length,
    parse,
    replace_mentions,
    shorten,
    to_text,
)
from relay.messages.environments import OverrideFormat
from relay.messages.escape import (
    ENTITY_PATTERN,
    clean,
    collapse,
    one_line,
    without_surrogates,
)
from relay.messages.locale import gettext
from relay.messages.message import Author, Message

Json: TypeAlias = dict[str, Any]

# Slack documents at most 50 blocks, and 3,000 characters in the text of a context block. All blocks
# together have an undocumented limit, for which Slack counts the text and part of the structure:
# msg_blocks_too_long was the answer to 13,172 characters of text with one divider
# (github.com/slackapi/bolt-js/issues/2509), and to JSON of 17,694 characters with 11,341 of text,
# while JSON of 15,561 with 9,597 of text was accepted (issues/2867). So the whole JSON, without
# spaces and with its text escaped, is kept below the smallest of what was refused.
_MAX_TEXT_LENGTH = 3000
_MAX_FOOTER_LENGTH = 300
_MAX_TITLE_LENGTH = 300
_MAX_NOTICE_LENGTH = 400
_MAX_SENDER_LENGTH = 60  # so that what follows the name is never cut off
_MAX_ALT_TEXT_LENGTH = 2000
_MAX_BLOCK_COUNT = 50
_MAX_JSON_LENGTH = 13_000
_MAX_OVERRIDE_LENGTH = 20_000  # of a template's JSON, which its preview also has to show
_MAX_CONTEXT_COUNT = 10
_MAX_INDENT_DEPTH = 8
_LONG_USER_ID = "U0123456789AB"

_STYLES = ("bold", "italic", "strike", "code")
_PLAIN_WORDS_PATTERN = re.compile(r"[^\W_]([^\W_]|[ .,()/\u2026\u2013-])*")
_LINK_SYNTAX_PATTERN = re.compile(r"[<>|\s]")
# Not the start of a longer address that "…" cut off. Brackets are allowed only around an IPv6
# address; punctuation beyond ASCII, quotation marks and invisible characters end an address.
_ADDRESS_PATTERN = re.compile(
    r"(?<![a-z0-9+.-])https?://(?:\[[0-9a-f:.]+\])?"
    r"[^\x00-\x20<>\"`{|}\\^\[\]\x7f-\xa0\xab\xad\xbb\u1680\u2000-\u206f\u3000-\u303f\ufeff"
    r"\uff01-\uff0f\uff1a-\uff20\uff3b-\uff40\uff5b-\uff65]++(?!\u2026)",
    re.ASCII | re.IGNORECASE,
)
_CLOSING_PUNCTUATION = "?!.,:;*_~'"  # as GitHub's Markdown, which leaves it out at the end

# What has a meaning in the Markdown of Mattermost, Rocket.Chat and the like: emphasis, code,
# headings, and the lines that make a heading or a table of the line before.
_MARKDOWN_PATTERN = re.compile(
    r"[`*]|~(?=~)|(?<=~)~|(?<![^\W_])_|_(?![^\W_])|\\(?=[!-/:-@\[-`{-~])|^#(?=[# ])"
    r"|(?<=[^\n]\n)[-=|:](?=[-=|: ]*$)",
    re.MULTILINE,
)
_INVISIBLE = "\u200b"
_PING_OR_LINK_PATTERN = re.compile(r"@|\](?=[(\[:])")


def escape(text: str) -> str:
    """So that no name can ping or link in ``mrkdwn`` and ``plain_text``.

    https://docs.slack.dev/messaging/formatting-message-text#escaping
    """
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def unescape(text: str) -> str:
    return text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")


def render(
    message: Message,
    user_ids: Mapping[str, str] = MappingProxyType({}),
    image: Json | None = None,
) -> Json:
    """The ``text`` and ``blocks`` of a message. ``user_ids`` maps Penpot profile ids to the Slack
    users to notify; ``image`` is the source of a picture before the footer:
    https://docs.slack.dev/reference/block-kit/composition-objects/slack-file-object
    """
    document = _with_user_ids(message, user_ids)
    footer = _footer(message.content.footer)
    if image is not None:
        alt_text = (message.file or gettext("Thumbnail"))[:_MAX_ALT_TEXT_LENGTH]
        footer = [{"type": "image", "alt_text": alt_text, **image}, *footer]
    limit = min(_MAX_TEXT_LENGTH, length(document))
    while not _fit(blocks := [*_blocks(cut(document, limit)), *footer]):
        # Too much structure for its text: half of the text has about half of the structure.
        limit //= 2
        if limit < 100:
            plain = shorten(to_text(document, links=False).strip(), _MAX_TEXT_LENGTH // 2)
            blocks = [_group("rich_text", [_group("rich_text_section", [_text(plain or "…")])])]
            break
    text = _notification(message)
    return {"text": text, "blocks": blocks} if blocks else {"text": text}


def fits(message: Message, *, has_blocks: bool = True) -> bool:
    """Whether ``render`` sends all text, also where Slack knows everybody who is mentioned;
    without ``has_blocks`` also ``full_text``."""
    user_ids = {person.id: _LONG_USER_ID for person in message.mentions}
    document = _with_user_ids(message, user_ids)
    footer = parse(message.content.footer)
    if length(document) > _MAX_TEXT_LENGTH or length(footer) > _MAX_FOOTER_LENGTH:
        return False
    if not has_blocks and len(defused(_title_and_words(message)[1])) > _MAX_TEXT_LENGTH:
        return False
    return _fit([*_blocks(document), *_footer(message.content.footer)])


def _with_user_ids(message: Message, user_ids: Mapping[str, str]) -> Document:
    """The body, in which ``profile`` holds Slack user ids only."""
    pinged = [person for person in message.mentions if person.id in user_ids]
    return replace_mentions(
        add_missing_mentions(parse(message.content.body), pinged),
        lambda part: replace(part, profile=user_ids.get(part.profile, "")),
    )


def override(message: Message, user_ids: Mapping[str, str]) -> Json:
    """As ``render``, from the override's Block Kit JSON. An additional block mentions the users of
    ``user_ids`` that the JSON does not. Raises ``ValueError`` where the JSON is invalid."""
    try:
        text = json.dumps(json.loads(message.content.override), ensure_ascii=False)
        value = json.loads(without_surrogates(text))
    except RecursionError:
        raise ValueError("is nested too deeply") from None
    blocks, text = parse_block_kit(value)
    absent = [user for user in user_ids.values() if f'"{user}"' not in message.content.override]
    users = [{"type": "user", "user_id": user} for user in absent]
    more = [_group("rich_text", [_group("rich_text_section", users)])] if users else []
    return {"text": text or _notification(message), "blocks": [*blocks, *more]}


def parse_block_kit(value: object) -> tuple[list[Any], str]:
    """The blocks and the notification text (may be empty) of a template's JSON.

    Raises ``ValueError`` for any other form.
    """
    match {"blocks": value} if isinstance(value, list) else value:
        case {"blocks": list(blocks), **others} if not others.keys() - {"text"}:
            if len(blocks) > _MAX_BLOCK_COUNT:
                raise ValueError(f"has more than {_MAX_BLOCK_COUNT} blocks")
            if len(json.dumps(blocks, ensure_ascii=False)) > _MAX_OVERRIDE_LENGTH:
                raise ValueError(f"has more than {_MAX_OVERRIDE_LENGTH:,} characters")
            text = others.get("text") or ""
            if isinstance(text, str):
                return blocks, text
    raise ValueError('must be a list of blocks or {"blocks": […], "text": "…"}')


FORMAT = OverrideFormat(
    ".slack.json.j2", {character: escape(character) for character in "&<>"}, parse_block_kit
)
"""Of the templates for Slack alone."""


def full_text(message: Message, literal: Callable[[str], str] = escape) -> str:
    """The message as plain text: title, empty line, words, link. ``literal`` makes a text harmless
    where it is shown."""
    title, words = _title_and_words(message)
    title = shorten(collapse(title).strip(), _MAX_TITLE_LENGTH) or "Penpot"
    limit = _MAX_TEXT_LENGTH
    while len(text := literal(shorten(words, limit))) > _MAX_TEXT_LENGTH:
        limit //= 2
    rest = "\n".join(filter(None, (text, literal(message.url))))
    return "\n\n".join(filter(None, (literal(title), rest)))


def with_full_text(message: Message, content: Json) -> Json:
    """The ``text`` and ``blocks`` for a server that may show the text only."""
    return content | {"text": full_text(message, defused)}


def _title_and_words(message: Message) -> tuple[str, str]:
    """The words are the body without what its beginning says again: the title itself. Where a
    quotation follows, the beginning is the title: it says who wrote it, and on which page."""
    body, title = parse(message.content.body), message.title
    beginning = to_text(body[:1], links=False)
    if isinstance(next(iter(body[1:2]), None), Quote):
        title, body = beginning, body[1:]
    elif _rest(title, beginning) == "":
        body = body[1:]
    text = to_text(body, links=not message.url, quoted="").strip()
    rest = _rest(title, text)
    if rest is None or rest[:1] not in tuple(".:,"):
        return title, text
    rest = rest.lstrip(".:, ")
    return title, rest[:1].upper() + rest[1:]


def _rest(title: str, text: str) -> str | None:
    """What follows the title, which an emoji may precede; None for another beginning."""
    before, title, rest = text.partition(title) if title else (text, "", "")
    return rest if title and not any(map(str.isalnum, before)) else None


def defused(text: str) -> str:
    """``text`` for a server that shows ``text`` as Markdown and links every mention in it:
    https://developers.mattermost.com/integrate/slash-commands/slack#known-slack-compatibility-issues

    An invisible character follows each "@", and separates the parts of a link, so that no
    address hides behind another text. In an address "%40" is the same as "@".
    """
    parts, position = [], 0
    for start, end, _ in _addresses(text):
        parts += [_defused_words(text[position:start]), text[start:end].replace("@", "%40")]
        position = end
    parts.append(_defused_words(text[position:]))
    text = ENTITY_PATTERN.sub("&amp;", "".join(parts))
    return text.replace("<", "&lt;").replace(">", "&gt;")


def _defused_words(text: str) -> str:
    text = _MARKDOWN_PATTERN.sub(r"\\\g<0>", text)
    return _PING_OR_LINK_PATTERN.sub(rf"\g<0>{_INVISIBLE}", text)


def _addresses(text: str) -> Iterator[tuple[int, int, str]]:
    """Start and end of each web address in the text, without the punctuation after it, and the
    address itself. It is empty if it must not become a link: one with a user's name in front of the
    host can look like another one."""
    for match in _ADDRESS_PATTERN.finditer(text):
        address, end = match[0], len(match[0])
        open_brackets = address.count("(") - address.count(")")
        while address[end - 1] in _CLOSING_PUNCTUATION or (
            address[end - 1] == ")" and open_brackets < 0
        ):
            open_brackets += address[end - 1] == ")"
            end -= 1
        address = address[:end]
        parts = web_address(address)
        is_plain = parts is not None and "@" not in parts.netloc
        yield match.start(), match.start() + end, address if is_plain else ""


def sender_name(author: Author) -> str:
    """A comment's author as the sender of its message."""
    return f"{clean(shorten(one_line(author.name), _MAX_SENDER_LENGTH))} · Penpot"


def _notification(message: Message) -> str:
    return escape(shorten(message.notice.strip(), _MAX_NOTICE_LENGTH)) or "Penpot"


def _fit(blocks: list[Json]) -> bool:
    text = escape(json.dumps(blocks, ensure_ascii=False, separators=(",", ":")))
    return len(blocks) <= _MAX_BLOCK_COUNT and len(text) <= _MAX_JSON_LENGTH


def _footer(markdown: str) -> list[Json]:
    """A context block, which Slack shows small and grey.

    It accepts no ``rich_text``. Its ``plain_text`` is literal but has no links, its ``mrkdwn`` has
    links but also formatting: text becomes ``plain_text``, and a link becomes ``mrkdwn`` if its
    text contains no formatting characters and its address no ``&``, which Slack for iOS opens as
    ``&amp;`` (github.com/slackapi/bolt-js/issues/2103). Otherwise the footer is ``rich_text``, in
    full size. A mention in it is text.
    """
    document = cut(parse(markdown), _MAX_FOOTER_LENGTH)
    document = replace_mentions(document, lambda part: replace(part, profile=""))
    elements: list[Json] = []
    runs = groupby(_joined(document), lambda part: part.url if isinstance(part, Text) else "")
    for url, run in runs:
        text = "".join(part.text if isinstance(part, Text) else " " for part in run).strip()
        if url and ("&" in url or not _PLAIN_WORDS_PATTERN.fullmatch(text)):
            return list(_blocks(document))
        if url:
            url = _LINK_SYNTAX_PATTERN.sub(lambda match: quote(match[0], safe=""), url)
            elements.append({"type": "mrkdwn", "text": f"<{url}|{text}>"})
        elif text:
            elements.append({"type": "plain_text", "text": escape(text), "emoji": False})
    if len(elements) > _MAX_CONTEXT_COUNT:
        return list(_blocks(document))
    return [{"type": "context", "elements": elements}] if elements else []


def _blocks(document: Document) -> Iterator[Json]:
    """One ``rich_text`` per part between the document's rules, which become dividers."""
    for is_rule, blocks in groupby(document, lambda block: isinstance(block, Rule)):
        if is_rule:
            yield from ({"type": "divider"} for _ in blocks)
        else:
            elements: list[Json] = []
            for block in blocks:
                _add(elements, block)
            yield _group("rich_text", elements)


def _add(elements: list[Json], block: Block) -> None:
    match block:
        case Quote(blocks):
            elements.append(_group("rich_text_quote", _inlines(_joined(blocks, spaced=True))))
        case ListBlock():
            _add_list(elements, block, 0)
        case CodeBlock(text):
            elements.append(_group("rich_text_preformatted", [_text(text or " ")]))
        case _:
            inlines = _inlines(_flat(block))
            if elements and elements[-1]["type"] == "rich_text_section":
                # Slack shows adjacent sections without the space that paragraphs need.
                elements[-1]["elements"] += [_text("\n\n"), *inlines]
            else:
                elements.append(_group("rich_text_section", inlines))


def _add_list(elements: list[Json], block: ListBlock, depth: int) -> None:
    """Slack has no nested lists: an inner list follows the outer one with a deeper indent."""
    is_new = True
    for number, item in enumerate(block.items, block.start or 0):
        if is_new:
            style = "bullet" if block.start is None else "ordered"
            elements.append(_group("rich_text_list", []) | {"style": style})
            if depth:
                elements[-1]["indent"] = min(depth, _MAX_INDENT_DEPTH)
            if block.start is not None and number > 1:
                elements[-1]["offset"] = number - 1
        own = tuple(part for part in item if not isinstance(part, ListBlock))
        elements[-1]["elements"].append(
            _group("rich_text_section", _inlines(_joined(own)) or [_text(" ")])
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


def _joined(blocks: Document, *, spaced: bool = False) -> Iterator[Inline]:
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
        element = _text(inline.text)
        if inline.url:
            element = {"type": "link", "url": inline.url, "text": inline.text}
        elif inline.profile:
            element = {"type": "user", "user_id": inline.profile}
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
    is_literal = inline.profile or (inline.code and not inline.url)
    for start, end, address in () if is_literal else _addresses(inline.text):
        if start > position:
            yield replace(inline, text=inline.text[position:start])
        yield replace(inline, text=inline.text[start:end], url=address)
        position = end
    if position < len(inline.text):
        yield replace(inline, text=inline.text[position:])


def _text(text: str) -> Json:
    return {"type": "text", "text": text}


def _group(kind: str, elements: list[Json]) -> Json:
    return {"type": kind, "elements": elements}
