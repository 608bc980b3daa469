"""What a mail says: its plain text and its HTML."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import cache, partial
from html import escape
from pathlib import Path
from typing import TypeAlias
from urllib.parse import urlsplit

from jinja2 import Environment, FileSystemLoader, Template
from markupsafe import Markup

from relay.channels.email.settings import EmailSettings
from relay.channels.errors import one_line
from relay.messages.document import (
    Block,
    Document,
    Inline,
    Paragraph,
    Text,
    cut,
    map_texts,
    parse,
    to_text,
    with_dates,
)
from relay.messages.escape import clean
from relay.messages.html import to_html
from relay.messages.locale import gettext, ngettext, pgettext
from relay.messages.mentions import replace_mentions
from relay.messages.message import Message, Picture
from relay.messages.shorten import shorten

MAX_TEXT_LENGTH = 100_000
_MAX_NAME_LENGTH = 60
_MAX_ADDRESSES = 3  # that the footer names
_MAX_PICTURE_SIZE = 320  # pixels, of width and height
_SEPARATOR = " · "  # between the parts of a footer
_INTO = " \u203a "  # between the names of a place
_QUOTE = (
    '<blockquote class="quote" dir="auto" style="margin: 16px 0; padding: 0 0 0 14px; '
    'border-left: 3px solid #6911d4; color: #3b3b42;">'
)
_LINK = '<a style="color: #6911d4;" href="'

_Inlines: TypeAlias = tuple[Inline, ...]


class MailContent:
    """Both parts say the same: what happened, where it is, and why the reader gets the mail."""

    def __init__(self, message: Message, settings: EmailSettings) -> None:
        self._message = message
        self._settings = settings
        self._url = message.url if message.url.startswith(("http://", "https://")) else ""
        names = (message.team_name, message.project, message.file, message.page)
        self._place = [name for name in map(_name, names) if name]
        # "yesterday" would not fit the date in a mail's header, which is that of the event
        self._body = cut(with_dates(parse(message.content.body)), MAX_TEXT_LENGTH)
        footer = with_dates(parse(message.content.footer))
        self._label = _link_text(footer, self._url) or _open(message.opens)
        shown = {*map(one_line, self._place), one_line(self._label) if self._url else ""}
        blocks = (_without(block, shown) for block in footer)
        self._footer: Document = tuple(block for block in blocks if block is not None)

    def text(self) -> str:
        """Plain text. Beside the URL in its own line it has only those that lead elsewhere."""
        body = self._body
        if self._url and self._message.event != "digest":  # whose links are its contents
            body = map_texts(body, partial(_without_link, host=urlsplit(self._url).netloc))
        parts = [to_text(body, links=True) or self._message.title]
        parts.append("\n".join(filter(None, (_INTO.join(self._place), self._url))))
        signature = [to_text(self._footer, links=True), self._reason()]
        if self._settings.unsubscribe:
            signature.append(gettext("Unsubscribe: %(url)s", url=self._settings.unsubscribe))
        lines = "\n".join(filter(None, signature))
        return "\n\n".join([*filter(None, parts), f"-- \n{lines}\n"])

    def html(self, picture: Picture | None, picture_id: str) -> str:
        message = self._message
        pinged = {person.id for person in (*message.mentions, message.to) if person}
        body = replace_mentions(
            self._body, lambda part: replace(part, bold=part.bold or part.profile in pinged)
        )
        html = to_html(body) or f"<p>{escape(message.title)}</p>"
        file = _name(message.file)
        alt_text = gettext("Thumbnail of %(file)s", file=file) if file else gettext("Thumbnail")
        width, height = _fitted(picture) if picture else (0, 0)
        notice = one_line(message.notice or message.title) or "Penpot"
        return _template().render(
            language=message.language,
            notice=notice,
            # A list of mails shows it after the subject, which may say the same.
            preheader="" if notice in one_line(message.subject) else notice,
            place=_INTO.join(self._place),
            body=_styled(html),
            url=self._url,
            label=self._label,
            picture=picture,
            picture_id=picture_id,
            alt_text=alt_text,
            width=width,
            height=height,
            footer=_styled(to_html(self._footer)),
            reason=self._reason(),
            unsubscribe=self._settings.unsubscribe,
            unsubscribe_label=gettext("Unsubscribe"),
        )

    def _reason(self) -> str:
        """Why the reader gets this mail."""
        message, team = self._message, _name(self._message.team_name)
        values = {"channel": self._settings.name, "team": team, "actor": _name(message.actor)}
        if message.to is not None:
            if values["actor"]:
                why = gettext("You get this because %(actor)s mentioned you.", **values)
            else:
                why = gettext("You get this because you were mentioned.")
            if team:
                sender = gettext("It is sent by channel “%(channel)s” of team %(team)s.", **values)
            else:
                sender = gettext("It is sent by channel “%(channel)s”.", **values)
            return f"{why} {sender}"
        values["addresses"] = self._recipients()
        if team:
            return gettext(
                "You get this because channel “%(channel)s” of team %(team)s sends messages to "
                "%(addresses)s.",
                **values,
            )
        return gettext(
            "You get this because channel “%(channel)s” sends messages to %(addresses)s.", **values
        )

    def _recipients(self) -> str:
        bare = [to.rpartition("<")[2].strip("> ") for to in self._settings.to]
        more = len(bare) - _MAX_ADDRESSES
        if more > 0:
            names = ", ".join(bare[:_MAX_ADDRESSES])
            return ngettext(
                "%(names)s and %(num)s more", "%(names)s and %(num)s more", more, names=names
            )
        if len(bare) == 1:
            return bare[0]
        return gettext("%(names)s and %(last)s", names=", ".join(bare[:-1]), last=bare[-1])


def _open(opens: str) -> str:
    """The label of the link to a message's subject, see ``Message.opens``."""
    labels = {
        "comment": pgettext("link", "Open comment"),
        "thread": pgettext("link", "Open thread"),
        "file": pgettext("link", "Open file"),
        "project": pgettext("link", "Open project"),
        "library": pgettext("link", "Open library"),
        "fonts": pgettext("link", "Open fonts"),
        "team": pgettext("link", "Open team"),
    }
    return labels.get(opens) or pgettext("link", "Open Penpot")


