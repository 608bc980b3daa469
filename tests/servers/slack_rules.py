"""Slack's rules for blocks, as the documentation of Block Kit states them.

https://docs.slack.dev/reference/block-kit/blocks and …/blocks/rich-text-block. For the length of
all blocks together Slack documents no limit. It refused 13,172 characters of text with a divider
(github.com/slackapi/bolt-js/issues/2509), and accepted JSON of 15,561 characters with 9,597 of text
(…/issues/2867), so that it counts the structure only in part. The limit here counts all of it.
"""

import json
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

_STYLES = {"bold", "italic", "strike", "code"}
_RICH = {"rich_text_section", "rich_text_list", "rich_text_preformatted", "rich_text_quote"}
_INLINE_KEYS = {
    "text": {"type", "text", "style"},
    "link": {"type", "url", "text", "style", "unsafe"},
    "emoji": {"type", "name", "unicode", "style"},
    "user": {"type", "user_id", "style"},
    "usergroup": {"type", "usergroup_id", "style"},
    "channel": {"type", "channel_id", "style"},
    "broadcast": {"type", "range", "style"},
    "date": {"type", "timestamp", "format", "timezone", "url", "fallback", "style"},
}
_DATE_TOKENS = {
    *("day_divider_pretty", "date_num", "date_slash", "date_long", "date_long_full", "time", "ago"),
    *("date_long_pretty", "date", "date_pretty", "date_short", "date_short_pretty", "time_secs"),
}
_PINGS = {"user", "usergroup", "channel", "broadcast"}


def block_faults(blocks: Any) -> list[str]:
    """The problems of the blocks, as text; empty where they are valid."""
    if not isinstance(blocks, list):
        return ["blocks must be an array"]
    faults = [] if 1 <= len(blocks) <= 50 else ["must have 1 to 50 items"]
    for number, block in enumerate(blocks):
        faults += [f"{fault} [json-pointer:/blocks/{number}]" for fault in _block(block)]
    return faults


