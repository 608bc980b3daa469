"""The messages about an event: pings, direct messages, and what each channel may show."""

import asyncio
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter

from relay.channels import override_formats
from relay.channels.email.message import mail_address
from relay.config.settings import AnyChannel, Config, PersonSettings
from relay.delivery.renderer import EventRenderer, mentions_to_ping
from relay.messages import sandbox as cell
from relay.messages.message import Mention, Message
from relay.messages.templates import Templates
from relay.penpot.events import Event, normalize
from relay.penpot.events import Person as Profile
from relay.penpot.links import add_links
from tests.delivery.examples import enriched, example

pytestmark = pytest.mark.anyio

ADA = "28fbd360-8a3c-81b0-8004-6c1b90e4c571"
GRACE = "28fbd360-8a3c-81b0-8004-6c1bb2577f0e"
SLACK = {"type": "slack", "token": "t", "channel": "#a"}
MATRIX = {"type": "matrix", "homeserver": "http://m", "access_token": "t", "room": "!a:m"}
DIRECT = {"type": "slack", "token": "t", "direct": "mentioned"}
MAIL = {"type": "email", "to": ["a@b.c"], "sender": "p@b.c", "smtp": {"host": "h"}}


def person(**addresses: str) -> PersonSettings:
    return PersonSettings.model_validate(addresses)


def channel(**settings: Any) -> AnyChannel:
    kind: TypeAdapter[AnyChannel] = TypeAdapter(AnyChannel)
    return kind.validate_python({"name": "a"} | settings)


async def rendered(
    event: Event,
    people: dict[str, PersonSettings] | None = None,
    picture: str = "",
    **settings: Any,
) -> list[Message]:
    linked = add_links(event, "https://design.example.com")
    renderer = EventRenderer(
        Templates(), linked, "acme", mentions_to_ping(linked, people or {}), picture
    )
    found = [Message.loads(row.message) for row in await renderer.messages(channel(**settings))]
    assert not renderer.problems
    return found


async def test_mentioned_people_are_pinged_at_their_addresses_from_the_config() -> None:
    event = example("create-comment-thread")
    by_mail = {"grace@example.com": person(slack="U0GRACE", matrix="@grace:m", email="g@h.com")}

    (message,) = await rendered(event, by_mail, **SLACK)
    (other,) = await rendered(event, {GRACE: person(matrix="@grace:m")}, **MATRIX)

    addresses = {"slack": "U0GRACE", "matrix": "@grace:m", "email": "g@h.com"}
    assert message.mentions == (Mention(GRACE, "Grace Hopper", "grace@example.com", addresses),)
    assert [person.address("matrix") for person in other.mentions] == ["@grace:m"]
    assert mail_address(other.mentions[0]) == "grace@example.com"
    assert f"penpot-profile:{GRACE}" in message.body
    assert message.to is None


async def test_nobody_pings_themselves() -> None:
    event = example("create-comment-thread")
    alone = replace(event, comment=replace(event.comment, mentions=(Profile(ADA, "Ada"),)))

    (message,) = await rendered(alone, **SLACK)

    assert event.actor.id == ADA
    assert message.mentions == ()
    assert await rendered(alone, **DIRECT) == []


async def test_only_the_people_whom_penpot_lists_are_pinged() -> None:
    body = {
        "name": "create-comment-thread",
        "props": {"content": f"@[Grace]({GRACE}) @Grace", "mentions": [], "ownerId": ADA},
    }

    (message,) = await rendered(normalize(body), **SLACK)

    assert message.mentions == ()


async def test_each_mentioned_person_gets_a_direct_message() -> None:
    event = example("create-comment-thread")
    two = (*event.comment.mentions, Profile("b" * 8, "Bob", email="Bob@Example.com"))
    event = replace(event, comment=replace(event.comment, mentions=two))

    messages = await rendered(event, {"bob@example.com": person(slack="U0BOB")}, **DIRECT)

    assert [
        (message.to.name, message.to.address("slack")) for message in messages if message.to
    ] == [
        ("Grace Hopper", ""),
        ("Bob", "U0BOB"),
    ]
    assert all(message.mentions == () for message in messages)
    assert await rendered(example("create-comment"), **DIRECT) == []


async def test_a_reply_has_a_brief_form_for_its_thread() -> None:
    (threaded,) = await rendered(example("create-comment"), **MATRIX)
    (flat,) = await rendered(example("create-comment"), **MATRIX, threads=False)
    (mail,) = await rendered(example("create-comment"), **MAIL)
    (first,) = await rendered(example("create-comment-thread"), **MATRIX)

    assert threaded.body == flat.body
    assert "Landing page" in threaded.body
    short = threaded.in_thread()
    assert "Landing page" not in short.body
    assert "contrast is 7" in short.body
    assert short.footer == ""
    assert flat.brief is mail.brief is first.brief is None


