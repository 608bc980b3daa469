"""A mail: its headers, and its HTML part as a document for a frame of its own."""

import base64
import hashlib
import re
from collections.abc import Iterator, Sequence
from email.message import EmailMessage
from html import unescape
from itertools import islice
from typing import Any
from urllib.parse import quote

from markupsafe import Markup

from relay.channels.base import ReplyTo
from relay.channels.email_message import address, compose
from relay.inspector.look import Frame, Look
from relay.messages.message import Message
from relay.picture import Picture

SANDBOX = "allow-popups allow-popups-to-escape-sandbox"
"""What the frame may do: open a link beside the inspector."""

_MOST_STYLES = 500  # hashes of 52 bytes, in one header
_HEADERS = ("From", "To", "Cc", "Subject")
# Each in time that grows with the text alone: it may be of any template that somebody types.
_HEAD = re.compile(r"<head(?:\s[^<>]*)?>", re.IGNORECASE)
_STYLE = re.compile(
    r"""<style\b[^<>]*>(?P<element>[^<]*)|\bstyle\s*=\s*(?:"(?P<double>[^"]*)"|'(?P<single>[^']*)')""",
    re.IGNORECASE,
)
_ATTACHED = re.compile(r'src="cid:[^"]*"')
_BOX = (
    '<svg xmlns="http://www.w3.org/2000/svg" width="480" height="270">'
    '<rect width="100%" height="100%" fill="#8882"/></svg>'
)
_PICTURE = Picture(b"", "image/png", 480, 270)


def look(message: Message, thread: ReplyTo | None, sender: str, to: Sequence[str]) -> Look:
    """The mail as a mail program shows it, a picture as an empty box."""
    picture = _PICTURE if message.picture else None
    mail = compose(
        message, "look", address(sender), list(map(address, to)), thread, picture=picture
    )
    rows = Markup("").join(
        Markup("<div><dt>{}</dt><dd>{}</dd></div>").format(name, str(mail[name]))
        for name in _HEADERS
        if mail[name]
    )
    html = Markup('<dl class="look look-mail">{}</dl>').format(rows)
    return Look(html, str(mail["Subject"]), _part(mail, "plain"), frame(_part(mail, "html")))


def frame(html: str) -> Frame:
    """The document for a mail's HTML, and the policy to serve it with. Links open outside of the
    frame, as mail programs do it; pictures of the web are left out, as they mostly do."""
    box = f"data:image/svg+xml,{quote(_BOX)}"
    html = _ATTACHED.sub(f'src="{box}"', html)
    html = _HEAD.sub(lambda head: f'{head[0]}<base target="_blank">', html, count=1)
    hashes = " ".join(map(_hash, islice(dict.fromkeys(_styles(html)), _MOST_STYLES)))
    allowed = f"'unsafe-hashes' {hashes}" if hashes else "'none'"
    return Frame(
        html,
        f"default-src 'none'; style-src {allowed}; img-src data:; form-action 'none'; "
        f"frame-ancestors 'self'; sandbox {SANDBOX}",
    )


def _styles(html: str) -> Iterator[str]:
    """Every style in a document: of its ``style`` elements and attributes, maybe more."""
    for found in _STYLE.finditer(html):
        if found["element"] is not None:
            yield found["element"]
        else:
            yield unescape(found["double"] or found["single"] or "")


def _hash(style: str) -> str:
    digest = hashlib.sha256(style.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"


def _part(mail: EmailMessage, subtype: str) -> str:
    part: Any = mail.get_body((subtype,))
    return str(part.get_content())