def too_long(blocks: Any) -> bool:
    """Whether Slack would answer ``msg_blocks_too_long``."""
    text = json.dumps(blocks, ensure_ascii=False, separators=(",", ":"))
    return len(text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")) >= 13_172


def rich_inlines(blocks: Any) -> Iterator[dict[str, Any]]:
    """Every inline element of the ``rich_text`` blocks."""
    for block in blocks:
        if block["type"] == "rich_text":
            yield from _inlines(block["elements"])


def rich_words(blocks: Any) -> str:
    """The text of the ``rich_text`` blocks without the footer; a mention as ``<U…>``, and a date as
    a client shows it that knows no dates."""
    inlines = list(rich_inlines(without_footer(blocks)))
    texts = (part.get("text", part.get("fallback")) for part in inlines)
    users = (f"<{part.get('user_id')}>" for part in inlines)
    return "".join(user if text is None else text for text, user in zip(texts, users, strict=True))


def without_footer(blocks: list[Any]) -> list[Any]:
    """Relay's footer is a context, or a ``rich_text`` after the one of the body or its picture."""
    kinds = [block["type"] for block in blocks]
    is_rich = kinds[-1:] == ["rich_text"] and kinds[-2:-1] in (["rich_text"], ["image"])
    return blocks[:-1] if is_rich or kinds[-1:] == ["context"] else blocks


def _inlines(elements: Any) -> Iterator[dict[str, Any]]:
    for element in elements:
        if "elements" in element:
            yield from _inlines(element["elements"])
        else:
            yield element


def pings(blocks: Any) -> bool:
    """Whether a ``rich_text`` block contains an element that notifies somebody."""
    return any(element["type"] in _PINGS for element in rich_inlines(blocks))


def _block(block: Any) -> Iterator[str]:
    kind = block.get("type") if isinstance(block, dict) else None
    checks = {"rich_text": _rich_text, "section": _section, "context": _context, "header": _header}
    if kind in checks:
        yield from checks[kind](block)
    elif kind == "image":
        yield from _image(block)
    elif kind not in {"divider", "actions", "markdown", "video"}:
        yield f"unsupported type: {kind}"


def _image(block: dict[str, Any]) -> Iterator[str]:
    """https://docs.slack.dev/reference/block-kit/blocks/image-block"""
    yield from _keys(block, {"type", "alt_text", "image_url", "slack_file", "title", "block_id"})
    words = block.get("alt_text")
    if not isinstance(words, str) or not words or len(words) > 2000:
        yield "an image's alt_text has 1 to 2000 characters"
    if ("image_url" in block) == ("slack_file" in block):
        yield "an image has an image_url or a slack_file"
    file = block.get("slack_file", {"id": "F00000000"})
    if not re.fullmatch("F[A-Z0-9]{8,}", str(file.get("id", ""))) or len(file) != 1:
        yield "input must match regex pattern: ^[F][A-Z0-9]{8,}$"


def _keys(value: dict[str, Any], allowed: set[str]) -> Iterator[str]:
    if more := value.keys() - allowed:
        yield f"additional properties: {sorted(more)}"


def _text_object(value: Any, longest: int, kinds: tuple[str, ...]) -> Iterator[str]:
    if not isinstance(value, dict) or value.get("type") not in kinds:
        yield "must be a text object"
        return
    allowed = {"emoji"} if value["type"] == "plain_text" else {"verbatim"}
    yield from _keys(value, {"type", "text"} | allowed)
    if not isinstance(value.get("text"), str) or not 1 <= len(value["text"]) <= longest:
        yield f"must have 1 to {longest} characters"


def _section(block: dict[str, Any]) -> Iterator[str]:
    yield from _keys(block, {"type", "block_id", "text", "fields", "accessory", "expand"})
    if "text" in block:
        yield from _text_object(block["text"], 3000, ("plain_text", "mrkdwn"))
    elif not block.get("fields"):
        yield "needs text or fields"
    for part in block.get("fields", ()):
        yield from _text_object(part, 2000, ("plain_text", "mrkdwn"))


def _header(block: dict[str, Any]) -> Iterator[str]:
    yield from _keys(block, {"type", "block_id", "text"})
    yield from _text_object(block.get("text"), 150, ("plain_text",))


def _context(block: dict[str, Any]) -> Iterator[str]:
    yield from _keys(block, {"type", "block_id", "elements"})
    elements = block.get("elements")
    if not isinstance(elements, list) or not 1 <= len(elements) <= 10:
        yield "context must have 1 to 10 elements"
        return
    for element in elements:
        if not isinstance(element, dict) or element.get("type") != "image":
            yield from _text_object(element, 3000, ("plain_text", "mrkdwn"))


def _rich_text(block: dict[str, Any]) -> Iterator[str]:
    yield from _keys(block, {"type", "block_id", "elements"})
    elements = block.get("elements")
    if not isinstance(elements, list) or not elements:
        yield "rich_text must have elements"
        return
    for element in elements:
        yield from _rich_element(element)


def _rich_element(element: Any) -> Iterator[str]:
    kind = element.get("type") if isinstance(element, dict) else None
    if kind not in _RICH or not isinstance(element.get("elements"), list):
        yield f"unsupported rich_text element: {kind}"
        return
    allowed = {"type", "elements"}
    if kind == "rich_text_list":
        allowed |= {"style", "indent", "offset", "border"}
        if element.get("style") not in ("bullet", "ordered"):
            yield "list needs a style"
        if not 0 <= element.get("indent", 0) <= 8:
            yield "indent must be 0 to 8"
        for item in element["elements"]:
            if item.get("type") != "rich_text_section":
                yield "list items must be rich_text_section"
            yield from _rich_element(item)
    else:
        allowed |= {"border"} if kind != "rich_text_section" else set()
        for inline in element["elements"]:
            yield from _inline(inline, plain=kind == "rich_text_preformatted")
    yield from _keys(element, allowed)
    if not element["elements"]:
        yield f"{kind} is empty"


def _inline(inline: Any, *, plain: bool) -> Iterator[str]:
    kind = inline.get("type") if isinstance(inline, dict) else None
    if kind not in _INLINE_KEYS or (plain and kind not in ("text", "link")):
        yield f"unsupported element: {kind}"
        return
    yield from _keys(inline, _INLINE_KEYS[kind])
    if kind == "text" and not (isinstance(inline.get("text"), str) and inline["text"]):
        yield "text must have more than 0 characters"
    if kind == "link":
        if urlsplit(str(inline.get("url"))).scheme not in ("http", "https", "mailto"):
            yield "link needs a url"
        if "text" in inline and not inline["text"]:
            yield "link text must have more than 0 characters"
    if kind == "date":
        yield from _date(inline)
    style = inline.get("style", {"bold": True})
    styles = _STYLES - {"code"} if kind == "date" else _STYLES
    if not style or style.keys() - styles or not all(value is True for value in style.values()):
        yield "style must be some of bold, italic, strike, code"


def _date(inline: dict[str, Any]) -> Iterator[str]:
    """https://docs.slack.dev/reference/block-kit/block-elements/date-element; for a timestamp that
    is text the answer is as in github.com/soxtoby/SlackNet/issues/239."""
    if type(inline.get("timestamp")) is not int:
        yield "must provide an integer"
    tokens = re.findall(r"\{(.*?)\}", str(inline.get("format") or ""))
    if not tokens or set(tokens) - _DATE_TOKENS:
        yield "a date's format has tokens"
    if "fallback" in inline and not isinstance(inline["fallback"], str):
        yield "a date's fallback is text"
