"""Which channels get an event, and what the list of events says about it."""

import json
import time
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from relay.config.settings import Config
from relay.delivery.fact_cache import FactCache
from relay.delivery.pipeline import EventSource, PreparedEvent, prepare
from relay.delivery.renderer import ADDRESSED, MAX_SUMMARY_LENGTH
from relay.delivery.routing import Planner
from relay.messages.message import Message
from relay.messages.templates import Templates
from relay.metrics import Metrics
from relay.penpot.events import Event
from relay.penpot.facts import Fact
from relay.store.activity import LineKey
from relay.store.records import FactKey, FanOutResult, StoredEvent
from tests.delivery.examples import example

pytestmark = pytest.mark.anyio

DIRECT = {"name": "direct", "type": "slack", "token": "xoxb-1", "direct": "mentioned"}


class NoFacts:
    async def facts(self, _team: str, _keys: Any) -> dict[FactKey, str]:
        return {}

    async def counts(self, _keys: Any) -> dict[LineKey, str]:
        return {}


async def plan(
    event: str | Event,
    *channels: dict[str, Any],
    team: str = "acme",
    templates: Templates | None = None,
    people: dict[str, dict[str, str]] | None = None,
) -> FanOutResult:
    """Of an event, or of the sample with this name."""
    secret = "a-secret-of-24-characters"
    teams = {"acme": {"secret": secret, "channels": channels}}
    config = Config.model_validate({"teams": teams, "people": people or {}})
    planner = Planner(config, FactCache(NoFacts()), NoFacts(), templates or Templates(), Metrics())
    event = example(event) if isinstance(event, str) else event
    row = StoredEvent(7, team, "application/json", b"", event.name, "stored", "", time.time())
    return await planner.plan(row, PreparedEvent(event, event))


def mail(name: str, *to: str, **more: Any) -> dict[str, Any]:
    keys = {"name": name, "type": "email", "to": to, "sender": "p@b.c", "smtp": {"host": "h"}}
    return keys | more


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


async def test_a_filter_is_the_reason_and_the_home_of_the_thread_is_kept() -> None:
    project, comment = example("create-comment").project, example("create-comment")
    result = await plan(
        "create-comment",
        stdout("here", "*") | {"projects": [project.name.upper()]},
        stdout("not-here", "*") | {"projects": ["*", f"!{project.name}"]},
        stdout("elsewhere", "*") | {"files": ["Cart"]},
    )
    assert [delivery.queue for delivery in result.deliveries] == ["acme/here"]
    assert result.skipped == {
        "not-here": f"projects: !{project.name}",
        "elsewhere": "files: no entry matches",
    }
    assert result.facts is not None
    fact = Fact.loads("thread", "", result.facts["thread", comment.thread.id])
    assert fact.ref("home_in") == "here"
    assert fact.ref("home_project") == project.id
    assert fact.ref("home_file_name") == comment.file.name


async def test_without_a_filter_of_places_no_home_is_kept() -> None:
    result = await plan("create-comment", stdout("all", "*") | {"actors": ["!nobody"]})
    assert "home" not in str(result.facts)


async def test_an_edit_that_the_channel_does_not_show_reaches_whom_it_mentions() -> None:
    mail = {"name": "mail", "type": "email", "to": ["design@example.com"], "events": ["*"]}
    mail |= {"sender": "penpot@example.com", "smtp": {"host": "127.0.0.1"}}

    result = await plan("update-comment", mail | {"mention_by_mail": True})
    (message,) = [Message.loads(delivery.message) for delivery in result.deliveries]
    assert message.to is not None
    assert message.to.name == "Ada Lovelace"
    assert result.skipped == {}

    for keys in ({}, {"mention_by_mail": True, "edits": "none"}):
        result = await plan("update-comment", mail | keys)
        assert not result.deliveries
        assert result.skipped == {"mail": "edits are not sent"}


@pytest.mark.parametrize("name", ["create-comment-thread", "update-comment"])
async def test_who_gets_a_channels_mail_gets_no_second_one_from_another_channel(name: str) -> None:
    """Whichever comes first; unless the other channel skips the event."""
    event = example(name)
    both = ["Ada <ADA@example.com>", "grace@example.com"]
    own, shared = mail("own", "x@b.c", mention_by_mail=True), mail("list", *both)
    shared |= {"edits": "messages"}
    for channels in ((own, shared), (shared, own)):
        result = await plan(event, *channels)
        is_edit = name == "update-comment"  # which "own" does not send to its list
        queues = ["acme/list"] if is_edit else ["acme/list", "acme/own"]
        assert sorted(each.queue for each in result.deliveries) == queues
        assert result.skipped == ({"own": ADDRESSED} if is_edit else {})
    skipping = {"edits": "none"} if name == "update-comment" else {"events": ["files"]}
    result = await plan(event, own, shared | skipping)
    assert [each.queue for each in result.deliveries] == ["acme/own"] * (1 if is_edit else 2)


