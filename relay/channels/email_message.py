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
from relay.messages.graphemes import shorten
from relay.messages.html import to_html
from relay.messages.markdown import Block, Document, Paragraph, Text, parse
from relay.messages.mentions import with_people
from relay.messages.message import Mention, Message
from relay.messages.plain import cut, to_text
from relay.picture import Picture

_SUBJECT = 200  # characters; mail programs show less
_TEXT = 100_000

# A header is one line; \s and the rest are all that any reader of mail takes for a line's end.
_SPACES = re.compile(r"[\s\x00-\x1f\x7f-\x9f]+")
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\ud800-\udfff]")
# An address in its plain form (RFC 5321, 4.1.2: Dot-string and Domain), in ASCII.
_LOCAL = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*")
_DOMAIN = re.compile(
    r"[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?)*"
)
_NOT_IN_TOKEN = re.compile(r"[^A-Za-z0-9._-]+")

# 7bit: text that isn't ASCII in short lines is sent as quoted-printable or base64, so that no
# server on the way needs 8BITMIME and no line passes 998 octets (RFC 5322 2.1.1).
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
_WIDEST = 480  # pixels of a picture
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
    """The mail, ready for ``as_bytes``. Its ``Message-ID`` depends on ``key`` alone. ``copies`` are
    those of the mentioned who get it as well.

    A mail in a ``thread`` has the subject of the thread's first, since some mailboxes keep
    together only what has one subject.
    """
    mail = EmailMessage(_POLICY)
    mail["From"] = sender
    mail["To"] = to
    if copies:
        mail["Cc"] = copies
    title = message.title if thread is None else f"Re: {thread.title}"
    mail["Subject"] = shorten(_line(title), _SUBJECT) or "Penpot"
    mail["Date"] = _date(message.at)
    mail["Message-ID"] = message_id(key, sender)
    if thread is not None:  # RFC 5322, section 3.6.4
        mail["In-Reply-To"] = thread.last
        mail["References"] = " ".join(dict.fromkeys((thread.root, thread.last)))
    mail["Auto-Submitted"] = "auto-generated"  # RFC 3834: no out-of-office replies, please
    for header, value in (("X-Penpot-Event", message.event), ("X-Penpot-Team", message.team)):
        if token := _NOT_IN_TOKEN.sub("-", value).strip("-")[:100]:
            mail[header] = token
    body, footer = cut(parse(message.body), _TEXT), parse(message.footer)
    mail.set_content(_clean(_plain(message, body, footer)))
    shown = None if message.override else picture
    html = message.override or _html(message, body, footer, _image(message, key, shown))
    mail.add_alternative(_clean(html), subtype="html")
    if shown is not None:
        _, part = mail.iter_parts()
        part.add_related(
            shown.content,
            "image",
            shown.extension,
            cid=f"<{_content_id(key)}>",
            disposition="inline",
            filename=f"thumbnail.{shown.extension}",
        )
    return mail


def address(text: str) -> Address:
    """The address that the config writes in one line, with or without a name."""
    name, bare = getaddresses([text])[0]
    return Address(display_name=name, addr_spec=bare)


def mailbox(person: Mention) -> Address | None:
    """Where somebody who is mentioned gets mail; None where that is no address that every server
    takes."""
    local, _, domain = person.mail.rpartition("@")
    if not _LOCAL.fullmatch(local) or not _DOMAIN.fullmatch(domain):
        return None
    return Address(_line(person.name), local, domain)


def message_id(key: str, sender: Address) -> str:
    """The ``Message-ID`` of the delivery ``key``, with its angle brackets."""
    return f"<{hashlib.sha256(key.encode()).hexdigest()[:40]}@{sender.domain}>"


def _content_id(key: str) -> str:
    return f"{hashlib.sha256(key.encode()).hexdigest()[:40]}@thumbnail"


def _image(message: Message, key: str, picture: Picture | None) -> str:
    if picture is None:
        return ""
    width = min(picture.width, _WIDEST)
    words = escape(_line(message.file) or "Thumbnail")
    return (
        f'<p><img src="cid:{_content_id(key)}" alt="{words}" width="{width}" '
        f'style="{_IMAGE_STYLE}"></p>\n'
    )


def _line(text: str) -> str:
    """One line of text for a header.

    Python's ``email`` decodes an RFC 2047 word in whatever is put into a header, line ends in
    it included: ``=?utf-8?q?=0D=0ABcc:…?=`` would add a header. An invisible joiner keeps such
    a word from being one.
    """
    return _SPACES.sub(" ", _clean(text)).strip().replace("=?", "=\u2060?")


def _clean(text: str) -> str:
    return _CONTROLS.sub(" ", text)


def _date(at: str) -> datetime:
    try:
        found = datetime.fromisoformat(at)
    except ValueError:
        return datetime.now(UTC)
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _plain(message: Message, body: Document, footer: Document) -> str:
    """The text part, with the dashes of a signature before the footer."""
    text = to_text(body, links=True) or message.title
    small = to_text(footer, links=True)
    return f"{text}\n\n-- \n{small}\n" if small else f"{text}\n"


def _html(message: Message, body: Document, footer: Document, image: str) -> str:
    pinged = {one.id for one in message.mentions}
    body = with_people(body, lambda part: replace(part, bold=part.bold or part.profile in pinged))
    # Text is escaped, so that this tag is never someone's words.
    html = to_html(body) or f"<p>{escape(message.title)}</p>"
    html = html.replace("<blockquote>", f'<blockquote style="{_QUOTE_STYLE}">')
    html += image
    button = small = ""
    if message.url.startswith(("http://", "https://")):
        link = f'<a class="button" href="{escape(message.url)}" style="{_BUTTON_STYLE}">'
        button = f"<p>{link}Open in Penpot</a></p>\n"
        footer = tuple(_without(block, message.url) for block in footer)
    if footer:
        small = f'<div class="footer" style="{_FOOTER_STYLE}">{to_html(footer)}</div>\n'
    return _HTML.format(body_style=_BODY_STYLE, body=html, button=button, footer=small)


def _without(block: Block, url: str) -> Block:
    """A line of the footer without the link that the button is."""
    if not isinstance(block, Paragraph):
        return block
    kept = [part for part in block.inlines if not (isinstance(part, Text) and part.url == url)]
    if kept and isinstance(kept[-1], Text) and len(kept) < len(block.inlines):
        kept[-1] = replace(kept[-1], text=kept[-1].text.rstrip(" ·"))
    return Paragraph(tuple(kept))
