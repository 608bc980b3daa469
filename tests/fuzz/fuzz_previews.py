"""Coverage-guided fuzzing of the previews and of the inspector's page of an event.

    PYTHONPATH=. python tests/fuzz/fuzz_previews.py -max_total_time=60 -rss_limit_mb=512 -timeout=5

The first byte of an input chooses what the rest is: a template's output for all channels, its own
Block Kit JSON, HTML or JSON for one, or the body of an event. A preview has only the permitted
elements, attributes and addresses, and a page loads and runs only Relay's own files. See
``fuzz_wire`` for ``atheris``.
"""

import asyncio
import json
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

import atheris

with atheris.instrument_imports(include=["relay"]):
    from relay.channels import CHANNEL_TYPES, render_preview
    from relay.channels.base import ReplyTo
    from relay.channels.preview import MessagePreview
    from relay.config.settings import Config
    from relay.inspector import event as event_page
    from relay.inspector.pages import InspectorContext, Viewer
    from relay.messages.message import Content, Mention, Message
    from relay.penpot.events import NotAnEvent, name_of
    from relay.penpot.wire import UnreadableBody, decode
    from relay.store.queries import DeliveryAttempt, EventDetails, EventRow
    from relay.store.records import Delivery, StoredEvent

from starlette.requests import Request

from tests.channels.reader import ATTRIBUTES, TAGS, Reader
from tests.fuzz.fuzzing import fuzz

PAYLOADS = Path(__file__).parent.parent / "penpot" / "payloads"
KINDS = ("", "slack", "matrix", "email", "json", "transit", "webhook")
"""What the rest of an input is, by its first byte."""
ADA = Mention(
    "6eaf5050-5d0e-81a4-8006-9a5f00000001", "Ada", "", {"slack": "U0ADA", "matrix": "@a:b"}
)
THREAD = ReplyTo("<1@x>", "<2@x>", "Ada began")
MAX_GROWTH_RATIO = 250
CHANNELS = [
    {"name": kind.name, "type": kind.name, **kind.example} for kind in CHANNEL_TYPES.values()
]
MAX_PAGE_LENGTH = 750_000 * len(CHANNELS)  # characters; see MAX_SHOWN_LENGTH
TEAM = {"secret": "a-secret-of-24-characters", "channels": CHANNELS}
CONFIG = Config.model_validate({"teams": {"acme": TEAM}})
LOOP = asyncio.new_event_loop()
PAGE_TAGS = {
    *(
        "html",
        "head",
        "meta",
        "title",
        "link",
        "script",
        "body",
        "header",
        "nav",
        "main",
        "section",
    ),
    *("form", "input", "button", "svg", "path", "time", "iframe", "footer", "bdi", "details"),
}
PAGE_ATTRIBUTES = {
    *("action", "aria-current", "aria-labelledby", "charset", "content", "d", "data-copy"),
    *("data-live", "data-until", "datetime", "defer", "download", "fill", "height", "hidden"),
    *("hx-get", "hx-headers", "hx-select", "hx-swap", "hx-trigger", "id", "lang", "loading"),
    *("method", "name", "open", "sandbox", "src", "stroke", "stroke-linecap", "stroke-linejoin"),
    *("stroke-width", "type", "value", "viewbox", "width"),
}


def one_input(data: bytes) -> None:
    kind, content = KINDS[data[0] % len(KINDS)] if data else "", data[1:]
    if kind in ("json", "transit"):
        check_page(content, f"application/{'transit+' * (kind == 'transit')}json")
        return
    text = content.decode("utf-8", "replace")
    if kind == "webhook" and not is_json(text):  # Relay posts the document instead
        return
    for name in [kind] if kind else CHANNEL_TYPES:
        message = message_of(text, is_override=bool(kind))
        for thread in (None, THREAD):
            check_preview(render_preview(name, message, thread), len(text))


