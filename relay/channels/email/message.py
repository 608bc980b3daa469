"""A message as a mail: headers, plain text and HTML."""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import getaddresses
from functools import cache
from html import escape
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, Template
from markupsafe import Markup

from relay.channels.base import ReplyTo
from relay.channels.email.headers import address_header, fold, text_header
from relay.channels.errors import one_line
from relay.messages.document import (
    Block,
    Document,
    Paragraph,
    Text,
    cut,
    length,
    parse,
    replace_mentions,
    shorten,
    to_text,
)
from relay.messages.html import to_html
from relay.messages.message import Mention, Message, Picture

_MAX_SUBJECT_LENGTH = 200  # characters; mail programs show less
_MAX_NAME_LENGTH = 100
_MAX_TEXT_LENGTH = 100_000

_CONTROLS_PATTERN = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\ud800-\udfff]")
# The ASCII forms that every server accepts (RFC 5321, 4.1.2: Dot-string and Domain).
_LOCAL_PART_PATTERN = re.compile(
    r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*"
)
_DOMAIN_PATTERN = re.compile(
    r"[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?)*"
)
_NOT_TOKEN_PATTERN = re.compile(r"[^A-Za-z0-9._-]+")

# 7bit: text other than short ASCII lines is sent as quoted-printable or base64, so that no server
# needs 8BITMIME and no line exceeds 998 octets (RFC 5322 2.1.1).
# The headers are folded already.
_POLICY = SMTP.clone(cte_type="7bit", refold_source="none")

_QUOTE_STYLE = "margin: 16px 0; padding: 0 0 0 14px; border-left: 3px solid #6911d4;"


def compose(
    message: Message,
    key: str,
    sender: Address,
    to: Sequence[Address],
    thread: ReplyTo | None = None,
    *,
    copies: Sequence[Address] = (),
    picture: Picture | None = None,
) -> EmailMessage:
    """The mail, ready for ``as_bytes``, with ``copies`` as ``Cc``. Its ``Message-ID`` depends on
    ``key`` and the sender's domain only.

    A mail in a ``thread`` has the subject of the thread's first mail, since some mail programs
    group mails by subject.
    """
    mail = EmailMessage(_POLICY)
    for name, addresses in (("From", [sender]), ("To", to), ("Cc", copies)):
        if addresses:
            mail.set_raw(name, address_header(name, addresses))
    title = message.subject if thread is None else f"Re: {thread.title}"
    subject = shorten(_line(title), _MAX_SUBJECT_LENGTH) or "Penpot"
    mail.set_raw("Subject", text_header("Subject", subject))
    mail["Date"] = _date(message.at)
    mail.set_raw("Message-ID", f"<{_hash(key)}@{sender.domain}>")
    if thread is not None:  # RFC 5322, section 3.6.4
        mail.set_raw("In-Reply-To", thread.last)
        ids = dict.fromkeys((thread.root, thread.last))
        mail.set_raw("References", fold("References", ids))
    mail["Auto-Submitted"] = "auto-generated"  # RFC 3834: suppresses out-of-office replies
    for header, value in (("X-Penpot-Event", message.event), ("X-Penpot-Team", message.team)):
        if token := _NOT_TOKEN_PATTERN.sub("-", value).strip("-")[:60]:
            mail[header] = token
    body, footer = cut(parse(message.content.body), _MAX_TEXT_LENGTH), parse(message.content.footer)
    mail.set_content(_clean(_plain(message, body, footer)))
    picture = None if message.content.override else picture
    html = message.content.override or _html(message, body, footer, picture, key)
    mail.add_alternative(_clean(html), subtype="html")
    if picture is not None:
        _, part = mail.iter_parts()
        part.add_related(
            picture.content,
            "image",
            picture.extension,
            cid=f"<{_hash(key)}@thumbnail>",
            disposition="inline",
            filename=f"thumbnail.{picture.extension}",
        )
    return mail


def fits(message: Message) -> bool:
    """Whether the mail has all text."""
    return length(parse(message.content.body)) <= _MAX_TEXT_LENGTH


def address(text: str) -> Address:
    """Parse an address of the config, with or without a display name."""
    name, bare = getaddresses([text])[0]
    return Address(display_name=name, addr_spec=bare)


def mail_address(person: Mention) -> str:
    """The one in the config, else the one in Penpot."""
    return person.address("email") or person.email


def mailbox(person: Mention) -> Address | None:
    """None where the person has no address that every server accepts."""
    local, _, domain = mail_address(person).rpartition("@")
    if not _LOCAL_PART_PATTERN.fullmatch(local) or not _DOMAIN_PATTERN.fullmatch(domain):
        return None
    return Address(shorten(_line(person.name), _MAX_NAME_LENGTH), local, domain)


def _hash(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()[:32]


def _line(text: str) -> str:
    """Text for a header."""
    return one_line(_clean(text))


def _clean(text: str) -> str:
    return _CONTROLS_PATTERN.sub(" ", text)


def _date(at: str) -> datetime:
    try:
        date = datetime.fromisoformat(at)
    except ValueError:
        return datetime.now(UTC)
    return date if date.tzinfo else date.replace(tzinfo=UTC)


def _plain(message: Message, body: Document, footer: Document) -> str:
    text = to_text(body, links=True) or message.title
    signature = to_text(footer, links=True)
    return f"{text}\n\n-- \n{signature}\n" if signature else f"{text}\n"


def _html(
    message: Message, body: Document, footer: Document, picture: Picture | None, key: str
) -> str:
    pinged = {one.id for one in message.mentions}
    body = replace_mentions(
        body, lambda part: replace(part, bold=part.bold or part.profile in pinged)
    )
    # Text is escaped, so no user's text contains this tag.
    html = to_html(body) or f"<p>{escape(message.title)}</p>"
    html = html.replace("<blockquote>", f'<blockquote style="{_QUOTE_STYLE}">')
    url = message.url if message.url.startswith(("http://", "https://")) else ""
    if url:
        footer = tuple(_without_link(block, url) for block in footer)
    parts = {"body": Markup(html), "footer": Markup(to_html(footer))}  # noqa: S704 - escaped
    alt_text = Markup(escape(_line(message.file) or "Thumbnail"))  # noqa: S704 - escaped
    return _template().render(
        parts, url=url, picture=picture, content_id=f"{_hash(key)}@thumbnail", alt_text=alt_text
    )


@cache
def _template() -> Template:
    loader = FileSystemLoader(Path(__file__).parent)
    environment = Environment(loader=loader, autoescape=True, trim_blocks=True)
    return environment.get_template("mail.html")


def _without_link(block: Block, url: str) -> Block:
    """A line of the footer without the link that the button has."""
    if not isinstance(block, Paragraph):
        return block
    kept = [part for part in block.inlines if not (isinstance(part, Text) and part.url == url)]
    if kept and isinstance(kept[-1], Text) and len(kept) < len(block.inlines):
        kept[-1] = replace(kept[-1], text=kept[-1].text.rstrip(" ·"))
    return Paragraph(tuple(kept))
