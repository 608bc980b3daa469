"""Preview of a Slack message: the blocks that are posted, styled like Slack.

https://docs.slack.dev/reference/block-kit/blocks. Blocks may come from a user's template and
have any content: an unknown block becomes a box with its type, never an error.
"""

import json
import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, Template, Undefined
from markupsafe import Markup

from relay.channels.base import ReplyTo
from relay.channels.preview import (
    LINK_ATTRIBUTES,
    MessagePreview,
    image,
    link,
    local_time,
    posted_at,
    wrapped,
)
from relay.channels.slack import blocks as slack_blocks
from relay.channels.slack.blocks import unescape
from relay.channels.slack.settings import SlackSettings
from relay.messages.document import parse
from relay.messages.html import to_html
from relay.messages.message import Message

# A style character must touch the text inside, and no word character outside.
_MRKDWN_PATTERN = re.compile(
    r"(?P<quote>(?:^(?:&gt;|>).*(?:\n|\Z))+)"
    r"|```\n?(?P<pre>(?s:.+?))```"
    r"|`(?P<code>[^`\n]+)`"
    r"|<(?P<angle>[^<>\n]+)>"
    r"|(?<![\w*])\*(?=\S)(?P<b>[^*`\n]+)(?<=\S)\*(?![\w*])"
    r"|(?<!\w)_(?=\S)(?P<i>[^_`\n]+)(?<=\S)_(?!\w)"
    r"|(?<![\w~])~(?=\S)(?P<s>[^~`\n]+)(?<=\S)~(?![\w~])"
    r"|(?P<bare>https?://[^\s<>|]+)",
    re.MULTILINE,
)
_QUOTE_PREFIX_PATTERN = re.compile(r"^(?:&gt;|>) ?", re.MULTILINE)
_SECONDS_PATTERN = re.compile(r"\d{1,12}", re.ASCII)
_TAGS = (("bold", "b"), ("italic", "i"), ("strike", "s"), ("underline", "u"), ("code", "code"))


def mrkdwn(
    text: str,
    names: Mapping[str, str],
    *,
    verbatim: bool = False,
    span: tuple[int, int] | None = None,
) -> Markup:
    """``names``: people's names by Slack user id. ``verbatim``: bare URLs do not become links.
    ``span``: the part of the text to render."""
    position, end = span or (0, len(text))
    parts = []
    for match in _MRKDWN_PATTERN.finditer(text, position, end):
        parts += [_literal(text[position : match.start()]), _formatted(match, names, verbatim)]
        position = match.end()
    return _joined([*parts, _literal(text[position:end])])


def _formatted(found: re.Match[str], names: Mapping[str, str], verbatim: bool) -> Markup:
    kind = str(found.lastgroup)
    inner = found[kind]
    match kind:
        case "quote":
            lines = _QUOTE_PREFIX_PATTERN.sub("", inner).removesuffix("\n")
            return _box("quote", mrkdwn(lines, names, verbatim=verbatim))
        case "pre" | "code":
            return wrapped(kind, unescape(inner))
        case "angle":
            return _angle(inner, names)
        case "bare":
            return _literal(inner) if verbatim else link(unescape(inner), unescape(inner))
    return wrapped(kind, mrkdwn(found.string, names, verbatim=verbatim, span=found.span(kind)))


def _literal(text: str) -> Markup:
    return Markup("{}").format(unescape(text))


def _angle(inner: str, names: Mapping[str, str]) -> Markup:
    """The content of ``<…>``: a link, a mention or a date."""
    target, _, words = map(unescape, inner.partition("|"))
    match target[:1]:
        case "@":
            return _mention("@", words or names.get(target[1:], target[1:]))
        case "#":
            return _mention("#", words or target[1:])
        case "!" if target.startswith("!date^"):
            _, at, form, url = [*target.split("^", 3), "", ""][:4]
            seconds = int(at) if _SECONDS_PATTERN.fullmatch(at) else None
            return _date(seconds, form, words, url)
        case "!":
            return _mention("@", words.removeprefix("@") or target[1:])
    return link(target, words or target)


