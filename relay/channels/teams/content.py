"""A message as what a workflow's webhook gets: an Adaptive Card.

Its first line, the only one in Markdown, mentions the people to notify; no text of a comment is
in it, and each person's name there has letters and digits only.

https://docs.microsoft.com/connectors/teams/#adaptivecarditemschema
https://docs.microsoft.com/microsoftteams/platform/task-modules-and-cards/cards/cards-format#mention-support-within-adaptive-cards
"""

import json
import unicodedata
from collections.abc import Iterator
from itertools import chain, count

from relay.channels.teams.card import Json, text_line, text_run, to_elements
from relay.messages.document import Document, cut, length, parse, to_text
from relay.messages.mentions import with_ids
from relay.messages.message import Mention, Message
from relay.messages.shorten import shorten

MAX_SIZE = 28_000
"""Bytes: "The message size limit is 28 KB"
(https://docs.microsoft.com/microsoftteams/platform/webhooks-and-connectors/how-to/add-incoming-webhook),
and a workflow fails after it has accepted a larger one."""
_MAX_FOOTER_LENGTH = 300  # characters of text
_MAX_FOOTER_SIZE = 6000  # bytes, with its addresses
_MAX_PINGS = 20
_MAX_NAME_LENGTH = 60
_MIN_TEXT_LENGTH = 50  # characters, below which the structure is left out
_FOOTER_STYLE = {"size": "Small", "isSubtle": True}


def render(message: Message) -> Json:
    """A text that is too long ends in "…"; the footer, which links to Penpot, stays."""
    document, mentions = _body(message), _mentions(message)
    footer = _footer(message)
    limit = min(MAX_SIZE, length(document))
    while True:
        elements = [*to_elements(cut(document, limit)), *footer]
        body = _envelope(mentions, elements or [_line(message.title)])
        if (total := size(body)) <= MAX_SIZE:
            return body
        limit = min(limit * 9 // 10, limit * MAX_SIZE // total)
        if limit < _MIN_TEXT_LENGTH:
            words = shorten(to_text(document, links=False).strip(), MAX_SIZE // 20)
            return _envelope(mentions, [_line(words), *footer])


def fits(message: Message) -> bool:
    """Whether ``render`` sends all text."""
    if length(parse(message.content.footer)) > _MAX_FOOTER_LENGTH:
        return False
    elements = [*to_elements(_body(message)), *_footer(message)]
    return size(_envelope(_mentions(message), elements)) <= MAX_SIZE


def pinged(message: Message) -> list[Mention]:
    return [person for person in message.mentions if person.address("teams")][:_MAX_PINGS]


def dumps(body: Json) -> bytes:
    """As it is posted."""
    text = json.dumps(body, ensure_ascii=False, separators=(",", ":"))
    return text.encode("utf-8", "replace")


def size(body: Json) -> int:
    """Bytes in the encoding that needs more: Microsoft does not say which one counts."""
    text = dumps(body)
    return max(len(text), len(text.decode().encode("utf-16-le")))


def card(body: Json) -> Json:
    content: Json = body["attachments"][0]["content"]
    return content


def _envelope(mentions: dict[str, str], elements: list[Json]) -> Json:
    """``mentions``: the name that is shown of each address."""
    tags = {address: f"<at>{name}</at>" for address, name in mentions.items()}
    msteams: Json = {"width": "Full"}
    if tags:
        line = {"type": "TextBlock", "text": " ".join(tags.values()), "wrap": True}
        elements = [line, *elements]
        msteams["entities"] = [
            {"type": "mention", "text": tag, "mentioned": {"id": who, "name": mentions[who]}}
            for who, tag in tags.items()
        ]
    content = {
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.4",
        "body": elements,
        "msteams": msteams,
    }
    # The trigger's schema requires a contentUrl, which is always null.
    contained = {"contentType": "application/vnd.microsoft.card.adaptive", "contentUrl": None}
    return {"type": "message", "attachments": [contained | {"content": content}]}


def _line(text: str) -> Json:
    return text_line([text_run(shorten(text.strip(), 1000) or "Penpot")])


def _body(message: Message) -> Document:
    """In which ``profile`` is the address of who is notified."""
    addresses = {person.id: person.address("teams") for person in pinged(message)}
    return with_ids(parse(message.content.body), addresses)


def _footer(message: Message) -> list[Json]:
    """In small type; without links where its addresses are too long."""
    document = with_ids(cut(parse(message.content.footer), _MAX_FOOTER_LENGTH), {})
    elements = to_elements(document, _FOOTER_STYLE)
    if sum(map(size, elements)) > _MAX_FOOTER_SIZE:
        return [text_line([text_run(to_text(document, links=False), _FOOTER_STYLE)])]
    return elements


def _mentions(message: Message) -> dict[str, str]:
    """The name that is shown of each address. Teams finds a person by it, so that no two may have
    the same."""
    names: dict[str, str] = {}
    for person in pinged(message):
        address = person.address("teams")
        if address in names:
            continue
        name = _plain(person.name) or _plain(address.partition("@")[0]) or "Penpot"
        others = {*names.values()}
        numbered = (f"{name} {number}" for number in count(2))
        names[address] = next(each for each in chain([name], numbered) if each not in others)
    return names


def _plain(name: str) -> str:
    """Letters, digits, hyphens and apostrophes, which have no meaning in Markdown."""
    words = " ".join("".join(_plain_characters(name)).split())
    return words[:_MAX_NAME_LENGTH].strip(" -'\u2019")


def _plain_characters(name: str) -> Iterator[str]:
    """A mark stays only after a letter, not after a tag."""
    after_letter = False
    for character in unicodedata.normalize("NFC", name):
        kind = unicodedata.category(character)[0]
        after_letter = kind in "LN" or (kind == "M" and after_letter)
        yield character if after_letter or character in "-'\u2019" else " "
