"""Preview of what apprise gets: a title and a plain text."""

import json

from markupsafe import Markup

from relay.channels.apprise.content import render
from relay.channels.apprise.settings import AppriseSettings
from relay.channels.base import ReplyTo
from relay.channels.preview import MessagePreview
from relay.messages.message import Message


def preview(message: Message, thread: ReplyTo | None, settings: AppriseSettings) -> MessagePreview:
    notice = render(message, settings.service)
    source = json.dumps(notice._asdict(), indent=2, ensure_ascii=False)
    return MessagePreview(draw(*notice), source, notice.title, notifies=True)


def draw(title: str, body: str) -> Markup:
    heading = Markup("<b>{}</b>\n").format(title) if title else Markup()
    return Markup('<pre class="preview preview-apprise" tabindex="0">{}{}</pre>').format(
        heading, body
    )
