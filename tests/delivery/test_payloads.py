"""The documents of every event, change and notice, checked against the schema."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from relay.config.settings import Config
from relay.delivery.changes import renderer_of
from relay.delivery.fact_cache import FactCache
from relay.delivery.notices import NOTICES, NoticeRenderer
from relay.delivery.pipeline import EventSource, prepare
from relay.messages.message import Message
from relay.messages.payload import numbered, schema
from relay.messages.templates import Templates
from relay.metrics import Metrics
from relay.penpot.activity import LINE
from relay.penpot.catalogue import SYNTHETIC
from relay.penpot.events import Event
from relay.penpot.links import add_links
from relay.penpot.samples import SAMPLE_NAMES, SampleFacts
from tests.channels.builders import SIGNING_SECRET
from tests.delivery.examples import example

PAYLOADS = Path(__file__).parents[1] / "penpot" / "payloads"
BODIES = [path for path in sorted(PAYLOADS.rglob("*.json")) if ".expect." not in path.name]
BODIES = [path for path in BODIES if path.parent != PAYLOADS]
URL = "https://penpot.example"


def strict(part: Any) -> Any:
    """The schema, with each key that it does not describe as an error."""
    if isinstance(part, list):
        return [strict(each) for each in part]
    if not isinstance(part, dict):
        return part
    closed = {key: strict(value) for key, value in part.items()}
    if part.get("properties") and "required" in part:
        closed["additionalProperties"] = False
    return closed


VALIDATOR = Draft202012Validator(
    strict(json.loads(schema())), format_checker=Draft202012Validator.FORMAT_CHECKER
)


def config(**keys: Any) -> Config:
    channel = {"type": "webhook", "name": "pipeline", "url": "https://ci.example/x"}
    channels = [channel | {"secret": SIGNING_SECRET} | keys, {"type": "stdout", "name": "log"}]
    return Config.model_validate({"teams": {"acme": {"secret": "x" * 24, "channels": channels}}})


TEMPLATES = Templates()


def message_of(event: Event, **keys: Any) -> Message:
    settings = config(**keys)
    renderer = renderer_of(TEMPLATES, event, "acme", settings)
    (rendered,) = asyncio.run(renderer.messages(settings.teams["acme"].channels[0]))
    assert not renderer.problems
    return Message.loads(rendered.message)


def document_of(event: Event, **keys: Any) -> dict[str, Any]:
    document = json.loads(json.dumps(numbered(message_of(event, **keys))))
    VALIDATOR.validate(document)
    return dict(document)


def linked(body: bytes, kind: str) -> Event:
    source = EventSource("acme", "Acme", penpot_url=URL)
    return asyncio.run(prepare(body, kind, source, FactCache(SampleFacts()))).linked


@pytest.mark.parametrize("path", BODIES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_each_body_of_penpot_is_a_valid_document_with_its_props(path: Path) -> None:
    kind = "transit+json" if ".transit." in path.name else "json"
    event = linked(path.read_bytes(), f"application/{kind}")
    document = document_of(event)
    assert (document["type"], document["name"]) == ("penpot.event", event.name)
    assert document["data"]["props"] == {
        key: value for key, value in event.props.items() if key != "ownerEmail"
    }
    assert document["timestamp"] or "legacy" in path.parts


def test_there_are_bodies_of_all_events() -> None:
    assert len(BODIES) > 120
    assert {path.parent.name for path in BODIES} >= set(SAMPLE_NAMES) - SYNTHETIC


@pytest.mark.parametrize("name", SAMPLE_NAMES)
def test_each_sample_has_its_subjects_with_names_and_links(name: str) -> None:
    event = add_links(example(name), URL)
    document = document_of(event)
    assert document["type"] == ("penpot.change" if name in SYNTHETIC else "penpot.event")
    assert document["text"]["title"]
    data = document["data"]
    for variable in ("actor", "project", "file", "page", "library", "font", "previous"):
        subject = getattr(event, variable)
        if subject.name:
            assert data[variable]["name"] == subject.name
            assert (data[variable].get("url") or "") == subject.url
        elif not subject.id:
            assert data[variable] is None
    assert (data["thread"] is None) == (not event.thread.id)
    assert (data["comment"] is None) == (not event.comment)


def test_the_document_of_a_reply() -> None:
    data = document_of(add_links(example("create-comment"), URL))["data"]
    assert data["actor"]["name"] == data["comment"]["author"]["name"] == "Grace Hopper"
    assert data["comment"]["text"].startswith("Good catch.")
    assert data["thread"]["number"] == 12
    assert data["thread"]["first_text"].startswith("@Grace Hopper the headline")
    assert data["url"].startswith(f"{URL}/#/workspace?")
    assert data["opens"] == "comment"


def test_an_edit_and_a_deletion_are_documents_of_their_own() -> None:
    edited = document_of(add_links(example("update-comment"), URL))["data"]["comment"]
    assert "70 %" in edited["text"]
    assert "60 %" in edited["previous_text"]
    message = message_of(example("delete-comment"))
    assert message.change is None
    assert message.payload
    silent = config(edits="none").teams["acme"].channels[0]
    renderer = renderer_of(TEMPLATES, example("update-comment"), "acme", config(edits="none"))
    assert asyncio.run(renderer.messages(silent)) == []


def mail_addresses(value: Any) -> Iterator[str]:
    if isinstance(value, str) and "@example.com" in value:
        yield value
    elif isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from mail_addresses(item)


@pytest.mark.parametrize("name", SAMPLE_NAMES)
def test_mail_addresses_are_there_only_with_share_emails(name: str) -> None:
    event = example(name)
    assert not list(mail_addresses(document_of(event)))
    shared = set(mail_addresses(document_of(event, share_emails=True)))
    if event.actor.email:
        assert event.actor.email in shared
    if "ownerEmail" in event.props:
        assert event.props["ownerEmail"] in shared


def test_other_channels_pay_nothing() -> None:
    settings = config()
    renderer = renderer_of(TEMPLATES, example("create-comment"), "acme", settings)
    (rendered,) = asyncio.run(renderer.messages(settings.teams["acme"].channels[1]))
    assert "payload" not in rendered.message
    assert "event_number" not in rendered.message


def test_channels_with_the_same_options_share_one_document() -> None:
    settings = config()
    channel = settings.teams["acme"].channels[0]
    renderer = renderer_of(TEMPLATES, example("create-comment"), "acme", settings)
    other = channel.model_copy(update={"name": "other"})
    one, two = (asyncio.run(renderer.messages(each)) for each in (channel, other))
    assert one[0] is two[0]


ALERTS = [name for name in NOTICES if name not in ("digest", "test", LINE)]


@pytest.mark.parametrize("name", ALERTS)
def test_each_alert_is_a_valid_document(name: str) -> None:
    notices = NoticeRenderer(TEMPLATES, Metrics(), {"acme": "Acme Design"})
    message = asyncio.run(notices.render(name, "acme", **NOTICES[name].sample))
    document = json.loads(json.dumps(numbered(Message.loads(message.dumps()))))
    VALIDATOR.validate(document)
    assert (document["type"], document["name"]) == ("relay.alert", name)
    assert document["team"] == {"key": "acme", "id": None, "name": "Acme Design", "url": None}
    assert {key: value for key, value in document["data"].items() if value} == NOTICES[name].sample
    assert NOTICES[name].sample.keys() <= document["data"].keys()
