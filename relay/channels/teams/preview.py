"""Preview of a message in Teams: the card that is posted, styled like Teams."""

import json
import re
from collections.abc import Iterable

from markupsafe import Markup

from relay.channels.base import ReplyTo
from relay.channels.preview import MessagePreview, link, posted_at, wrapped
from relay.channels.teams import content as teams_content
from relay.channels.teams.card import Json
from relay.channels.teams.settings import TeamsSettings
from relay.messages.message import Message

_TAG_PATTERN = re.compile(r"(<at>[^<]*</at>)")
_TAGS = (
    ("weight", "Bolder", "b"),
    ("italic", True, "em"),
    ("strikethrough", True, "del"),
    ("fontType", "Monospace", "code"),
)
_HEADING_SIZES = ("Large", "Medium")


def preview(message: Message, thread: ReplyTo | None, settings: TeamsSettings) -> MessagePreview:
    body = teams_content.render(message)
    html = posted(draw(teams_content.card(body)), posted_at(message.at))
    source = json.dumps(body, indent=2, ensure_ascii=False)
    notifies = bool(teams_content.pinged(message))
    return MessagePreview(html, source, message.title, notifies=notifies)


def posted(card: Markup, time: Markup) -> Markup:
    """By Power Automate's bot, of that name."""
    return Markup(
        '<article class="preview preview-teams">'
        '<span class="preview-icon" aria-hidden="true">W</span>'
        '<div class="preview-who"><b>Workflows</b> <span class="preview-time">{}</span></div>'
        '<div class="preview-card">{}</div></article>'
    ).format(time, card)


def draw(card: Json) -> Markup:
    entities = card["msteams"].get("entities", ())
    names = {entity["text"]: entity["mentioned"]["name"] for entity in entities}
    return _joined(_element(element, names) for element in card["body"])


def _element(element: Json, names: dict[str, str]) -> Markup:
    match element["type"]:
        case "TextBlock":
            parts = _TAG_PATTERN.split(element["text"])
            html = wrapped("p", _joined(_mention(part, names) for part in parts))
        case "Container":
            inner = _joined(_element(item, names) for item in element["items"])
            html = Markup('<div class="preview-emphasis">{}</div>').format(inner)
        case _:
            html = _line(element)
    return Markup("<hr>") + html if element.get("separator") else html


def _line(element: Json) -> Markup:
    runs = element["inlines"]
    classes = ["preview-line"]
    if element.get("spacing") == "None":
        classes.append("preview-tight")
    if all(run.get("isSubtle") for run in runs):
        classes.append("preview-context")
    elif all(run.get("size") in _HEADING_SIZES for run in runs):
        classes.append("preview-header")
    line = Markup('<div class="{}">{}</div>')
    return line.format(" ".join(classes), _joined(map(_run, runs)))


def _run(run: Json) -> Markup:
    html = Markup("{}").format(run["text"])
    for key, value, tag in _TAGS:
        if run.get(key) == value:
            html = wrapped(tag, html)
    if run.get("color") == "Accent":
        html = Markup('<span class="preview-accent">{}</span>').format(html)
    action = run.get("selectAction")
    return link(action["url"], html) if action else html


def _mention(text: str, names: dict[str, str]) -> Markup:
    """A part of the line of mentions: the tag of a person, or what is between two."""
    if text not in names:
        return Markup("{}").format(text)
    return Markup('<span class="preview-mention">{}</span>').format(names[text])


def _joined(parts: Iterable[str]) -> Markup:
    return Markup("").join(parts)