def preview(message: Message, thread: ReplyTo | None, settings: SlackSettings) -> MessagePreview:
    """Everyone with a Slack id, or an e-mail address to find it by, is pinged."""
    sender = "Penpot"
    if message.author is not None and settings.shows_author:
        sender = slack_blocks.sender_name(message.author)
        message = message.by_author()
    people = [who for who in message.mentions if who.address("slack") or who.email]
    pings = {who.id: who.address("slack") or who.id for who in people}
    names = {pings[who.id]: who.name or "someone" for who in people}
    arguments, note = None, ""
    if message.content.override:
        try:
            arguments = slack_blocks.override(message, pings)
        except ValueError as error:
            note = f"Slack gets the built-in message: the template's JSON {error}"
    if arguments is None:
        file = {"slack_file": {"id": "F0000000000"}} if message.picture and not note else None
        arguments = slack_blocks.render(message, pings, file)
    html = posted(draw(arguments, names), posted_at(message.at), sender)
    title, text = unescape(arguments["text"]), ""
    if settings.other_host:
        arguments = slack_blocks.with_full_text(message, arguments)
        text = arguments["text"]
    if sender != "Penpot":
        arguments = {"username": sender} | arguments
    source = json.dumps(arguments, indent=2, ensure_ascii=False)
    return MessagePreview(html, source, title, text, notifies=True, note=note)


def posted(blocks: Markup, time: Markup, sender: str = "Penpot") -> Markup:
    return Markup(
        '<article class="preview preview-slack">'
        '<span class="preview-icon" aria-hidden="true">{}</span>'
        '<div class="preview-who"><b>{}</b> <span class="preview-app">APP</span> '
        '<span class="preview-time">{}</span></div>{}</article>'
    ).format(sender[:1], sender, time, blocks)


def draw(arguments: Mapping[str, Any], names: Mapping[str, str]) -> Markup:
    """The ``blocks`` of a message, or its ``text`` without any. ``names``: people's names by Slack
    user id. A picture is a labelled box."""
    blocks = arguments.get("blocks")
    if not isinstance(blocks, list) or not blocks:
        blocks = [
            {"type": "section", "text": {"type": "mrkdwn", "text": arguments.get("text", "")}}
        ]
    macros: Any = _template().make_module({"names": names})
    try:
        return Markup(macros.blocks(blocks))  # noqa: S704 - escaped there
    except RecursionError:
        return Markup(macros.unknown("block", {"type": "nested too deeply"}))  # noqa: S704 - same


class _JsonEnvironment(Environment):
    """For values of any JSON: what is not there, also because of another type, is empty."""

    def getattr(self, obj: Any, attribute: str) -> Any:
        return self.getitem(obj, attribute)

    def getitem(self, obj: Any, argument: Any) -> Any:
        if isinstance(obj, Mapping) and isinstance(argument, str) and argument in obj:
            return obj[argument]
        is_json = obj is None or isinstance(obj, Mapping | str | list | int | float | Undefined)
        return Undefined() if is_json else super().getattr(obj, argument)


@cache
def _template() -> Template:
    environment = _JsonEnvironment(
        loader=FileSystemLoader(Path(__file__).parent), autoescape=True, trim_blocks=True
    )
    environment.globals |= {"image": image, "link": link, "mention": _mention, "mrkdwn": mrkdwn}
    environment.globals |= {"date": _date, "tags": _TAGS}
    environment.filters |= {
        "items": lambda value: value if isinstance(value, list) else [],
        "markdown": _markdown,
        "unescape": unescape,
    }
    return environment.get_template("preview.html")


def _markdown(text: object) -> Markup:
    html = to_html(parse(str(text)))  # in which "<" is escaped, also in attributes
    return Markup(html.replace("<a ", f"<a {LINK_ATTRIBUTES} "))  # noqa: S704 - escaped there


def _date(seconds: object, form: object, fallback: object, url: object = "") -> Markup:
    """A time as each reader sees it; ``fallback`` where its values are not Slack's."""
    text = fallback if isinstance(fallback, str) else ""
    if isinstance(seconds, int) and isinstance(form, str) and form:
        with suppress(OverflowError, ValueError, OSError):  # after the year 9999
            return link(url, local_time(datetime.fromtimestamp(seconds, UTC), text, form))
    return link(url, text)


def _mention(sign: str, name: str) -> Markup:
    return Markup('<span class="preview-mention">{}{}</span>').format(sign, name)


def _box(name: str, inner: str) -> Markup:
    return Markup('<div class="preview-{}">{}</div>').format(name, inner)


def _joined(parts: Iterable[str]) -> Markup:
    return Markup("").join(parts)
