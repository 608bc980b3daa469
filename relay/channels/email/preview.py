"""Preview of a mail: its headers, and its HTML part as a document for an ``<iframe>``."""

import base64
import hashlib
import re
from collections.abc import Iterator
from email.message import EmailMessage
from html import unescape
from itertools import islice
from typing import Any
from urllib.parse import quote

from markupsafe import Markup

from relay.channels.base import ReplyTo
from relay.channels.email.message import compose, recipients
from relay.channels.email.settings import EmailSettings
from relay.channels.preview import PICTURE, SANDBOX, MessagePreview, PreviewFrame
from relay.messages.message import Message

_MAX_STYLES = 500  # hashes of 52 bytes, in one header
_HEADERS = ("From", "To", "Subject")
# All run in linear time: the text may come from any template.
_HEAD_PATTERN = re.compile(r"<head(?:\s[^<>]*)?>", re.IGNORECASE)
_STYLE_PATTERN = re.compile(
    r"""<style\b[^<>]*>(?P<element>[^<]*)|\bstyle\s*=\s*(?:"(?P<double>[^"]*)"|'(?P<single>[^']*)')""",
    re.IGNORECASE,
)
_CID_SOURCE_PATTERN = re.compile(r'src="cid:[^"]*"')
_BOX = (
    '<svg xmlns="http://www.w3.org/2000/svg" width="320" height="180">'
    '<rect width="100%" height="100%" fill="#8882"/></svg>'
)


def preview(message: Message, thread: ReplyTo | None, settings: EmailSettings) -> MessagePreview:
    """The mail with an empty box for a picture."""
    picture = PICTURE if message.picture else None
    to = recipients(message, settings)
    mail = compose(message, "preview", settings, to, thread, picture)
    rows = Markup("").join(
        Markup("<div><dt>{}</dt><dd>{}</dd></div>").format(name, str(mail[name]))
        for name in _HEADERS
        if mail[name]
    )
    html = Markup('<dl class="preview preview-mail">{}</dl>').format(rows)
    document = frame(_part(mail, "html"))
    source = mail.as_bytes().decode()
    return MessagePreview(html, source, str(mail["Subject"]), _part(mail, "plain"), document)


def frame(html: str) -> PreviewFrame:
    """Links open outside the frame; external pictures are not loaded, as in most mail clients."""
    box = f"data:image/svg+xml,{quote(_BOX)}"
    html = _CID_SOURCE_PATTERN.sub(f'src="{box}"', html)
    html = _HEAD_PATTERN.sub(lambda head: f'{head[0]}<base target="_blank">', html, count=1)
    hashes = " ".join(map(_hash, islice(dict.fromkeys(_styles(html)), _MAX_STYLES)))
    allowed = f"'unsafe-hashes' {hashes}" if hashes else "'none'"
    return PreviewFrame(
        html,
        f"default-src 'none'; style-src {allowed}; img-src data:; form-action 'none'; "
        f"frame-ancestors 'self'; sandbox {SANDBOX}",
    )


def _styles(html: str) -> Iterator[str]:
    """The styles of a document's ``style`` elements and attributes; may yield more."""
    for match in _STYLE_PATTERN.finditer(html):
        if match["element"] is not None:
            yield match["element"]
        else:
            yield unescape(match["double"] or match["single"] or "")


def _hash(style: str) -> str:
    digest = hashlib.sha256(style.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"


def _part(mail: EmailMessage, subtype: str) -> str:
    part: Any = mail.get_body((subtype,))
    # As browsers read it: the hash of a style is that of its lines.
    return str(part.get_content()).replace("\r\n", "\n")
