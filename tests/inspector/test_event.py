"""The page of one event, in a browser."""

import asyncio
import json
import re
import shlex
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser, expect
from starlette.requests import Request

from relay.config.settings import Config
from relay.inspector import event as event_page
from relay.inspector.feed import ChangeFeed
from relay.inspector.pages import InspectorContext, Viewer
from relay.messages.filters import when
from relay.messages.message import Change, Content, Message
from relay.messages.templates import Templates
from relay.penpot.samples import sample
from relay.store.records import Delivery, FanOutResult, NewDelivery, NewEvent
from relay.store.sqlite import SqliteStore
from tests.inspector.conftest import STDOUT, Open, accessibility_problems, keep_picture, too_wide
from tests.inspector.test_events import MAIL, project
from tests.messages.clock import clock_at
from tests.service import JSON, SECRET, Service, running, wait_until

PAYLOADS = Path(__file__).parents[1] / "penpot" / "payloads"


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Service]:
    """The service with a channel that works and one whose server is down."""
    with running(tmp_path, f"{STDOUT}{MAIL}") as started:
        yield started


def settled(service: Service, event: int, text: str) -> None:
    wait_until(lambda: text in httpx.get(f"{service.admin}/inspector/events/{event}").text, 30)


def test_the_page_shows_deliveries_and_body(served: Service, open_page: Open) -> None:
    served.post(sample("create-comment-thread"))
    settled(served, 1, "refuses connections")
    page = open_page(f"{served.admin}/inspector/events/1")
    log = page.locator("article", has_text="log").first
    assert "the headline is hard to read" in log.locator(".preview, pre").first.inner_text()
    mail = page.locator("article", has_text="mail").last
    assert "the mail server at 127.0.0.1:" in mail.locator(".attempts").inner_text()
    frame = page.frame_locator("iframe.mail")
    expect(frame.locator("body")).to_contain_text("the headline is hard to read")
    body = page.locator("pre[aria-label='The body']").inner_text()
    assert json.loads(body) == json.loads(sample("create-comment-thread"))
    for summary in page.locator("summary").all():
        summary.focus()
        page.keyboard.press("Enter")
    assert '"Ada Lovelace"' in page.get_by_label("The event", exact=True).inner_text()
    assert '"url"' in page.get_by_label("The template variables").inner_text()
    assert not accessibility_problems(page)
    keep_picture(page, "event")
    page.emulate_media(color_scheme="dark")
    keep_picture(page, "event-dark")
    page.set_viewport_size({"width": 360, "height": 740})
    assert not too_wide(page)
    keep_picture(page, "event-phone")
    assert SECRET not in page.content()


def test_transit_is_shown_raw_and_decoded(served: Service, open_page: Open) -> None:
    body = sorted((PAYLOADS / "create-comment").glob("*.transit.json"))[0].read_bytes()
    httpx.post(served.hook, content=body, headers={"content-type": "application/transit+json"})
    settled(served, 1, "mark sent")
    page = open_page(f"{served.admin}/inspector/events/1")
    assert page.get_by_label("The body", exact=True).inner_text() == body.decode()
    decoded = json.loads(page.get_by_label("The decoded body").inner_text())
    assert decoded["name"] == "create-comment"


def test_an_event_is_resent_to_one_channel_or_to_all(served: Service, open_page: Open) -> None:
    served.post(sample("create-comment-thread"))
    settled(served, 1, "refuses connections")
    page = open_page(f"{served.admin}/inspector/events/1")
    page.get_by_role("button", name="Resend to log").press("Enter")
    expect(page.get_by_role("status")).to_have_text("Waiting in its queue again.")
    attempts = page.locator("article", has_text="log").first.locator(".attempts > li")
    expect(attempts).to_have_count(2)  # live update
    page.get_by_role("button", name="Resend all").click()
    expect(page.get_by_role("status")).to_have_text("Waiting in their queues again.")
    expect(attempts).to_have_count(3)
    assert served.output.read_text().count("the headline is hard to read") == 3


def test_the_downloaded_payload_is_the_received_body(served: Service, browser: Browser) -> None:
    served.post(sample("create-comment-thread"))
    served.post(b'\xff\x00"')
    settled(served, 1, "mark sent")
    for event, name, body in (
        (1, "create-comment-thread-1.json", sample("create-comment-thread")),
        (2, "event-2.json", b'\xff\x00"'),
    ):
        page = browser.new_page()
        page.goto(f"{served.admin}/inspector/events/{event}")
        with page.expect_download() as download:
            page.get_by_role("link", name="Save as test payload").click()
        assert download.value.suggested_filename == name
        assert download.value.path().read_bytes() == body
        page.close()


