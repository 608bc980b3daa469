"""The variables of an event, for who writes its template: what each is, and what it is now."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from markupsafe import Markup, escape

from relay.messages.graphemes import shorten
from relay.penpot.catalogue import CATALOGUE
from relay.penpot.events import Event
from relay.reference import VARIABLES

_LONGEST = 80
_NAME = re.compile(r"\b[a-z]+(\.[a-z_]+)+\b")


@dataclass(frozen=True, slots=True)
class Variable:
    """One variable, for a page."""

    name: str
    words: Markup
    """What it holds; each name in it is a button that puts it into the template."""
    value: str
    """What it is in the event that is shown, in words; empty where it is falsy there."""


def described(event: Event) -> Iterator[Variable]:
    """What the template of an event gets, as the catalogue tells it; all that there is for one that
    is not in it."""
    kind = CATALOGUE.get(event.name)
    variables = event.variables()
    for name in ("event", *kind.variables) if kind else VARIABLES:
        value = variables[name]
        text = event.name if name == "event" else str(value) if value else ""
        yield Variable(name, _with_buttons(name, VARIABLES[name]), shorten(text, _LONGEST))


def _with_buttons(variable: str, text: str) -> Markup:
    parts, done = Markup(""), 0
    for found in _NAME.finditer(text):
        if found[0].startswith(f"{variable}."):
            parts += escape(text[done : found.start()]) + button(found[0])
            done = found.end()
    return parts + escape(text[done:])


def button(name: str) -> Markup:
    """A name that can be put where the cursor is."""
    return Markup('<button type="button" class="insert" data-insert="{0}">{0}</button>').format(
        name
    )
