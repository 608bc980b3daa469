"""How a message looks to its reader, channel by channel, as HTML for the inspector's pages.

What is drawn is what the channel itself makes of the message. Nothing of a message's text becomes
markup that the channel would not show, and there is no style in the HTML: ``static/look.css`` has
the classes, so that a page's Content-Security-Policy need not allow any.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from relay.channels.base import ReplyTo
from relay.messages.message import Message

SENDER = "Penpot <penpot@example.com>"
RECIPIENTS = ("design@example.com",)
"""The addresses of a mail by no channel in particular."""


@dataclass(frozen=True, slots=True)
class Frame:
    """A document that needs a page of its own: a mail brings its own styles."""

    html: str
    policy: str
    """The ``Content-Security-Policy`` to serve it with: its own styles by their hashes, no script,
    nothing from outside, sandboxed."""


@dataclass(frozen=True, slots=True)
class Look:
    """A message as its reader sees it."""

    html: Markup
    """For a place inside a page; of a mail what stands above the ``frame``."""
    title: str = ""
    """What a notification says (Slack, Matrix), or the subject of a mail."""
    text: str = ""
    """What those see who are shown no markup: Matrix's ``body``, a mail's plain part."""
    frame: Frame | None = None
    """The mail itself."""
    note: str = ""
    """Why the channel shows the message in another way than its template wants; mostly empty."""


def shown(
    kind: str,
    message: Message,
    thread: ReplyTo | None = None,
    *,
    sender: str = SENDER,
    to: Sequence[str] = RECIPIENTS,
) -> Look:
    """The look of ``message`` in a channel of that kind, as a reply where it stands in a
    ``thread``. ``sender`` and ``to`` are the addresses of a mail, as the config writes them."""
    if thread is not None:
        message = message.in_thread()
    match kind:
        case "slack":
            from relay.inspector.look import slack

            return slack.look(message)
        case "matrix":
            from relay.inspector.look import matrix

            return matrix.look(message)
        case "email":
            from relay.inspector.look import mail

            return mail.look(message, thread, sender, to)
        case _:
            from relay.channels import stdout

            text = stdout.render(message)
            html = Markup('<pre class="look look-stdout" tabindex="0">{}</pre>').format(text)
            return Look(html, message.title, text)