def is_json(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def message_of(text: str, *, is_override: bool) -> Message:
    title, body, footer, *_ = [*text.split("\0"), "", ""]
    content = Content("Hello", "", text) if is_override else Content(body, footer)
    return Message(title[:300], content, event=title[:40], file=title, mentions=(ADA,), picture="x")


def check_preview(preview: MessagePreview, size: int) -> None:
    Reader(preview.html)
    for text in (preview.html, preview.text, preview.title, preview.note):
        assert len(text) <= 10_000 + MAX_GROWTH_RATIO * size
        text.encode()
    if preview.frame is not None:
        assert preview.frame.policy.isascii()
        assert preview.frame.policy.isprintable()
        assert (
            preview.frame.policy.startswith("default-src 'none'; style-src 'unsafe-hashes' 'sha")
            or "style-src 'none'" in preview.frame.policy
        )
        assert len(preview.frame.html) <= 20_000 + MAX_GROWTH_RATIO * size


class PageReader(HTMLParser):
    """Asserts that a page has no other elements, attributes and addresses than Relay's own."""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in TAGS | PAGE_TAGS, tag
        attributes = {name: value or "" for name, value in attrs}
        assert attributes.keys() <= ATTRIBUTES | PAGE_ATTRIBUTES, (tag, attrs)
        if "src" in attributes:
            assert re.match("/inspector/(static|events/1/mail)/", attributes["src"]), attrs
        if "href" in attributes:
            place = urlsplit(attributes["href"])
            assert place.scheme in ("http", "https", "mailto") or re.match(
                "/inspector|#", attributes["href"]
            ), attrs


async def load(team: str | None, id_: int) -> EventDetails:
    return DETAILS[0]


async def nothing(*_: Any) -> Any:
    return {}


async def no_thread(*_: Any) -> None:
    return None


DETAILS: list[Any] = [None]
STORE: Any = SimpleNamespace(
    queries=SimpleNamespace(event=load), facts=nothing, get_thread=no_thread
)
INSPECTOR = InspectorContext(CONFIG, STORE, None, None, lambda _: None)  # type: ignore[arg-type]
VIEWER = Viewer(None, ("acme",), "token")


def check_page(body: bytes, content_type: str) -> None:
    """The page of an event with this body, whose texts are everywhere on the page."""
    name = error = ""
    try:
        name = name_of(decode(body, content_type))
    except (UnreadableBody, NotAnEvent) as problem:
        error = str(problem)
    text = body.decode("utf-8", "replace")
    message = message_of("\0".join((text[:300], text, text)), is_override=False)
    deliveries = [
        Delivery(number, 1, f"acme/{channel['name']}", "key", message.dumps(), "waiting", 1,
                 1e9, text, "", 1e9)
        for number, channel in enumerate(CHANNELS)
    ]  # fmt: skip
    state = "unreadable" if error else "fanned-out"
    stored = StoredEvent(1, "acme", content_type, body, name, state, error, 1e9)
    row = EventRow(1, "acme", name, state, error, 1e9, text, text, {"other": text})
    attempts = {
        item.id: [DeliveryAttempt(item.id, 1, 1e9, 0.1, "failed", text)] for item in deliveries
    }
    DETAILS[0] = EventDetails(stored, row, deliveries, attempts)
    scope = {
        "type": "http", "method": "GET", "path": "/inspector/events/1", "headers": [],
        "query_string": b"", "path_params": {"id": "1", "delivery": "2"},
        "inspector": INSPECTOR, "viewer": VIEWER, "form": {},
    }  # fmt: skip
    page = LOOP.run_until_complete(event_page._page(Request(scope))).body
    assert len(page) <= MAX_PAGE_LENGTH
    PageReader().feed(bytes(page).decode())


def seeds() -> Iterator[bytes]:
    for path in sorted(PAYLOADS.rglob("*.json")):
        if "expect" not in path.name and path.stat().st_size < 4000:
            yield (
                bytes([KINDS.index("transit" if ".transit." in path.name else "json")])
                + path.read_bytes()
            )
    mrkdwn = (
        "*b* _i_ ~s~ `c` <https://x.example|y> <@U0ADA> <!here> <!date^1^{date}|x>\n> q\n```p```"
    )
    inlines = [
        {"type": "text", "text": "a", "style": {"bold": True}},
        {"type": "link", "url": "https://x.example", "text": "b"},
        {"type": "user", "user_id": "U0ADA"},
        {"type": "emoji", "name": "tada"},
        {"type": "date", "timestamp": 1_785_000_000, "format": "{time}", "fallback": "x"},
    ]
    section = {"type": "rich_text_section", "elements": inlines}
    rich_list = {"type": "rich_text_list", "style": "ordered", "offset": 2, "elements": [section]}
    blocks: list[Any] = [
        {"type": "section", "text": {"type": "mrkdwn", "text": mrkdwn}},
        {"type": "context", "elements": [{"type": "plain_text", "text": "x"}]},
        {"type": "header", "text": {"type": "plain_text", "text": "x"}},
        {"type": "actions", "elements": [{"type": "button", "url": "https://x.example"}]},
        {"type": "rich_text", "elements": [section, rich_list]},
        {"type": "markdown", "text": "# a\n\n**b**"},
    ]
    for block in blocks:
        yield b"\1" + json.dumps([block]).encode()
    yield b"\2" + (
        b'<h1>a</h1><p><b>b</b> <a href="https://matrix.to/#/@a:b">c</a><img src="mxc://x" alt="y">'
        b'<span data-mx-color="#ff0000">d</span><span data-mx-spoiler>e</span>'
        b'<ol start="3"><li>f</ol>'
    )
    yield b"\3" + (
        b'<html><head><style>p { color: red }</style></head><p style="color: &quot;red">x'
        b'<img src="cid:x"><a href="https://x.example" style=\'a\'>y</a>'
    )
    yield bytes([KINDS.index("webhook")]) + b'{"event_type": "penpot", "x": ["<b>", null, 1e9]}'
    yield (
        b"\0"
        + "\0".join(("Title", "# a\n\n> **b** `c`\n\n- d", "x [y](https://z.example)")).encode()
    )


if __name__ == "__main__":
    fuzz(one_input, seeds())
