"""Preview of mails."""

import base64
import hashlib
import re
import time
from dataclasses import replace

import pytest
from hypothesis import given

from relay.channels import render_preview
from relay.channels.base import ReplyTo
from relay.channels.email.preview import frame
from relay.channels.preview import MessagePreview, PreviewFrame
from relay.messages.message import Message
from tests.channels import builders
from tests.channels.builders import MESSAGE
from tests.channels.email.parts import mention, sent
from tests.channels.reader import Reader
from tests.channels.texts import HOSTILE, messages

MAIL_TAGS = {
    *(
        "html",
        "head",
        "meta",
        "base",
        "title",
        "style",
        "body",
        "div",
        "p",
        "br",
        "strong",
        "em",
        "del",
    ),
    *("code", "pre", "blockquote", "a", "ul", "ol", "li", "hr", "h1", "h2", "h3"),
}


def framed(preview: MessagePreview) -> PreviewFrame:
    assert preview.frame is not None
    return preview.frame


def allowed(style: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()}'"


@given(messages)
def test_headers_and_body_contain_no_foreign_markup(message: Message) -> None:
    preview = render_preview("email", message)
    reader = Reader(preview.html)
    assert preview.title in reader.text
    tags = set(re.findall(r"<([a-z]+)", framed(preview).html))
    assert tags <= MAIL_TAGS
    assert "javascript:" not in "".join(re.findall(r'href="([^"]*)"', framed(preview).html))


def test_a_mail_has_headers_text_and_html() -> None:
    settings = builders.email(25, to=("a@x.org", "b@x.org"), sender="Relay <relay@example.com>")
    preview = render_preview("email", MESSAGE, settings=settings)
    assert Reader(preview.html).text == (
        "FromRelay <relay@example.com>Toa@x.org, b@x.orgSubjectAda commented on Landing page"
    )
    assert preview.text.startswith("Ada Lovelace commented on Landing page\n\n> The button")
    assert '<base target="_blank">' in framed(preview).html
    assert "Open in Penpot</a>" in framed(preview).html


def test_a_reply_has_the_subject_of_its_thread() -> None:
    preview = render_preview("email", MESSAGE, ReplyTo("<1@x>", "<2@x>", "Ada began"))
    assert preview.title == "Re: Ada began"


def test_a_mail_to_a_person_has_its_picture_also_in_a_thread() -> None:
    message = replace(MESSAGE, to=mention("grace@example.com"), picture="media")
    shown = render_preview("email", message, ReplyTo("<a@b>", "<a@b>", "First"))
    assert "In-Reply-To: <a@b>" in shown.source
    assert "cid:" in shown.source


def test_the_policy_allows_only_the_documents_styles_by_hash() -> None:
    document = framed(render_preview("email", MESSAGE))
    styles = re.findall(r'style="([^"]*)"', document.html)
    sheets = re.findall(r"<style>(.*?)</style>", document.html, re.DOTALL)
    assert len(sheets) == 2
    assert len(styles) >= 3
    assert all(allowed(style) in document.policy for style in [*styles, *sheets])
    assert document.policy.count("'sha256-") == len({*styles, *sheets})
    assert "unsafe-inline" not in document.policy
    assert document.policy.startswith("default-src 'none'; ")
    assert "sandbox allow-popups" in document.policy
    assert "allow-scripts" not in document.policy


def test_a_style_is_hashed_as_browsers_parse_it() -> None:
    document = frame("""<p style="font: 1em &quot;A&amp;B&quot;">x</p>""")
    assert allowed('font: 1em "A&B"') in document.policy
    assert "style-src 'none'" in frame("<p>x</p>").policy


def test_the_policy_allows_the_styles_of_a_mail_in_base64() -> None:
    message = replace(MESSAGE, notice="見て" * 200)
    assert b"base64" in sent(message).partition(b"text/html")[2][:200]
    document = framed(render_preview("email", message))
    for sheet in re.findall(r"<style>(.*?)</style>", document.html, re.DOTALL):
        assert allowed(sheet) in document.policy
    assert "\r" not in document.html


@pytest.mark.parametrize(
    "piece",
    ["<head", "<a ", "<style", "<style>", 'style="', "style='", "style =", "<!--", 'src="cid:'],
)
def test_a_document_is_parsed_in_linear_time(piece: str) -> None:
    html = piece * (1_000_000 // len(piece))
    started = time.process_time()
    frame(html)
    assert time.process_time() - started < 2


def test_a_picture_is_an_inline_empty_box() -> None:
    html = framed(
        render_preview("email", replace(MESSAGE, picture="media", file="Landing page"))
    ).html
    assert 'src="data:image/svg+xml,' in html
    assert "cid:" not in html


@pytest.mark.parametrize("text", HOSTILE)
def test_a_templates_html_is_unchanged_but_runs_nothing(text: str) -> None:
    preview = render_preview(
        "email",
        replace(
            MESSAGE, full=replace(MESSAGE.full, override=f"<html><head></head><p>{text}</p></html>")
        ),
    )
    assert "default-src 'none'" in framed(preview).policy
    Reader(preview.html)