def test_of_a_truncated_body_the_page_offers_no_copy(served: Service) -> None:
    sent = sample("create-file") + b" " * 5000 + b"x"
    assert served.post(sent) == 400
    page = httpx.get(f"{served.admin}/inspector/events/1").text
    assert f"truncated: {len(sent):,} bytes were received" in page
    assert "Unreadable: <bdi>not JSON" in page
    summary = "A body that Relay can&#39;t read as an event of Penpot"
    assert f"<dt>Summary</dt><dd>{summary}</dd>" in page
    assert not any(text in page for text in ("curl", "Save as test payload", "Resend"))


def test_the_curl_command_posts_the_event_again(served: Service, open_page: Open) -> None:
    served.post(sample("create-file"))
    settled(served, 1, "mark sent")
    page = open_page(f"{served.admin}/inspector/events/1")
    page.get_by_text("curl command").click()
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.get_by_role("button", name="Copy as curl").click()
    expect(page.get_by_role("button", name="Copied")).to_be_visible()
    command = str(page.evaluate("navigator.clipboard.readText()"))
    assert "$SECRET" in command
    assert shlex.split(command)[-1].encode() == sample("create-file")
    done = subprocess.run(
        ["sh", "-c", command.replace("Pricing page", "Pricing page 2") + " -s -w '%{http_code}'"],
        env={"SECRET": SECRET, "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=True,
        timeout=10,
    )
    assert done.stdout == "204"


HOSTILE = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "\"><svg onload=alert(1)>'",
    "javascript:alert(1)",
    "{{7*7}}${7*7}<%= 7*7 %>",
    "\x1b[31mred\x1b]0;title\x07",
    "\u202egnp.exe\u2066",
    "</pre></code></title><h1>out</h1>",
    "<!--",
    "]]>",
    "&lt;b&gt;",
    "' onmouseover='alert(1)",
    "https://evil.example/x.png ![x](https://evil.example/y.png)",
    "<iframe src=https://evil.example></iframe><base href=https://evil.example/>",
]


def test_markup_in_any_field_stays_text(served: Service, open_page: Open) -> None:
    for number, text in enumerate(HOSTILE):
        comment = json.loads(sample("create-comment-thread"))
        comment["props"] |= {
            "id": f"93b5c7d4-8a3c-81b0-8004-{number:012x}",
            "commentId": f"93b5c7d5-8a3c-81b0-8004-{number:012x}",
            "content": f"{text} {number}",
            "ownerFullname": text,
            "pageName": text,
            "ownerEmail": text,
            "extra": text,
        }
        for body in (
            comment,
            {"name": "create-project", "props": {"name": f"{text} {number}"}},
            {"name": f"{text}{number}"[:90], "props": {"name": text, text: text}},
        ):
            assert served.post(json.dumps(body).encode()) == 204
    served.post(b"[" + b"<script>alert(1)</script>")
    count = 3 * len(HOSTILE) + 1
    wait_until(lambda: ">stored</span>" not in httpx.get(f"{served.admin}/inspector").text, 20)
    page = open_page(f"{served.admin}/inspector")
    expect(page.locator("#list .event")).to_have_count(count)
    assert page.locator("#list script, #list img, #list svg, #list iframe, #list h1").count() == 0
    texts = page.locator("#list").inner_text()
    for text in ("<script>alert(1)</script>", "{{7*7}}", "&lt;b&gt;"):
        assert text in texts
    assert "49" not in re.sub(r"\d\d:\d\d:\d\d|#\d+|in \d+ s", "", texts)
    for number in range(1, count + 1, 3):  # the comments, and the unreadable body
        page.goto(f"{served.admin}/inspector/events/{number}")
        shown = page.locator("main")
        assert shown.locator("script, img[src^=http], svg, h1:nth-of-type(2), base").count() == 0
        assert (
            shown.locator("a[href^='javascript:'], [onerror], [onload], [onmouseover]").count() == 0
        )
        assert page.locator("iframe:not(.mail)").count() == 0
        assert page.title().endswith("· Relay")


def test_a_missing_event_is_not_found(service: Service) -> None:
    for id_ in (7, 2**63, 10**30, "1" * 5000, "x", "\u0661"):
        answer = httpx.get(f"{service.admin}/inspector/events/{id_}")
        assert answer.status_code == 404
        assert "Not found" in answer.text
    answer = httpx.post(service.hook, content=project("x"), headers=JSON)
    assert answer.status_code == 204


