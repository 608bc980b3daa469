"""The schema of the documents, and what the builder adds to an event's data."""

import json
from typing import Any

from jsonschema import Draft202012Validator

from relay.messages import payload as p
from relay.messages.message import Content, Message

SCHEMA = json.loads(p.schema())


def test_the_schema_is_valid_and_describes_each_key() -> None:
    Draft202012Validator.check_schema(SCHEMA)
    undescribed = []

    def look(place: str, part: Any) -> None:
        if isinstance(part, dict):
            for key, value in part.get("properties", {}).items():
                if not value.keys() & {"description", "const", "$ref"} and "then" not in place:
                    undescribed.append(f"{place}.{key}")
            for key, value in part.items():
                if key != "oneOf":  # which tells the types apart
                    look(f"{place}.{key}", value)

    look("", SCHEMA)
    assert undescribed == []


def test_the_types_are_those_of_the_schema() -> None:
    types = SCHEMA["properties"]["type"]
    assert types["enum"] == [p.EVENT, p.CHANGE, p.ALERT, p.TEST, p.TEXT]
    assert all(f"{kind}: " in types["description"] for kind in types["enum"])
    assert SCHEMA["properties"]["version"] == {"const": p.PAYLOAD_VERSION}
    assert SCHEMA["$id"].endswith(f":{p.PAYLOAD_VERSION}")


def test_the_text_is_plain() -> None:
    message = Message("Title", Content("**Ada** [said](<https://x.example>)\n\n> a\\*b"), url="u")
    text = p.payload(p.EVENT, message, {})["text"]
    assert text == {"title": "Title", "notice": "Title", "body": "Ada said\n\n> a*b", "url": "u"}
    assert p.payload(p.EVENT, Message("Title"), {})["text"]["body"] == "Title"


def test_a_message_without_a_payload_is_valid_as_a_text() -> None:
    document = p.numbered(Message("Title", team="acme", event="digest", event_number=3))
    Draft202012Validator(SCHEMA).validate(document)
    assert (document["type"], document["id"], document["timestamp"]) == (p.TEXT, 3, None)
