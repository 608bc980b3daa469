"""Preview of a Mattermost message: the Markdown that is posted, styled like Mattermost."""

import json
from typing import Any

from markupsafe import Markup

from relay.channels.base import ReplyTo
from relay.channels.markdown_preview import to_preview
from relay.channels.mattermost.content import TEXT
from relay.channels.mattermost.settings import MattermostSettings
from relay.channels.preview import MessagePreview, image, posted_at
from relay.messages.message import Message


def preview(
    message: Message, thread: ReplyTo | None, settings: MattermostSettings
) -> MessagePreview:
    """The message with a labelled box for its picture."""
    text = TEXT.render(message)
    body: dict[str, Any] = {"message" if settings.token else "text": text}
    if thread is not None and settings.token:
        body["root_id"] = thread.root
    people = TEXT.pinged(message)
    has_picture = bool(message.picture) and settings.has_thumbnails
    shown = posted(
        draw(text, {f"@{name}": name for name in (who.address("mattermost") for who in people)}),
        posted_at(message.at),
        settings.username or "Penpot",
    )
    if has_picture:
        shown = shown.replace("</article>", image(message.file) + Markup("</article>"))
    source = json.dumps(body, indent=2, ensure_ascii=False)
    return MessagePreview(shown, source, message.title, notifies=bool(people))


def draw(text: str, names: dict[str, str]) -> Markup:
    return to_preview(text, names)


def posted(text: Markup, time: Markup, sender: str = "Penpot") -> Markup:
    return Markup(
        '<article class="preview preview-mattermost">'
        '<span class="preview-icon" aria-hidden="true">{}</span>'
        '<div class="preview-who"><b>{}</b> <span class="preview-app">BOT</span> '
        '<span class="preview-time">{}</span></div>'
        '<div class="preview-body">{}</div></article>'
    ).format(sender[:1], sender, time, text)
