"""Every kind of message as Slack gets it: it needs no interaction endpoint, its links open
everywhere, and a renderer that is not Relay's shows its words and links."""

import asyncio
import json
import os
import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from pydantic import TypeAdapter

from relay.channels import CHANNEL_TYPES, override_formats
from relay.channels.slack import blocks as slack_blocks
from relay.config.settings import AnyChannel, PersonSettings
from relay.delivery.changes import ChangeRenderer, is_synthetic
from relay.delivery.notices import NOTICES, notice_variables
from relay.delivery.renderer import EventRenderer, RenderContext, mentions_to_ping
from relay.messages.message import Message
from relay.messages.templates import Templates
from relay.penpot.events import Event, Person
from relay.penpot.links import add_links
from relay.penpot.samples import SAMPLE_NAMES
from tests.channels.slack.workplace import ADA, BOB
from tests.delivery.examples import example
from tests.servers.slack_jsx import NODE, READER_ZONE, Posted, render
from tests.servers.slack_rules import block_faults, rich_inlines

PEOPLE = {
    id_: PersonSettings({"slack": slack}) for id_, slack in ((ADA, "U0ADA0000"), (BOB, "U0BOB0000"))
}
USERS = {"U0ADA0000": "Ada Lovelace", "U0BOB0000": "Grace Hopper"}
PENPOT = "https://design.example.com"
# Of all blocks and elements: none of them sends an interaction.
PASSIVE = {
    *("rich_text", "rich_text_section", "rich_text_quote", "rich_text_list"),
    *("rich_text_preformatted", "text", "link", "user", "date", "context", "plain_text", "mrkdwn"),
    *("image", "divider", "section"),
}
MISSED = ("create-comment-thread", "create-comment")
"""The events whose messages have a time."""
CHANNEL = {"type": "slack", "name": "a", "token": "t", "channel": "#a", "thumbnails": True}


def channel(**more: object) -> AnyChannel:
    kind: TypeAdapter[AnyChannel] = TypeAdapter(AnyChannel)
    return kind.validate_python(CHANNEL | more)


async def messages_about(event: Event, templates: Templates) -> list[Message]:
    """In a channel and in a thread, by the bot and by the comment's author."""
    member = Person(BOB, "Grace Hopper", email="grace@example.com")
    linked = replace(add_links(event, PENPOT), member=member)
    people = mentions_to_ping(linked, PEOPLE)
    kind = ChangeRenderer if is_synthetic(event) else EventRenderer
    messages = []
    for settings in (channel(), channel(author_as_sender=True)):
        renderer = kind(RenderContext(templates, linked, "acme", people, "media"))
        rows = await renderer.messages(settings)
        assert not renderer.problems
        for row in rows:
            message = Message.loads(row.message)
            messages += [message, message.in_thread()]
            if message.author is not None:
                messages += [message.by_author(), message.in_thread().by_author()]
    return messages


async def all_messages(templates: Templates) -> list[tuple[str, Message]]:
    named = []
    missed = [replace(example(name), missed=True) for name in MISSED]
    for event in (*map(example, SAMPLE_NAMES), *missed):
        found = await messages_about(event, templates)
        assert found
        named += [(event.name, message) for message in found]
    for name, notice in NOTICES.items():
        values = dict(notice_variables(name, notice.sample, team="Acme", url=PENPOT))
        values["event"] = {**values["event"], "at": datetime(2026, 3, 9, 9, 30, tzinfo=UTC)}
        result = templates.render(name, values, team="acme", channel_kind="slack")
        assert not result.problems
        named.append((name, result.message))
    return named


MESSAGES = asyncio.run(all_messages(Templates()))
DATE_PATTERN = re.compile(r"<!date\^(\d+)\^([^|^]*)[^|]*\|[^>]*>")
IMAGE = {"slack_file": {"id": "F0FILE0000"}}


def posted(message: Message) -> dict[str, Any]:
    users = {person.id: person.address("slack") for person in message.mentions}
    if message.content.override:
        return slack_blocks.override(message, users)
    return slack_blocks.render(message, users, IMAGE if message.picture else None)


