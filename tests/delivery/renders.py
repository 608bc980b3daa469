"""Examples of events rendered for channels of some settings."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from relay.config.settings import AnyChannel, PersonSettings
from relay.delivery.changes import ChangeRenderer, is_synthetic
from relay.delivery.renderer import EventRenderer, RenderContext, RenderedMessage, mentions_to_ping
from relay.messages.message import Message
from relay.messages.templates import Templates
from relay.penpot.events import Event
from relay.penpot.events import Person as Profile
from relay.penpot.links import add_links
from tests.delivery.examples import example

ADA = "28fbd360-8a3c-81b0-8004-6c1b90e4c571"
GRACE = "28fbd360-8a3c-81b0-8004-6c1bb2577f0e"
SLACK = {"type": "slack", "token": "t", "channel": "#a"}
MATRIX = {"type": "matrix", "homeserver": "http://m", "access_token": "t", "room": "!a:m"}
DIRECT = {"type": "slack", "token": "t", "direct": "mentioned"}
MAIL = {"type": "email", "to": ["a@b.c"], "sender": "p@b.c", "smtp": {"host": "h"}}
HOOK = {"type": "slack", "webhook_url": "https://h/x"}
STDOUT = {"type": "stdout"}
AS_SENDER = SLACK | {"author_as_sender": True}
PLACE = "{% if as_sender %}PLACE{% else %}WHO{% endif %} {{ thread.begun }}"


def channel(**settings: Any) -> AnyChannel:
    kind: TypeAdapter[AnyChannel] = TypeAdapter(AnyChannel)
    return kind.validate_python({"name": "a"} | settings)


async def rendered(
    event: Event,
    people: dict[str, dict[str, str]] | None = None,
    picture: str = "",
    **settings: Any,
) -> list[Message]:
    linked = add_links(event, "https://design.example.com")
    persons = {key: PersonSettings(addresses) for key, addresses in (people or {}).items()}
    renderer = EventRenderer(
        RenderContext(Templates(), linked, "acme", mentions_to_ping(linked, persons), picture)
    )
    found = [Message.loads(row.message) for row in await renderer.messages(channel(**settings))]
    assert not renderer.problems
    return found


async def stored(
    event: Event, templates: Path | None = None, picture: str = "", **settings: Any
) -> list[RenderedMessage]:
    linked = add_links(event, "https://design.example.com")
    renderer = ChangeRenderer(
        RenderContext(Templates(templates), linked, "acme", mentions_to_ping(linked, {}), picture)
    )
    kind: TypeAdapter[AnyChannel] = TypeAdapter(AnyChannel)
    found = await renderer.messages(kind.validate_python({"name": "a"} | settings))
    assert not renderer.problems
    return found


async def rendered_change(event: Event, **settings: Any) -> list[Message]:
    return [Message.loads(row.message) for row in await stored(event, **settings)]


def by_member(name: str) -> Event:
    member = Profile(GRACE, "Grace Hopper", email="grace@example.com")
    return replace(example(name), member=member)


async def rendered_with(folder: Path, event: Event, **settings: Any) -> list[Message]:
    """With templates that print whether the channel shows the author."""
    for name in ("create-comment", "create-comment-thread", "delete-comment"):
        (folder / f"{name}.md.j2").write_text(PLACE)
    kind = ChangeRenderer if is_synthetic(event) else EventRenderer
    renderer = kind(RenderContext(Templates(folder), event, "acme"))
    return [Message.loads(row.message) for row in await renderer.messages(channel(**settings))]
