"""A mail as a mail program shows it."""

import base64
import hashlib
import re
import time
from dataclasses import replace

import pytest
from hypothesis import given

from relay.channels.base import ReplyTo
from relay.inspector.look import Frame, Look, shown
from relay.inspector.look.mail import frame
from relay.messages.message import Message
from tests.channels.builders import MESSAGE
from tests.channels.texts import HOSTILE, messages
from tests.inspector.look.reader import Reader

MAIL_TAGS = {
    *("html", "head", "meta", "base", "style", "body", "div", "p", "br", "strong", "em", "del"),
    *("code", "pre", "blockquote", "a", "ul", "ol", "li", "hr", "h1", "h2", "h3"),
}


def framed(look: Look) -> Frame:
    assert look.frame is not None
    return look.frame


def allowed(style: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()}'"


@given(messages)
def test_headers_hold_no_markup_and_nothing_of_the_body_escapes(message: Message) -> None:
    look = shown("email", message)
    reader = Reader(look.html)
    assert look.title in reader.text
    tags = set(re.findall(r"<([a-z]+)", framed(look).html))
    assert tags <= MAIL_TAGS
    assert "javascript:" not in "".join(re.findall(r'href="([^"]*)"', framed(look).html))


def test_a_mail_has_its_headers_its_text_and_its_html() -> None:
    look = shown("email", MESSAGE, sender="Relay <relay@example.com>", to=["a@x.org", "b@x.org"])
    assert Reader(look.html).text == (
        "FromRelay <relay@example.com>Toa@x.org, b@x.orgSubjectAda commented on Landing page"
    )
    assert look.text.startswith("Ada Lovelace commented on Landing page (https://")
    assert '<base target="_blank">' in framed(look).html
    assert "Open in Penpot</a>" in framed(look).html


def test_a_reply_has_the_subject_of_its_thread() -> None:
    look = shown("email", MESSAGE, ReplyTo("<1@x>", "<2@x>", "Ada began"))
    assert look.title == "Re: Ada began"


def test_the_policy_allows_each_style_of_the_document_by_its_hash_and_nothing_else() -> None:
    found = framed(shown("email", MESSAGE))
    styles = re.findall(r'style="([^"]*)"', found.html)
    [sheet] = re.findall(r"<style>(.*?)</style>", found.html, re.DOTALL)
    assert len(styles) >= 3
    assert all(allowed(style) in found.policy for style in [*styles, sheet])
    assert found.policy.count("'sha256-") == len({*styles, sheet})
    assert "unsafe-inline" not in found.policy
    assert found.policy.startswith("default-src 'none'; ")
    assert "sandbox allow-popups" in found.policy
    assert "allow-scripts" not in found.policy


def test_a_style_of_a_template_is_hashed_as_a_browser_reads_it() -> None:
    found = frame("""<p style="font: 1em &quot;A&amp;B&quot;">x</p>""")
    assert allowed('font: 1em "A&B"') in found.policy
    assert "style-src 'none'" in frame("<p>x</p>").policy


@pytest.mark.parametrize(
    "piece",
    ["<head", "<a ", "<style", "<style>", 'style="', "style='", "style =", "<!--", 'src="cid:'],
)
def test_a_document_takes_no_longer_than_it_is_long(piece: str) -> None:
    html = piece * (1_000_000 // len(piece))
    started = time.process_time()
    frame(html)
    assert time.process_time() - started < 2


def test_a_picture_is_an_empty_box_of_the_document_itself() -> None:
    html = framed(shown("email", replace(MESSAGE, picture="media", file="Landing page"))).html
    assert 'src="data:image/svg+xml,' in html
    assert "cid:" not in html


@pytest.mark.parametrize("text", HOSTILE)
def test_a_templates_own_html_is_shown_as_it_is_without_a_right_to_run(text: str) -> None:
    look = shown("email", replace(MESSAGE, override=f"<html><head></head><p>{text}</p></html>"))
    assert "default-src 'none'" in framed(look).policy
    Reader(look.html)