def nodes(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        yield value
    for inner in value.values() if isinstance(value, dict) else value:
        if isinstance(inner, dict | list):
            yield from nodes(inner)


def assert_passive(blocks: list[Any]) -> None:
    assert block_faults(blocks) == []
    for node in nodes(blocks):
        assert node.get("type", "text") in PASSIVE
        assert not node.keys() & {"action_id", "accessory", "value", "confirm"}
        if node.get("type") == "mrkdwn":
            # Slack for iOS opens such a link with "&amp;" in it.
            assert not re.search(r"<[^>]*&[^>]*>", node["text"])


def test_every_kind_is_among_the_messages() -> None:
    assert {name for name, _ in MESSAGES} == {*SAMPLE_NAMES, *NOTICES}
    assert len(SAMPLE_NAMES) >= 29
    with_ampersand = [
        element
        for _, message in MESSAGES
        for element in rich_inlines(posted(message)["blocks"])
        if "&" in element.get("url", "")
    ]
    assert with_ampersand


@pytest.mark.parametrize("name", dict(MESSAGES))
def test_no_message_needs_an_interaction_endpoint(name: str) -> None:
    for kind, message in MESSAGES:
        if kind == name:
            assert_passive(posted(message)["blocks"])


def test_neither_do_relays_own_blocks_for_slack_alone(tmp_path: Path) -> None:
    """The text with which the editor starts a template for Slack."""
    kind = CHANNEL_TYPES["slack"]
    for name in SAMPLE_NAMES:
        (tmp_path / f"{name}.slack.json.j2").write_text(kind.starter, encoding="utf-8")
    for _, message in asyncio.run(all_messages(Templates(tmp_path, override_formats()))):
        assert_passive(posted(message)["blocks"])


def sender_of(message: Message) -> str:
    return slack_blocks.sender_name(message.author) if message.author else "Penpot"


def shown_date(timestamp: int, form: str) -> str:
    at = datetime.fromtimestamp(timestamp, ZoneInfo(READER_ZONE))
    words = form.replace("{date_short_pretty}", f"{at:%b} {at.day}, {at.year}")
    return words.replace("{time}", f"{at.hour % 12 or 12}:{at:%M %p}")


def shown_words(blocks: list[Any]) -> Iterator[str]:
    for element in rich_inlines(blocks):
        if element["type"] == "date":
            yield shown_date(element["timestamp"], element["format"])
        else:
            yield f"@{USERS[element['user_id']]}" if "user_id" in element else element["text"]
    for block in blocks:
        for element in block["elements"] if block["type"] == "context" else ():
            text = slack_blocks.unescape(element["text"])
            text = DATE_PATTERN.sub(lambda match: shown_date(int(match[1]), match[2]), text)
            yield re.sub(r"<[^|]*\|(.*)>", r"\1", text)


def shown_links(blocks: list[Any]) -> Iterator[str]:
    for element in rich_inlines(blocks):
        if "url" in element:
            yield element["url"]
    for block in blocks:
        for element in block["elements"] if block["type"] == "context" else ():
            yield from re.findall(r"<([^!|][^|]*)\|", element["text"])


def test_another_renderer_shows_words_and_links_of_every_kind(tmp_path: Path) -> None:
    if not NODE.exists():
        pytest.skip(f"needs Node and npm's packages: make {NODE.name}/.installed")
    messages = dict.fromkeys(
        (sender_of(message), json.dumps(posted(message)["blocks"])) for _, message in MESSAGES
    )
    given = [Posted(sender, json.loads(blocks)) for sender, blocks in messages]
    picture = os.environ.get("RELAY_PICTURES")
    shot = Path(picture) / "slack-blocks.png" if picture else None

    shown = render(given, USERS, tmp_path, shot)

    assert sum("missed, from Mar 9, 2026 6:30 PM" in seen.text for seen in shown) >= 4
    assert len(shown) == len(given)
    for each, seen in zip(given, shown, strict=True):
        assert seen.text.startswith(each.sender)
        for words in shown_words(each.blocks):
            assert " ".join(words.split()) in seen.text
        assert [url for _, url in seen.links] == list(shown_links(each.blocks))
        assert "&amp;" not in seen.text
        assert "[object" not in seen.text
