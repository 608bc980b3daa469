"""Previews of messages as HTML: what a channel type returns, and what the types share."""

import re
from base64 import b64decode
from dataclasses import dataclass
from datetime import UTC, datetime

from markupsafe import Markup

from relay.messages.document import SCHEMES, parse, to_text, with_dates
from relay.messages.escape import safe_url
from relay.messages.message import Message, Picture

PICTURE = Picture(b64decode("R0lGODlhAQABAAAAACwAAAAAAQABAAA="), "image/gif", width=480, height=270)
"""In place of a thumbnail, which a preview does not load."""

# A terminal executes control characters; a message needs only its line ends.
_CONTROLS_PATTERN = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]")

LINK_ATTRIBUTES = Markup('target="_blank" rel="noopener noreferrer nofollow"')
"""Of every link in a preview."""


def link(url: object, inner: str) -> Markup:
    """A link to a new window; only its text if channels would not follow the URL's scheme."""
    address = safe_url(url, SCHEMES) if isinstance(url, str) else ""
    if not address:
        return Markup("{}").format(inner)
    return Markup('<a {} href="{}">{}</a>').format(LINK_ATTRIBUTES, address, inner)


def wrapped(tag: str, inner: str) -> Markup:
    """``tag`` must not come from a message."""
    return Markup(f"<{tag}>{{}}</{tag}>").format(inner)  # noqa: S704 - see above


def image(alt_text: object) -> Markup:
    """A box in place of a picture, which the inspector does not load."""
    text = alt_text if isinstance(alt_text, str) and alt_text else "Picture"
    return Markup('<span class="preview-image" role="img" aria-label="{0}">{0}</span>').format(text)


def local_time(at: datetime, text: str = "", form: str = "") -> Markup:
    """A ``<time>``, which the inspector's ``app.js`` writes in the browser's zone and language;
    ``form`` has tokens as Slack's dates, such as ``{time}``. Without scripts ``text`` stays, by
    default the time in UTC."""
    at = at.astimezone(UTC)
    exact = at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return Markup('<time datetime="{}"{}>{}</time>').format(
        exact,
        Markup(' data-form="{}"').format(form) if form else "",
        text or f"{at:%F %T} UTC",
    )


def posted_at(at: str) -> Markup:
    """An ISO 8601 time beside a sender's name; empty if it is invalid."""
    try:
        return local_time(datetime.fromisoformat(at), form="{date_short_pretty} {time}")
    except (ValueError, OverflowError):
        return Markup()


SANDBOX = "allow-popups allow-popups-to-escape-sandbox"
"""Flags of an ``<iframe>`` with a preview: links open in a new window."""


@dataclass(frozen=True, slots=True)
class PreviewFrame:
    """A document with styles of its own, for an ``<iframe>``."""

    html: str
    policy: str
    """Its ``Content-Security-Policy``: own styles by their hashes, no scripts, nothing external,
    sandboxed."""


@dataclass(frozen=True, slots=True)
class MessagePreview:
    html: Markup  # for a page; of a mail only the headers
    source: str
    """What the channel sends, and ``html`` shows: JSON, or the bytes of a mail."""
    title: str = ""  # the text of a notification, or a subject
    text: str = ""  # the plain text that is sent beside HTML
    frame: PreviewFrame | None = None  # a document that is not part of the page
    notifies: bool = False  # whether the title is the text of a notification
    note: str = ""  # why the channel does not use the template's output, if so


def plain_preview(message: Message) -> MessagePreview:
    text = message_text(message)
    html = Markup('<pre class="preview preview-terminal" tabindex="0">{}</pre>').format(text)
    return MessagePreview(html, text, message.title)


def message_text(message: Message) -> str:
    """The body, which says all that the title does, and the footer, without control characters.

    Of a message with a URL only that URL is shown, on its own line: plain text can't hide the
    other links behind their text.
    """
    links = not message.url
    texts = (message.content.body, message.content.footer)
    documents = (with_dates(parse(text)) for text in texts)  # a log may be read later
    parts = (to_text(document, links=links, quoted="│ ") for document in documents)
    text = "\n\n".join(filter(None, parts)) or message.title
    return _CONTROLS_PATTERN.sub(" ", f"{text}\n{message.url}" if message.url else text)