async def test_an_event_that_no_channel_gets_is_ignored() -> None:
    result = await plan("create-comment", stdout("files", "files"))
    assert (result.state, result.reason) == ("ignored", "skipped: files")
    result = await plan("create-comment")
    assert (result.state, result.reason) == ("ignored", "the team has no channels")
    result = await plan("create-comment", stdout("all", "*"), team="gone")
    assert (result.state, result.reason) == ("ignored", "its team is not in the config")


async def test_a_reply_is_sent_to_those_who_were_seen_commenting() -> None:
    """Without an access token."""
    involved = DIRECT | {"direct": "involved"}
    muted = {"grace@example.com": {"mute": True}}
    team = {"secret": "a-secret-of-24-characters", "channels": [involved]}
    config = Config.model_validate({"people": muted, "teams": {"acme": team}})
    facts = FactCache(NoFacts())
    planner = Planner(config, facts, NoFacts(), Templates(), Metrics())

    async def comment(name: str, person: str, **props: Any) -> list[Any]:
        number = f"6eaf5050-5d0e-81a4-8006-9a5f000000{ord(person[0]):02}"
        owner = {"ownerId": number, "ownerFullname": person, "content": "x"}
        owner["ownerEmail"] = f"{person.lower()}@example.com"
        body = json.dumps({"name": name, "props": owner | props}).encode()
        source = EventSource("acme", "Acme")
        prepared = await prepare(body, "application/json", source, facts)
        row = StoredEvent(7, "acme", "application/json", body, name, "stored", "", time.time())
        result = await planner.plan(row, prepared)
        messages = [Message.loads(delivery.message) for delivery in result.deliveries]
        return [message.to.email for message in messages if message.to] or [result.reason]

    thread, file = (f"6eaf5050-5d0e-81a4-8006-9a5f1000000{last}" for last in (1, 2))
    nobody = "skipped: direct (nobody else is involved)"
    reply = {"threadId": thread, "fileId": file}
    assert await comment("create-comment-thread", "Ada", id=thread, fileId=file) == [nobody]
    assert await comment("create-comment", "Ada", **reply) == [nobody]
    assert await comment("create-comment", "Grace", **reply) == ["ada@example.com"]
    assert await comment("create-comment", "Lin", **reply) == ["ada@example.com"]
    assert sorted(await comment("create-comment", "Zoe", **reply)) == [
        "ada@example.com",
        "lin@example.com",
    ]
    assert await comment("update-comment", "Zoe", **reply) == [nobody]


async def test_facts_of_ignored_events_are_kept_too() -> None:
    result = await plan("update-file", stdout("comments", "comments"))
    assert result.facts is not None
    assert any(kind == "file" for kind, _ in result.facts)


async def test_the_summary_is_a_sentence_also_of_an_ignored_event(tmp_path: Path) -> None:
    expected = "Grace Hopper replied on Landing page #12: “Good catch. I put in 60 % black, and the"
    for channel in (stdout("all", "*"), stdout("files", "files")):
        result = await plan("create-comment", channel)
        assert result.about.startswith(expected)
        assert result.person == "Grace Hopper"
    ignored = await plan("rename-file", stdout("fonts", "fonts"))
    assert "Ada Lovelace renamed the file Landing page to Landing page, autumn" in ignored.about


async def test_the_summary_is_the_built_in_title_whatever_the_channel_gets(tmp_path: Path) -> None:
    (tmp_path / "create-comment-thread.md.j2").write_text("no sentence")
    grace = {"grace@example.com": {"slack": "U0GRACE00"}}
    for templates in (Templates(), Templates(tmp_path)):
        with closing(templates):
            result = await plan("create-comment-thread", DIRECT, templates=templates, people=grace)
        assert len(result.deliveries) == 1  # which says "mentioned you"
        assert result.about.startswith("Ada Lovelace commented on Landing page #12: “@Grace Hopper")


async def test_no_summary_is_long_or_has_more_than_one_line() -> None:
    event = example("create-comment-thread")
    text = "one\n  two \x1b[31m \u202eright " + "x" * 5000
    file = replace(event.file, name="f" * 250)
    hostile = replace(event, comment=replace(event.comment, text=text), file=file)
    summary = (await plan(hostile, stdout("files", "files"))).about
    assert len(summary) <= MAX_SUMMARY_LENGTH
    assert summary.isprintable()
    assert "“one two [31m right xxx" in summary
    assert (await plan(replace(event, name="unknown-kind"))).about != ""
