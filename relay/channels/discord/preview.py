"""Preview of a Discord message: the embed that is posted, styled like Discord."""

import json
import re
from datetime import UTC, datetime

from markupsafe import Markup

from relay.channels.base import ReplyTo
from relay.channels.discord import content as discord_content
from relay.channels.discord.settings import DiscordSettings
from relay.channels.markdown_preview import to_preview
from relay.channels.preview import MessagePreview, image, local_time, posted_at
from relay.messages.message import Message

_SMALL = "-# "
_TIME_PATTERN = re.compile(r"&lt;t:(\d{1,11}):([fDt])&gt;")
_TIME_FORMS = {"f": "{date_short_pretty} {time}", "D": "{date_short_pretty}", "t": "{time}"}


def preview(message: Message, thread: ReplyTo | None, settings: DiscordSettings) -> MessagePreview:
    """The message with a labelled box for its picture."""
    has_picture = bool(message.picture) and settings.has_thumbnails
    content = discord_content.render(message, "thumbnail.png" if has_picture else "")
    names = {
        f"<@{person.address('discord')}>": person.name or "someone"
        for person in discord_content.pinged(message)
    }
    html = draw(content["embeds"][0]["description"], names)
    picture = image(message.file) if has_picture else Markup("")
    pings = draw(content["content"], names)
    shown = posted(pings, html + picture, posted_at(message.at))
    source = json.dumps(content, indent=2, ensure_ascii=False)
    return MessagePreview(shown, source, message.title, notifies=bool(names))


def posted(pings: Markup, embed: Markup, time: Markup) -> Markup:
    return Markup(
        '<article class="preview preview-discord">'
        '<span class="preview-icon" aria-hidden="true">P</span>'
        '<div class="preview-who"><b>Penpot</b> <span class="preview-app">APP</span> '
        '<span class="preview-time">{}</span></div>{}'
        '<div class="preview-embed preview-body">{}</div></article>'
    ).format(time, pings, embed)


def draw(description: str, names: dict[str, str]) -> Markup:
    """An embed's text; Discord shows lines that begin with "-#" in small type."""
    body: list[str] = []
    small: list[Markup] = []
    for line in description.split("\n"):
        if line.startswith(_SMALL):
            inner = _with_times(to_preview(line.removeprefix(_SMALL), names))
            small.append(Markup('<div class="preview-context">{}</div>').format(inner))
        else:
            body.append(line)
    return _with_times(to_preview("\n".join(body), names)) + Markup("").join(small)


def _with_times(html: Markup) -> Markup:
    """Text from outside has an invisible character after such a "<"."""

    def shown(match: re.Match[str]) -> str:
        at = datetime.fromtimestamp(int(match[1]), UTC)
        return local_time(at, form=_TIME_FORMS[match[2]])

    return Markup(_TIME_PATTERN.sub(shown, html))  # noqa: S704 - from markup