def _name(text: str) -> str:
    return clean(shorten(one_line(text), _MAX_NAME_LENGTH))


def _fitted(picture: Picture) -> tuple[int, int]:
    """Width and height."""
    scale = min(1.0, _MAX_PICTURE_SIZE / max(picture.width, picture.height, 1))
    return max(1, round(picture.width * scale)), max(1, round(picture.height * scale))


def _styled(html: str) -> Markup:
    """With the styles that mail programs need at the elements themselves. Text is escaped, so no
    user's text contains the tags."""
    html = html.replace("<blockquote>", _QUOTE).replace('<a href="', _LINK)
    return Markup(html)  # noqa: S704 - escaped


@cache
def _template() -> Template:
    loader = FileSystemLoader(Path(__file__).parent)
    environment = Environment(loader=loader, autoescape=True, trim_blocks=True, lstrip_blocks=True)
    return environment.get_template("mail.html")


def _without_link(part: Text, host: str) -> Text:
    return replace(part, url="") if urlsplit(part.url).netloc == host else part


# The footer: the button and the place show some of its parts already.


def _link_text(footer: Document, url: str) -> str:
    """The template's own words for the link to the message's place; empty if it has none."""
    paragraphs = (block for block in footer if isinstance(block, Paragraph))
    parts = (part for block in paragraphs for part in block.inlines)
    return "".join(part.text for part in parts if url and part.url == url)


def _without(block: Block, shown: Iterable[str]) -> Block | None:
    """Without the parts of a line whose text is ``shown`` elsewhere; None if nothing is left."""
    if not isinstance(block, Paragraph):
        return block
    kept: list[Inline] = []
    for part in _parts(block.inlines):
        text = one_line("".join(inline.text for inline in part))
        if text and text not in shown:
            kept += [Text(_SEPARATOR), *part] if kept else part
    return Paragraph(tuple(kept)) if kept else None


def _parts(inlines: Sequence[Inline]) -> Iterator[_Inlines]:
    """What the separators are between."""
    part: _Inlines = ()
    for inline in inlines:
        if not isinstance(inline, Text):
            part = (*part, inline)
            continue
        first, *others = inline.text.split(_SEPARATOR)
        part = (*part, replace(inline, text=first))
        for text in others:
            yield part
            part = (replace(inline, text=text),)
    yield part