async def test_a_template_for_one_channel_has_a_brief_form_as_well(tmp_path: Path) -> None:
    (tmp_path / "create-comment.matrix.html.j2").write_text(
        "{{ actor }}{% if not thread.begun %} on {{ file }}{% endif %}"
    )
    templates = Templates(tmp_path, override_formats())
    renderer = EventRenderer(templates, example("create-comment"), "acme", (), "")
    (threaded,) = await renderer.messages(channel(**MATRIX))
    templates.close()

    message = Message.loads(threaded.message)
    assert message.override == "Grace Hopper on Landing page"
    assert message.in_thread().override == "Grace Hopper"


async def test_a_resolved_thread_is_marked() -> None:
    event = example("create-comment")
    resolved = replace(event, thread=replace(event.thread, resolved=True))

    (message,) = await rendered(resolved, **MATRIX)

    assert "✓ resolved" in message.body
    assert "✓ resolved" in message.in_thread().body
    assert "✓" not in (await rendered(event, **MATRIX))[0].body


async def test_mail_addresses_are_shown_only_with_share_emails(tmp_path: Path) -> None:
    (tmp_path / "create-comment-thread.md.j2").write_text(
        "{{ actor.email or 'none' }} {{ event.props.ownerEmail | default('none') }}"
        "{% for person in comment.mentions %} {{ person }} {{ person.email }}{% endfor %}"
    )
    event = example("create-comment-thread")
    assert event.actor.email == "ada@example.com"
    renderer = EventRenderer(Templates(tmp_path, override_formats()), event, "acme", (), "")

    shown, hidden = [
        Message.loads(row.message).title
        for share in (True, False)
        for row in await renderer.messages(channel(**MATRIX, share_emails=share))
    ]

    assert "ada@example.com" in shown
    assert "grace@example.com" in shown
    assert shown.count("ada@") == 2
    assert "Grace Hopper" in hidden
    assert "@" not in hidden


async def test_pictures_are_sent_only_with_thumbnails() -> None:
    event = example("create-comment")

    (with_one,) = await rendered(event, picture="m1", **MAIL, thumbnails=True)
    (without,) = await rendered(event, picture="m1", **MAIL)

    assert (with_one.picture, without.picture) == ("m1", "")
    assert with_one.file == "Landing page"


async def test_each_variant_is_rendered_once(monkeypatch: pytest.MonkeyPatch) -> None:
    kinds: list[str] = []
    render = Templates.render

    def counted(self: Templates, name: str, *values: Any, **named: Any) -> Any:
        kinds.append(named["channel_kind"])
        return render(self, name, *values, **named)

    monkeypatch.setattr(Templates, "render", counted)
    renderer = EventRenderer(Templates(), example("create-file"), "acme", (), "")

    for settings in (SLACK, SLACK, MATRIX, DIRECT, SLACK | {"share_emails": True}):
        await renderer.messages(channel(**settings))

    assert kinds == ["slack", "matrix", "slack"]


async def test_a_slow_user_template_does_not_block_the_event_loop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cell, "TEMPLATE_TIMEOUT", 1.0)
    (tmp_path / "create-file.md.j2").write_text("{{ 10 ** (10 ** 8) }}")
    templates = Templates(tmp_path, override_formats())
    renderer = EventRenderer(templates, example("create-file"), "acme", (), "")
    gaps = []

    async def tick() -> None:
        last = time.monotonic()
        while True:
            await asyncio.sleep(0.01)
            gaps.append(time.monotonic() - last)
            last = time.monotonic()

    ticking = asyncio.create_task(tick())
    started = time.monotonic()
    (message,) = await renderer.messages(channel(**SLACK))
    took = time.monotonic() - started
    ticking.cancel()
    templates.close()

    assert "created the file" in Message.loads(message.message).body
    assert [problem.text for problem in renderer.problems] == ["takes longer than 1 s"]
    assert took > 1.0
    assert max(gaps) < 0.8


def test_a_person_may_be_named_by_profile_or_address() -> None:
    config = Config.model_validate(
        {
            "people": {
                GRACE.upper(): {"slack": "U0GRACE"},
                "Ada@Example.com": {"slack": "U0ADA"},
            },
            "teams": {"acme": {"secret": "x" * 24}},
        }
    )
    event = enriched({"name": "create-comment", "props": {"mentions": [GRACE, ADA]}})

    assert [person.address("slack") for person in mentions_to_ping(event, config.people)] == [
        "U0ADA",
        "U0GRACE",
    ]
