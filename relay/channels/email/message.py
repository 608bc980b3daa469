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
from html import escape

from relay.channels.base import ReplyTo
from relay.messages.document import Block, Document, Paragraph, Text, parse, replace_mentions
from relay.messages.html import to_html
from relay.messages.message import Mention, Message, Picture
from relay.messages.plain import cut, shorten, to_text

_MAX_SUBJECT_LENGTH = 200  # characters; mail programs show less
_MAX_TEXT_LENGTH = 100_000
_MAX_IMAGE_WIDTH = 480  # pixels

# A header is one line; this is everything that a mail program may read as a line end.
_BLANKS_PATTERN = re.compile(r"[\s\x00-\x1f\x7f-\x9f]+")
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
_POLICY = SMTP.clone(cte_type="7bit")

_HTML = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<meta name="color-scheme" content="light dark">
<style>
@media (prefers-color-scheme: dark) {{
  body {{ background: #18181a !important; color: #e6e6e8 !important; }}
  a {{ color: #91fadb !important; }}
  .button {{ background: #91fadb !important; color: #18181a !important; }}
  .footer, .footer a {{ color: #9d9da3 !important; }}
}}
</style>
</head>
<body style="{body_style}">
<div style="max-width: 36em; margin: 0 auto;">
{body}
{button}{footer}</div>
</body>
</html>
"""
_BODY_STYLE = (
    "margin: 0; padding: 24px; background: #ffffff; color: #1f1f23; "
    "font: 16px/1.5 system-ui, -apple-system, 'Segoe UI', sans-serif;"
)
_IMAGE_STYLE = "max-width: 100%; height: auto; border-radius: 8px; border: 1px solid #8080804d;"
_QUOTE_STYLE = "margin: 16px 0; padding: 0 0 0 14px; border-left: 3px solid #6911d4;"
_BUTTON_STYLE = (
    "display: inline-block; padding: 8px 16px; border-radius: 8px; "
    "background: #6911d4; color: #ffffff; text-decoration: none;"
)
_FOOTER_STYLE = "margin-top: 24px; font-size: 13px; color: #6f6f78;"


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
    mail["From"] = sender
    mail["To"] = to
    if copies:
        mail["Cc"] = copies
    title = message.title if thread is None else f"Re: {thread.title}"
    mail["Subject"] = shorten(_line(title), _MAX_SUBJECT_LENGTH) or "Penpot"
    mail["Date"] = _date(message.at)
    mail["Message-ID"] = message_id(key, sender)
    if thread is not None:  # RFC 5322, section 3.6.4
        mail["In-Reply-To"] = thread.last
        mail["References"] = " ".join(dict.fromkeys((thread.root, thread.last)))
    mail["Auto-Submitted"] = "auto-generated"  # RFC 3834: suppresses out-of-office replies
    for header, value in (("X-Penpot-Event", message.event), ("X-Penpot-Team", message.team)):
        if token := _NOT_TOKEN_PATTERN.sub("-", value).strip("-")[:100]:
            mail[header] = token
    body, footer = cut(parse(message.content.body), _MAX_TEXT_LENGTH), parse(message.content.footer)
    mail.set_content(_clean(_plain(message, body, footer)))
    if message.content.override:
        picture = None
    html = message.content.override or _html(message, body, footer, _image(message, key, picture))
    mail.add_alternative(_clean(html), subtype="html")
    if picture is not None:
        _, part = mail.iter_parts()
        part.add_related(
            picture.content,
            "image",
            picture.extension,
            cid=f"<{_content_id(key)}>",
            disposition="inline",
            filename=f"thumbnail.{picture.extension}",
        )
    return mail


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
    return Address(_line(person.name), local, domain)


def message_id(key: str, sender: Address) -> str:
    return f"<{hashlib.sha256(key.encode()).hexdigest()[:40]}@{sender.domain}>"


def _content_id(key: str) -> str:
    return f"{hashlib.sha256(key.encode()).hexdigest()[:40]}@thumbnail"


def _image(message: Message, key: str, picture: Picture | None) -> str:
    if picture is None:
        return ""
    width = min(picture.width, _MAX_IMAGE_WIDTH)
    alt_text = escape(_line(message.file) or "Thumbnail")
    return (
        f'<p><img src="cid:{_content_id(key)}" alt="{alt_text}" width="{width}" '
        f'style="{_IMAGE_STYLE}"></p>\n'
    )


def _line(text: str) -> str:
    """Text for a header.

    Python's ``email`` decodes RFC 2047 encoded words in header values, including line ends:
    ``=?utf-8?q?=0D=0ABcc:…?=`` would add a header. An invisible joiner after ``=`` prevents that.
    """
    return _BLANKS_PATTERN.sub(" ", _clean(text)).strip().replace("=?", "=\u2060?")


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


def _html(message: Message, body: Document, footer: Document, image: str) -> str:
    pinged = {one.id for one in message.mentions}
    body = replace_mentions(
        body, lambda part: replace(part, bold=part.bold or part.profile in pinged)
    )
    # Text is escaped, so no user's text contains this tag.
    html = to_html(body) or f"<p>{escape(message.title)}</p>"
    html = html.replace("<blockquote>", f'<blockquote style="{_QUOTE_STYLE}">')
    html += image
    button = footer_html = ""
    if message.url.startswith(("http://", "https://")):
        link = f'<a class="button" href="{escape(message.url)}" style="{_BUTTON_STYLE}">'
        button = f"<p>{link}Open in Penpot</a></p>\n"
        footer = tuple(_without_link(block, message.url) for block in footer)
    if footer:
        footer_html = f'<div class="footer" style="{_FOOTER_STYLE}">{to_html(footer)}</div>\n'
    return _HTML.format(body_style=_BODY_STYLE, body=html, button=button, footer=footer_html)


def _without_link(block: Block, url: str) -> Block:
    """A line of the footer without the link that the button has."""
    if not isinstance(block, Paragraph):
        return block
    kept = [part for part in block.inlines if not (isinstance(part, Text) and part.url == url)]
    if kept and isinstance(kept[-1], Text) and len(kept) < len(block.inlines):
        kept[-1] = replace(kept[-1], text=kept[-1].text.rstrip(" ·"))
    return Paragraph(tuple(kept))
