"""A message as Slack's blocks.

Where Slack accepts no ``rich_text`` (the notification's ``text``, the ``context`` block of the
footer), ``&``, ``<`` and ``>`` are escaped.
"""

import json
import re
from collections.abc import Callable, Mapping
from itertools import groupby
from operator import attrgetter
from types import MappingProxyType
from typing import Any
from urllib.parse import quote

from relay.channels.addresses import addresses
from relay.channels.slack.rich_text import (
    DATE_FORMATS,
    Json,
    group,
    joined,
    text_element,
    to_blocks,
)
from relay.messages.document import (
    Document,
    Quote,
    Text,
    cut,
    length,
    parse,
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
from relay.messages.mentions import add_missing_mentions, with_ids
from relay.messages.message import Author, Message
from relay.messages.shorten import shorten

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
_LONG_USER_ID = "U0123456789AB"

_PLAIN_WORDS_PATTERN = re.compile(r"[^\W_]([^\W_]|[ .,()/\u2026\u2013-])*")
_LINK_SYNTAX_PATTERN = re.compile(r"[<>|\s]")
_DATE_SYNTAX_PATTERN = re.compile(r"[<>&|^\s]+")

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
    while not _fit(blocks := [*to_blocks(cut(document, limit)), *footer]):
        # Too much structure for its text: half of the text has about half of the structure.
        limit //= 2
        if limit < 100:
            plain = shorten(to_text(document, links=False).strip(), _MAX_TEXT_LENGTH // 2)
            blocks = [
                group("rich_text", [group("rich_text_section", [text_element(plain or "…")])])
            ]
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
    return _fit([*to_blocks(document), *_footer(message.content.footer)])


def _with_user_ids(message: Message, user_ids: Mapping[str, str]) -> Document:
    """The body, in which ``profile`` holds Slack user ids only."""
    pinged = [person for person in message.mentions if person.id in user_ids]
    return with_ids(add_missing_mentions(parse(message.content.body), pinged), user_ids)


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
    more = [group("rich_text", [group("rich_text_section", users)])] if users else []
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
    for start, end, _ in addresses(text):
        parts += [_defused_words(text[position:start]), text[start:end].replace("@", "%40")]
        position = end
    parts.append(_defused_words(text[position:]))
    text = ENTITY_PATTERN.sub("&amp;", "".join(parts))
    return text.replace("<", "&lt;").replace(">", "&gt;")


def _defused_words(text: str) -> str:
    text = _MARKDOWN_PATTERN.sub(r"\\\g<0>", text)
    return _PING_OR_LINK_PATTERN.sub(rf"\g<0>{_INVISIBLE}", text)


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
    full size. A mention in it is text, and a time is a date of ``mrkdwn``:
    https://docs.slack.dev/messaging/formatting-message-text#date-formatting
    """
    document = with_ids(cut(parse(markdown), _MAX_FOOTER_LENGTH), {})
    elements: list[Json] = []
    for (url, moment), run in groupby(joined(document), attrgetter("url", "moment")):
        text = "".join(part.text if isinstance(part, Text) else " " for part in run).strip()
        if url and ("&" in url or not _PLAIN_WORDS_PATTERN.fullmatch(text)):
            return list(to_blocks(document))
        if url:
            url = _LINK_SYNTAX_PATTERN.sub(lambda match: quote(match[0], safe=""), url)
            elements.append({"type": "mrkdwn", "text": f"<{url}|{text}>"})
        elif moment and text:
            fallback = _DATE_SYNTAX_PATTERN.sub(" ", text)
            date = f"<!date^{moment.at}^{DATE_FORMATS[moment.form]}|{fallback}>"
            elements.append({"type": "mrkdwn", "text": date})
        elif text:
            elements.append({"type": "plain_text", "text": escape(text), "emoji": False})
    if len(elements) > _MAX_CONTEXT_COUNT:
        return list(to_blocks(document))
    return [{"type": "context", "elements": elements}] if elements else []
