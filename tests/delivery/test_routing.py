"""Which channels get an event, and what the list of events says about it."""

import time
from typing import Any

import pytest

from relay.config.settings import Config
from relay.delivery.lookups import FactCache
from relay.delivery.pipeline import PreparedEvent
from relay.delivery.routing import MAX_SUBJECT_LENGTH, Planner, event_subject
from relay.messages.templates import Templates
from relay.metrics import Metrics
from relay.penpot.events import Comment, Event, File, Subject, Thread
from relay.store.records import FactKey, FanOutResult, StoredEvent
from tests.delivery.examples import example

pytestmark = pytest.mark.anyio

DIRECT = {"name": "direct", "type": "slack", "token": "xoxb-1", "direct": "mentioned"}


class NoFacts:
    async def facts(self, _team: str, _keys: Any) -> dict[FactKey, str]:
        return {}


async def plan(name: str, *channels: dict[str, Any], team: str = "acme") -> FanOutResult:
    secret = "a-secret-of-24-characters"
    config = Config.model_validate({"teams": {"acme": {"secret": secret, "channels": channels}}})
    planner = Planner(config, FactCache(NoFacts()), Templates(), Metrics())
    event = example(name)
    row = StoredEvent(7, team, "application/json", b"", name, "stored", "", time.time())
    return await planner.plan(row, PreparedEvent(event, event))


def stdout(name: str, *events: str) -> dict[str, Any]:
    return {"name": name, "type": "stdout", "events": list(events)}


async def test_each_channel_gets_the_event_or_skips_it_with_the_reason() -> None:
    result = await plan(
        "create-comment",
        stdout("all", "*"),
        stdout("files", "files"),
        stdout("quiet", "*", "!comments"),
        DIRECT,
    )
    assert [delivery.queue for delivery in result.deliveries] == ["acme/all"]
    assert result.skipped == {"files": "", "quiet": "!comments", "direct": "nobody is mentioned"}
    assert result.state == "fanned-out"
    assert result.reason == "skipped: files, quiet (!comments), direct (nobody is mentioned)"


async def test_an_event_that_no_channel_gets_is_ignored() -> None:
    result = await plan("create-comment", stdout("files", "files"))
    assert (result.state, result.reason) == ("ignored", "skipped: files")
    result = await plan("create-comment")
    assert (result.state, result.reason) == ("ignored", "the team has no channels")
    result = await plan("create-comment", stdout("all", "*"), team="gone")
    assert (result.state, result.reason) == ("ignored", "its team is not in the config")


async def test_facts_of_ignored_events_are_kept_too() -> None:
    result = await plan("update-file", stdout("comments", "comments"))
    assert result.facts is not None
    assert any(kind == "file" for kind, _ in result.facts)


def test_what_an_event_is_about() -> None:
    event = Event(
        name="create-comment",
        group="comments",
        file=File("f", "Home"),
        thread=Thread("t", number=3),
        comment=Comment(text="one\n  two " + "x" * 200),
        previous=Subject("", "Start"),
    )
    text = event_subject(event)
    assert text.startswith("Home · was Start · #3 · “one two xxx")
    assert len(text) <= MAX_SUBJECT_LENGTH
    assert event_subject(Event(name="x", group="")) == ""
