"""What the forms of a message in the channels have to be, whatever its text is."""

import json
import re
from email import message_from_bytes
from email.policy import SMTP
from html.parser import HTMLParser
from typing import Any
from urllib.parse import urlsplit

from relay.channels.email.message import compose, recipients
from relay.channels.email.settings import EmailSettings, SmtpSettings
from relay.channels.matrix import content as matrix
from relay.channels.preview import message_text
from relay.channels.slack import blocks as slack
from relay.messages.message import Message, Picture
from tests.servers.slack_rules import block_faults, rich_inlines, too_long

MAX_MATRIX_BYTES = 60_000  # of an event's 65,536
MAX_GROWTH_RATIO = 250
"""Characters of a form for each one of the message: 100 quotes begin each line with 200."""
SLACK_USER = "U0ADA0000"
PICTURE = Picture(b"png", "image/png", 480, 270)
IMAGE = matrix.Image("mxc://relay.test/x", PICTURE)
MAIL = EmailSettings(
    type="email",
    name="mail",
    to=("design@example.com",),
    sender="Penpot <p@example.com>",
    sender_name="fixed",
    smtp=SmtpSettings(host="smtp.example.com"),
)
_MRKDWN_PATTERN = re.compile(  # a link or a date
    r"<(?:(?:https?://|mailto:)[^<>|\s]+|!date\^\d+\^[ {}a-z_]+)\|[^<>|]+>", re.IGNORECASE
)
_ESCAPED_PATTERN = re.compile(r"(?:[^&<>]|&(?:amp|lt|gt);)*")
_MAIL_HEADERS = {
    *("from", "to", "subject", "date", "message-id", "auto-submitted", "x-penpot-event"),
    *("x-penpot-team", "x-penpot-file", "x-penpot-thread", "list-id", "references"),
    *("x-auto-response-suppress", "mime-version", "content-type", "content-transfer-encoding"),
}
_TAGS = {
    *("p", "br", "strong", "em", "del", "code", "pre", "blockquote", "ul", "ol", "li", "hr", "a"),
    *("h1", "h2", "h3", "h4", "h5", "h6"),
}
_ATTRIBUTES = {"a": {"href"}, "ol": {"start"}}
_VOID = {"br", "hr", "img", "meta"}


class _Html(HTMLParser):
    """Asserts that HTML is well-formed and has only these elements and attributes."""

    def __init__(self, html: str, attributes: dict[str, set[str]]) -> None:
        super().__init__()
        self._attributes = {tag: set[str]() for tag in _TAGS} | _ATTRIBUTES | attributes
        self._open: list[str] = []
        self.feed(html)
        self.close()
        assert not self._open, self._open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in self._attributes, tag
        for name, value in attrs:
            assert name in self._attributes[tag], (tag, name)
            if name == "href":
                assert urlsplit(value or "").scheme in ("http", "https", "mailto"), value
            if name == "start":
                assert (value or "").isdecimal(), value
        if tag not in _VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_comment(self, data: str) -> None:
        raise AssertionError(data)

    handle_pi = unknown_decl = handle_comment

    def handle_decl(self, decl: str) -> None:
        assert decl == "doctype html"


def check_forms(message: Message) -> None:
    """In each channel: within the documented limits, without a ping that ``message.mentions`` does
    not have, and nothing but the permitted markup."""
    people = {person.id: SLACK_USER for person in message.mentions}
    _check_slack(slack.render(message, people, {"slack_file": {"id": "F00000000"}}))
    _check_slack(slack.render(message))
    for literal in (slack.escape, slack.defused):
        text = slack.full_text(message, literal)
        assert not re.search("[<>]", text)
        assert "@" not in text.removesuffix(literal(message.url)).replace("@\u200b", "") or (
            literal is slack.escape
        )
    for image in (None, IMAGE):
        _check_matrix(matrix.render(message, image), message)
    _check_mail(message, PICTURE if message.url else None)
    text = message_text(message)
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]", text)
    _check_size(text, message)


def _check_size(text: str, message: Message) -> None:
    content = message.content
    size = sum(map(len, (message.title, content.body, content.footer, message.url, message.file)))
    assert len(text) <= 5000 + MAX_GROWTH_RATIO * size, (len(text), size)


def _check_slack(arguments: dict[str, Any]) -> None:
    assert arguments.keys() <= {"text", "blocks"}
    assert 1 <= len(arguments["text"]) <= 2000
    assert _ESCAPED_PATTERN.fullmatch(arguments["text"]), arguments["text"]
    blocks = arguments.get("blocks", [{"type": "divider"}])
    assert block_faults(blocks) == []
    assert not too_long(blocks)
    for inline in rich_inlines(blocks):
        assert inline["type"] in ("text", "link", "user", "date"), inline
        if re.match("https?://", inline.get("text", "")):
            assert inline.get("url", inline["text"]) == inline["text"], inline
        assert inline.get("user_id", SLACK_USER) == SLACK_USER
    for block in blocks:
        for element in block["elements"] if block["type"] == "context" else ():
            is_mrkdwn = element["type"] == "mrkdwn"
            pattern = _MRKDWN_PATTERN if is_mrkdwn else _ESCAPED_PATTERN
            assert pattern.fullmatch(element["text"]), element


def _check_matrix(content: dict[str, Any], message: Message) -> None:
    canonical = json.dumps(content, ensure_ascii=False, separators=(",", ":"))
    assert len(canonical.encode()) <= MAX_MATRIX_BYTES
    mentioned = {person.address("matrix") for person in message.mentions} - {""}
    assert set(content["m.mentions"].get("user_ids", ())) == mentioned
    assert content["body"]
    _Html(
        content.get("formatted_body", ""), {"sub": set(), "img": {"src", "alt", "width", "height"}}
    )


def _check_mail(message: Message, picture: Picture | None) -> None:
    mail = compose(message, "key", MAIL, recipients(message, MAIL), picture=picture)
    assert 1 <= len(str(mail["subject"])) <= 250
    sent = mail.as_bytes(policy=SMTP)
    assert max(map(len, sent.split(b"\r\n"))) <= 998
    assert not re.search(rb"\r(?!\n)|(?<!\r)\n", sent)
    received = message_from_bytes(sent)
    assert {name.lower() for name in received} <= _MAIL_HEADERS, list(received)
    assert (received["to"], received["from"]) == ("design@example.com", "Penpot <p@example.com>")
    parts: dict[str, Any] = {part.get_content_type(): part for part in received.walk()}
    _check_size(_text(parts["text/plain"]), message)
    html = _text(parts["text/html"])
    _check_size(html, message)
    layout = {name: {"style"} for name in ("body", "p")}
    layout |= {"blockquote": {"style", "class", "dir"}, "title": set()}
    layout |= {"html": {"lang"}, "head": set(), "meta": {"charset", "name", "content"}}
    layout |= {"style": set(), "div": {"style", "class"}, "a": {"href", "class", "style"}}
    layout |= {"img": {"src", "alt", "width", "height", "style"}}
    _Html(html, layout)


def _text(part: Any) -> str:
    return str(part.get_payload(decode=True).decode(part.get_content_charset("ascii")))
