"""What a webhook gets of a message: a JSON document, or the output of the user's template."""

import json

from markupsafe import Markup

from relay.channels.base import ReplyTo
from relay.channels.preview import MessagePreview
from relay.channels.webhook.settings import WebhookSettings
from relay.messages.message import Message
from relay.messages.payload import numbered


def body(message: Message) -> str:
    return message.content.override or json.dumps(
        numbered(message), ensure_ascii=False, separators=(",", ":")
    )


def preview(message: Message, thread: ReplyTo | None, settings: WebhookSettings) -> MessagePreview:
    """The same, indented."""
    text = json.dumps(json.loads(body(message)), ensure_ascii=False, indent=2)
    html = Markup('<pre class="preview preview-terminal" tabindex="0">{}</pre>').format(text)
    return MessagePreview(html, text, message.title)
