"""Payloads: the JSON documents that a channel for programs sends, each about one message.

Their form is ``payload.schema.json``. It may gain keys; a key that changes or goes is a new
``PAYLOAD_VERSION``. The names ``type``, ``timestamp`` and ``data`` are those of Standard Webhooks:
https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md#payload-structure
"""

from collections.abc import Mapping
from importlib.resources import files
from typing import Any, TypeAlias

from relay.messages.document import parse, to_text, with_dates
from relay.messages.locale import using
from relay.messages.message import Message

Payload: TypeAlias = Mapping[str, Any]

PAYLOAD_VERSION = 1
EVENT, CHANGE = "penpot.event", "penpot.change"
"""Types: an event of Penpot, and an edited, deleted, resolved or reopened comment or thread."""
ALERT, TEST = "relay.alert", "relay.test"
TEXT = "relay.text"
"""The type of a message that was made for another kind of channel, before the config changed."""


def payload(
    kind: str, message: Message, data: Payload, *, id_: str = "", url: str = ""
) -> dict[str, Any]:
    """The document of a message, without the number of its event. ``kind`` is one of the types
    above; ``id_`` and ``url`` are those of the team in Penpot."""
    return {
        "type": kind,
        "version": PAYLOAD_VERSION,
        "id": None,
        "name": message.event,
        "timestamp": message.at or None,
        "team": {
            "key": message.team,
            "id": id_ or None,
            "name": message.team_name or None,
            "url": url or None,
        },
        "data": dict(data),
        "text": {
            "title": message.title,
            "notice": message.notice,
            "body": _body(message),
            "url": message.url or None,
        },
    }


def _body(message: Message) -> str:
    """With dates for its times, as a program may read it at any time."""
    with using(message.locale):
        document = with_dates(parse(message.full.body))
        return to_text(document, links=False).strip() or message.title


def numbered(message: Message) -> dict[str, Any]:
    """The document that is sent: with the number of the message's event."""
    document = message.payload or payload(TEXT, message, {})
    return {**document, "id": message.event_number or None}


def schema() -> str:
    """The JSON Schema of all documents."""
    return (files("relay.messages") / "payload.schema.json").read_text(encoding="utf-8")