async def _longest_stall(stop: asyncio.Event) -> float:
    """Seconds for which the event loop did nothing else."""
    longest, before = 0.0, time.monotonic()
    while not stop.is_set():
        await asyncio.sleep(0.001)
        now = time.monotonic()
        longest, before = max(longest, now - before), now
    return longest


@pytest.mark.parametrize("body", ["![" * 12_000, "> " * 20 + "*a* [b](http://c) " * 4_000])
def test_a_page_whose_message_is_slow_to_show_blocks_nothing_else(
    tmp_path: Path, body: str
) -> None:
    """Even one that no template could have made."""

    async def show() -> tuple[float, float]:
        store = SqliteStore(tmp_path / "relay.db")
        await store.open()
        try:
            event = NewEvent("acme", "application/json", sample("create-comment"), b"1", "x")
            await store.accept(event)
            message = Message("t", Content(body), team="acme").dumps()
            channels = [
                {"name": "slack", "type": "slack", "token": "xoxb-1", "channel": "#a"},
                {"name": "log", "type": "stdout"},
            ]
            queues = [f"acme/{channel['name']}" for channel in channels]
            new = [NewDelivery(queue, queue, message) for queue in queues]
            await store.save_fan_out([FanOutResult(1, "acme", "fanned-out", "", new)])
            team = {"secret": SECRET, "channels": channels}
            config = Config.model_validate({"teams": {"acme": team}})
            inspector = InspectorContext(config, store, Templates(), ChangeFeed(), lambda _: None)
            scope = {
                "type": "http", "method": "GET", "path": "/inspector/events/1", "headers": [],
                "query_string": b"", "server": ("localhost", 1), "path_params": {"id": "1"},
                "inspector": inspector, "viewer": Viewer(None, ("acme",), "token"),
            }  # fmt: skip
            stop, started = asyncio.Event(), time.monotonic()
            stalls = asyncio.create_task(_longest_stall(stop))
            response = await event_page._page(Request(scope))
            took = time.monotonic() - started
            stop.set()
            assert response.status_code == 200
            return took, await stalls
        finally:
            await store.close()

    with ThreadPoolExecutor(1) as executor:  # Playwright runs an event loop in this thread
        took, stall = executor.submit(asyncio.run, show()).result()
    print(f"a page of {took:.2f} s, the longest stall {stall:.3f} s")
    assert stall < took / 2


@pytest.mark.parametrize(
    ("state", "shown"), [("held", "yesterday"), ("waiting", "yesterday"), ("sent", "today")]
)
def test_a_message_that_waits_is_shown_as_it_is_sent_now(state: str, shown: str) -> None:
    with clock_at("2026-07-25T12:00Z"):
        message = Message("t", Content(f"at {when('2026-07-25T08:17Z')}"), zone="Europe/Madrid")
        text = message.with_current_times().dumps()
    slack = {"name": "slack", "type": "slack", "token": "xoxb-1", "channel": "#a"}
    config = Config.model_validate({"teams": {"acme": {"secret": SECRET, "channels": [slack]}}})
    inspector: Any = SimpleNamespace(config=config)
    delivery = Delivery(1, 1, "acme/slack", "key", text, state, 0, 0, "", "", 0)
    with clock_at("2026-07-26T12:00Z"), ThreadPoolExecutor(1) as executor:
        preview = executor.submit(asyncio.run, event_page._preview(inspector, delivery)).result()
    assert (
        '<time datetime="2026-07-25T08:17:00.000Z" data-form="{date_short_pretty} {time}">'
        f"{shown} 10:17</time>"
    ) in preview.html


def test_of_a_change_for_held_messages_the_line_is_shown_that_others_get() -> None:
    change = Change(only_held=True, fallback=Message("t", Content("the line")))
    text = Message("t", Content("the comment"), change=change).dumps()
    slack = {"name": "slack", "type": "slack", "token": "xoxb-1", "channel": "#a"}
    config = Config.model_validate({"teams": {"acme": {"secret": SECRET, "channels": [slack]}}})
    inspector: Any = SimpleNamespace(config=config)
    delivery = Delivery(1, 1, "acme/slack", "key", text, "sent", 0, 0, "", "", 0)
    with ThreadPoolExecutor(1) as executor:
        preview = executor.submit(asyncio.run, event_page._preview(inspector, delivery)).result()
    assert "the line" in preview.html
    assert "the comment" not in preview.html
