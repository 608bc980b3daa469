"""The messages about one event: who is pinged, who is written to, and what channels may show."""

import asyncio
import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter

from relay.config import AnyChannel, Config, PersonSettings
from relay.delivery.people import pinged
from relay.delivery.wording import EventRenderer
from relay.examples import enriched, example
from relay.messages import cell
from relay.messages.message import Mention, Message
from relay.messages.templates import Templates
from relay.penpot.events import Event, normalize
from relay.penpot.events import PersonSettings as Profile
from relay.penpot.links import add_links

pytestmark = pytest.mark.anyio

ADA = "28fbd360-8a3c-81b0-8004-6c1b90e4c571"
GRACE = "28fbd360-8a3c-81b0-8004-6c1bb2577f0e"
SLACK = {"type": "slack", "token": "t", "channel": "#a"}
MATRIX = {"type": "matrix", "homeserver": "http://m", "access_token": "t", "room": "!a:m"}
DIRECT = {"type": "slack", "token": "t", "direct": "mentioned"}
MAIL = {"type": "email", "to": ["a@b.c"], "sender": "p@b.c", "smtp": {"host": "h"}}


def channel(**settings: Any) -> AnyChannel:
    kind: TypeAdapter[AnyChannel] = TypeAdapter(AnyChannel)
    return kind.validate_python({"name": "a"} | settings)


async def worded(
    event: Event,
    people: dict[str, PersonSettings] | None = None,
    picture: str = "",
    **settings: Any,
) -> list[Message]:
    linked = add_links(event, "https://design.example.com")
    wording = EventRenderer(Templates(), linked, "acme", pinged(linked, people or {}), picture)
    found = [Message.loads(one.message) for one in await wording.messages(channel(**settings))]
    assert not wording.problems
    return found


async def test_the_mentioned_are_pinged_where_the_config_says_they_are() -> None:
    event = example("create-comment-thread")
    by_mail = {
        "grace@example.com": PersonSettings(slack="U0GRACE", matrix="@grace:m", email="g@h.com")
    }

    (message,) = await worded(event, by_mail, **SLACK)
    (other,) = await worded(event, {GRACE: PersonSettings(matrix="@grace:m")}, **MATRIX)

    assert message.mentions == (
        Mention(GRACE, "Grace Hopper", "grace@example.com", "U0GRACE", "@grace:m", "g@h.com"),
    )
    assert [one.matrix for one in other.mentions] == ["@grace:m"]
    assert other.mentions[0].mail == "grace@example.com"
    assert f"penpot-profile:{GRACE}" in message.body
    assert message.to is None


async def test_nobody_pings_themselves() -> None:
    event = example("create-comment-thread")
    alone = replace(event, comment=replace(event.comment, mentions=(Profile(ADA, "Ada"),)))

    (message,) = await worded(alone, **SLACK)

    assert event.actor.id == ADA
    assert message.mentions == ()
    assert await worded(alone, **DIRECT) == []


async def test_only_whom_penpot_names_is_pinged_whatever_the_text_says() -> None:
    body = {
        "name": "create-comment-thread",
        "props": {"content": f"@[Grace]({GRACE}) @Grace", "mentions": [], "ownerId": ADA},
    }

    (message,) = await worded(normalize(body), **SLACK)

    assert message.mentions == ()


async def test_each_of_the_mentioned_gets_a_direct_message_of_their_own() -> None:
    event = example("create-comment-thread")
    two = (*event.comment.mentions, Profile("b" * 8, "Bob", email="Bob@Example.com"))
    event = replace(event, comment=replace(event.comment, mentions=two))

    messages = await worded(event, {"bob@example.com": PersonSettings(slack="U0BOB")}, **DIRECT)

    assert [(one.to.name, one.to.slack) for one in messages if one.to] == [
        ("Grace Hopper", ""),
        ("Bob", "U0BOB"),
    ]
    assert all(one.mentions == () for one in messages)
    assert await worded(example("create-comment"), **DIRECT) == []


