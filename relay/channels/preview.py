"""HTML shared by the previews: links, pictures, times."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from markupsafe import Markup

from relay.channels.base import ReplyTo
from relay.messages.escape import safe_url
from relay.messages.message import Message

_SCHEMES = ("http://", "https://", "mailto:")


def link(url: object, inner: str) -> Markup:
    """A link to a new window; only its text if channels would not follow the URL's scheme."""
    address = safe_url(url, _SCHEMES) if isinstance(url, str) else ""
    if not address:
        return Markup("{}").format(inner)
    return Markup('<a href="{}" target="_blank" rel="noopener noreferrer nofollow">{}</a>').format(
        address, inner
    )


def wrapped(tag: str, inner: str) -> Markup:
    """``tag`` must not come from a message."""
    return Markup(f"<{tag}>{{}}</{tag}>").format(inner)  # noqa: S704 - see above


def image(alt_text: object) -> Markup:
    """A box in place of a picture, which the inspector does not load."""
    text = alt_text if isinstance(alt_text, str) and alt_text else "Picture"
    return Markup('<span class="preview-image" role="img" aria-label="{0}">{0}</span>').format(text)


def clock(at: str) -> str:
    """The time of day of an ISO 8601 time, in its zone; empty if it is invalid."""
    try:
        return f"{datetime.fromisoformat(at):%H:%M}"
    except ValueError:
        return ""


# The addresses of a mail without a channel.
SENDER = "Penpot <penpot@example.com>"
RECIPIENTS = ("design@example.com",)


@dataclass(frozen=True, slots=True)
class PreviewFrame:
    """A document for an ``<iframe>``: a mail has its own styles."""

    html: str
    policy: str
    """Its ``Content-Security-Policy``: own styles by their hashes, no scripts, nothing external,
    sandboxed."""


@dataclass(frozen=True, slots=True)
class MessagePreview:
    html: Markup  # for a page; of a mail only the headers
    title: str = ""  # the notification's text (Slack, Matrix), or a mail's subject
    text: str = ""  # the plain text: Matrix's ``body``, a mail's plain part
    frame: PreviewFrame | None = None  # the mail's HTML
    note: str = ""  # why the channel does not use the template's output, if so


def render_preview(
    kind: str,
    message: Message,
    thread: ReplyTo | None = None,
    *,
    sender: str = SENDER,
    to: Sequence[str] = RECIPIENTS,
) -> MessagePreview:
    """Preview in a channel of that kind, as a reply if there is a ``thread``. ``sender`` and ``to``
    are a mail's addresses, as in the config."""
    if thread is not None:
        message = message.in_thread()
    match kind:
        case "slack":
            from relay.channels.slack import preview as slack

            return slack.preview(message)
        case "matrix":
            from relay.channels.matrix import preview as matrix

            return matrix.preview(message)
        case "email":
            from relay.channels.email import preview as mail

            return mail.preview(message, thread, sender, to)
        case _:
            from relay.channels import stdout

            text = stdout.render(message)
            html = Markup('<pre class="preview preview-stdout" tabindex="0">{}</pre>').format(text)
            return MessagePreview(html, message.title, text)
