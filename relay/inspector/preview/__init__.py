"""Previews: a message as each channel shows it, as HTML for the inspector's pages.

Previews use the channel's own rendering of the message. A message's text becomes no markup that the
channel would not show. The HTML has classes of ``static/preview.css`` and no inline styles, which
the pages' Content-Security-Policy forbids.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from relay.channels.base import ReplyTo
from relay.messages.message import Message

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
            from relay.inspector.preview import slack

            return slack.preview(message)
        case "matrix":
            from relay.inspector.preview import matrix

            return matrix.preview(message)
        case "email":
            from relay.inspector.preview import mail

            return mail.preview(message, thread, sender, to)
        case _:
            from relay.channels import stdout

            text = stdout.render(message)
            html = Markup('<pre class="preview preview-stdout" tabindex="0">{}</pre>').format(text)
            return MessagePreview(html, message.title, text)