async def test_a_reply_has_a_brief_form_for_its_thread() -> None:
    (threaded,) = await worded(example("create-comment"), **MATRIX)
    (flat,) = await worded(example("create-comment"), **MATRIX, threads=False)
    (mail,) = await worded(example("create-comment"), **MAIL)
    (first,) = await worded(example("create-comment-thread"), **MATRIX)

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
    templates = Templates(tmp_path)
    wording = EventRenderer(templates, example("create-comment"), "acme", (), "")
    (threaded,) = await wording.messages(channel(**MATRIX))
    templates.close()

    message = Message.loads(threaded.message)
    assert message.override == "Grace Hopper on Landing page"
    assert message.in_thread().override == "Grace Hopper"


async def test_a_resolved_thread_is_told_as_such() -> None:
    event = example("create-comment")
    resolved = replace(event, thread=replace(event.thread, resolved=True))

    (message,) = await worded(resolved, **MATRIX)

    assert "✓ resolved" in message.body
    assert "✓ resolved" in message.in_thread().body
    assert "✓" not in (await worded(event, **MATRIX))[0].body


async def test_mail_addresses_are_shown_only_where_the_config_says_so(tmp_path: Path) -> None:
    (tmp_path / "create-comment-thread.md.j2").write_text(
        "{{ actor.email or 'none' }} {{ event.props.ownerEmail | default('none') }}"
        "{% for person in comment.mentions %} {{ person }} {{ person.email }}{% endfor %}"
    )
    event = example("create-comment-thread")
    assert event.actor.email == "ada@example.com"
    wording = EventRenderer(Templates(tmp_path), event, "acme", (), "")

    shown, hidden = [
        Message.loads(one.message).title
        for share in (True, False)
        for one in await wording.messages(channel(**MATRIX, share_emails=share))
    ]

    assert "ada@example.com" in shown
    assert "grace@example.com" in shown
    assert shown.count("ada@") == 2
    assert "Grace Hopper" in hidden
    assert "@" not in hidden


async def test_pictures_go_where_the_config_wants_them() -> None:
    event = example("create-comment")

    (with_one,) = await worded(event, picture="m1", **MAIL, thumbnails=True)
    (without,) = await worded(event, picture="m1", **MAIL)

    assert (with_one.picture, without.picture) == ("m1", "")
    assert with_one.file == "Landing page"


async def test_looks_are_rendered_once(monkeypatch: pytest.MonkeyPatch) -> None:
    rendered: list[str] = []
    render = Templates.render

    def counted(self: Templates, name: str, *values: Any, **named: Any) -> Any:
        rendered.append(named["channel_kind"])
        return render(self, name, *values, **named)

    monkeypatch.setattr(Templates, "render", counted)
    wording = EventRenderer(Templates(), example("create-file"), "acme", (), "")

    for settings in (SLACK, SLACK, MATRIX, DIRECT, SLACK | {"share_emails": True}):
        await wording.messages(channel(**settings))

    assert rendered == ["slack", "matrix", "slack"]


async def test_a_users_template_that_takes_long_holds_nothing_else_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cell, "SECONDS", 1.0)
    (tmp_path / "create-file.md.j2").write_text("{{ 10 ** (10 ** 8) }}")
    templates = Templates(tmp_path)
    wording = EventRenderer(templates, example("create-file"), "acme", (), "")
    gaps = []

    async def tick() -> None:
        last = time.monotonic()
        while True:
            await asyncio.sleep(0.01)
            gaps.append(time.monotonic() - last)
            last = time.monotonic()

    ticking = asyncio.create_task(tick())
    started = time.monotonic()
    (message,) = await wording.messages(channel(**SLACK))
    took = time.monotonic() - started
    ticking.cancel()
    templates.close()

    assert "created the file" in Message.loads(message.message).body
    assert [one.text for one in wording.problems] == ["takes longer than 1 s"]
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
    body = json.loads(json.dumps({"name": "create-comment", "props": {"mentions": [GRACE, ADA]}}))
    event = enriched(normalize(body))

    assert [one.slack for one in pinged(event, config.people)] == ["U0ADA", "U0GRACE"]
