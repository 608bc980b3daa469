"""Preview of a Rocket.Chat message: the text that is posted, styled like Rocket.Chat."""

import json
import re

from markupsafe import Markup

from relay.channels.base import ReplyTo
from relay.channels.markdown_preview import to_preview
from relay.channels.preview import MessagePreview, posted_at
from relay.channels.rocketchat.content import TEXT, body
from relay.channels.rocketchat.settings import RocketChatSettings
from relay.messages.message import Message

# What Rocket.Chat and CommonMark write differently, and what both read alike.
_MARKUP_PATTERN = re.compile(
    r"(?P<same>```\n.*?\n```|`[^`\n]+`|\\[*_~`#.])"
    r"|<(?P<url>[^\s<>|]+)\|(?P<label>[^\n<>|]+)>"
    r"|(?P<mark>[*_~])|(?P<literal>[][<>&\\])",
    re.DOTALL,
)
_QUOTE_PATTERN = re.compile(r"^\\> ", re.MULTILINE)
_MARKS = {"*": "**", "_": "*", "~": "~~"}


def preview(
    message: Message, thread: ReplyTo | None, settings: RocketChatSettings
) -> MessagePreview:
    text = TEXT.render(message)
    names = {
        f"@{name}": name for name in (who.address("rocketchat") for who in TEXT.pinged(message))
    }
    shown = posted(draw(text, names), posted_at(message.at), settings.username or "Penpot")
    source = json.dumps(body(text, settings), indent=2, ensure_ascii=False)
    return MessagePreview(shown, source, message.title, notifies=bool(names))


def draw(text: str, names: dict[str, str]) -> Markup:
    return to_preview(_to_commonmark(text), names)


def posted(text: Markup, time: Markup, sender: str = "Penpot") -> Markup:
    return Markup(
        '<article class="preview preview-rocketchat">'
        '<span class="preview-icon" aria-hidden="true">{}</span>'
        '<div class="preview-who"><b>{}</b> <span class="preview-app">Bot</span> '
        '<span class="preview-time">{}</span></div>'
        '<div class="preview-body">{}</div></article>'
    ).format(sender[:1], sender, time, text)


def _to_commonmark(text: str) -> str:
    return _QUOTE_PATTERN.sub("> ", _MARKUP_PATTERN.sub(_translated, text))


def _translated(match: re.Match[str]) -> str:
    if match["same"]:
        return match["same"]
    if match["url"]:
        label = re.sub(r"([][\\`*_~<>&!])", r"\\\1", match["label"])
        return f"[{label}](<{match['url']}>)"
    return _MARKS[match["mark"]] if match["mark"] else f"\\{match['literal']}"
