"""A message as Rocket.Chat's Markdown.

Its grammar is packages/message-parser/src/grammar.pegjs (github.com/RocketChat/Rocket.Chat). Within
styles and in the text of a link it reads no backslash; the text of ``<address|text>`` is always
literal. It links every domain and number of a phone, and shows ``:)`` as an emoji. The server looks
for "@name" before all that, also in code, and only after white space: apps/meteor/app/mentions.
"""

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from relay.channels.markdown import INVISIBLE, Dialect
from relay.channels.markdown_text import MarkdownText, utf16_length
from relay.channels.rocketchat.settings import RocketChatSettings

MAX_LENGTH = (
    5000  # UTF-16: the default of Message_MaxAllowedSize, which an administrator may change
)
# A "[" of any line before it makes a link of "](…)".
_PINGS_IN_CODE = r"@|\](?=\()"
_PINGS = (
    _PINGS_IN_CODE,
    r"\\",  # formulas; and what follows may be a marker
    r":(?=//|[\w.+-]+:)|<(?=\S)|\|(?=\|)",  # addresses, emoji, links, spoilers
    r"l(?=ocalhost)|\+(?=\(?\d)",  # which it links, as phones
    r"[:=;](?='?[-^]?[]DPXLObÞþ)([*_~`@$#\\/.])|(?<=\b[0O])[:;](?=-?3\b)|>(?=\.<)",  # emoticons
    r"(?<![^\W_])[8BX#%](?=-?[)DP])|\bD(?=:)|\((?=y\))|[:=;]$",
)
# What an address or the text of a link may not have, and what looks like it.
_ADDRESS_PATTERN = re.compile(r"[\x00-\x20()<>@|\\\x7f]")
_LABEL_CHARACTERS = str.maketrans(
    {"<": "\u2039", ">": "\u203a", "|": "\xa6"} | dict.fromkeys(map(chr, (*range(32), 127)), " ")
)


def _link(text: str, url: str) -> str:
    address = _ADDRESS_PATTERN.sub(lambda match: quote(match[0], safe=""), url)
    label = re.sub(_PINGS_IN_CODE, rf"\g<0>{INVISIBLE}", text).translate(_LABEL_CHARACTERS)
    return f"<{address}|{label or INVISIBLE}>"


DIALECT = Dialect(
    # Also of channels, and of domains, in and after which no further backslash is read.
    formats=re.compile(r"[*_~`]|#(?=[\w.-])|\.(?=\S)"),
    pings=re.compile("|".join(_PINGS)),
    pings_in_code=re.compile(_PINGS_IN_CODE),
    mention=lambda name: f" @{name}{INVISIBLE}",
    bold="*",
    italic="_",
    strike="~",
    rule="———",
    deepest_heading=0,  # within one it reads nothing, not even a backslash
    link=_link,
    block_escape=INVISIBLE,
    empty_line=INVISIBLE,
    spaced="_",
    unstyled=re.compile(r"[*_~`#]|\.(?=\S)"),
    has_long_ticks=False,
)
TEXT = MarkdownText(dialect=DIALECT, people="rocketchat", max_length=MAX_LENGTH, size=utf16_length)


def body(text: str, settings: RocketChatSettings) -> Mapping[str, Any]:
    """https://developer.rocket.chat/apidocs/post-message, as far as a webhook reads it. Without
    ``parseUrls`` the message shows a preview of each page that it links to."""
    sender = {"username": settings.username, "icon_url": settings.icon_url}
    given = {name: value for name, value in sender.items() if value}
    return {"text": text, **given, "parseUrls": False}
