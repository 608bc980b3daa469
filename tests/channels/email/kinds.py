"""The messages of every kind in a mail channel, with short and with long names."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from relay.delivery.digest import combine
from relay.delivery.notices import NOTICES, notice_variables
from relay.delivery.renderer import MessageOptions, render
from relay.messages.message import Message
from relay.messages.templates import Templates
from relay.penpot.events import Event
from relay.penpot.links import add_links
from tests.channels.email.parts import mention
from tests.delivery.examples import EXAMPLES

TEMPLATES = Templates()
LONG_NAME = "W" * 250
LONG_URL = "https://example.com/" + "a" * 1980


def long(event: Event) -> Event:
    """With the longest words in each place."""
    changes: dict[str, Any] = {
        name: replace(getattr(event, name), name=LONG_NAME)
        for name in ("team", "project", "file", "page", "library", "font", "previous")
        if getattr(event, name)
    }
    text = f"{LONG_URL} and\n\n{'ж' * 3000}"
    if event.comment:
        changes |= {"comment": replace(event.comment, text=text)}
        changes |= {"thread": replace(event.thread, first=text)}
    return replace(event, **changes)


def mails_of_every_kind() -> Iterator[tuple[str, Message]]:
    """By kind."""
    entries = []
    for name, example in EXAMPLES.items():
        for kind, event in ((name, example), (f"{name} long", long(example))):
            linked = add_links(event, "https://design.example.com")
            options = MessageOptions(in_digests=True)
            message = render(TEMPLATES, linked, "acme", "email", options).message
            entries.append(message)
            yield kind, replace(message, url=LONG_URL) if event is not example else message
            if event.comment:
                options = MessageOptions(direct=True)
                message = render(TEMPLATES, linked, "acme", "email", options).message
                yield f"{kind} to a person", replace(message, to=mention("grace@example.com"))
    for name, notice in NOTICES.items():
        variables = notice_variables(name, notice.sample, team="Acme", url="https://x.org")
        rendered = TEMPLATES.render(name, variables, team="acme", channel_kind="email")
        yield name, rendered.message
    yield "digest of all", combine(TEMPLATES, entries[:20]).message
