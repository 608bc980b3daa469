"""The template variables of an event, each with its description and current value."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from markupsafe import Markup, escape

from relay.messages.graphemes import shorten
from relay.penpot.catalogue import CATALOGUE
from relay.penpot.events import Event
from relay.reference import VARIABLES

_MAX_VALUE_LENGTH = 80
_FIELD_PATTERN = re.compile(r"\b[a-z]+(\.[a-z_]+)+\b")


@dataclass(frozen=True, slots=True)
class Variable:
    name: str
    description: Markup  # field names in it are buttons that insert them into the template
    value: str  # in the previewed event; empty if falsy


def describe_variables(event: Event) -> Iterator[Variable]:
    """The variables that the catalogue lists for the event; all of them for an unknown event."""
    kind = CATALOGUE.get(event.name)
    variables = event.variables()
    for name in ("event", *kind.variables) if kind else VARIABLES:
        value = variables[name]
        text = event.name if name == "event" else str(value) if value else ""
        yield Variable(name, _with_buttons(name, VARIABLES[name]), shorten(text, _MAX_VALUE_LENGTH))


def _with_buttons(variable: str, text: str) -> Markup:
    parts, position = Markup(""), 0
    for match in _FIELD_PATTERN.finditer(text):
        if match[0].startswith(f"{variable}."):
            parts += escape(text[position : match.start()]) + _button(match[0])
            position = match.end()
    return parts + escape(text[position:])


def _button(name: str) -> Markup:
    return Markup('<button type="button" class="insert" data-insert="{0}">{0}</button>').format(
        name
    )
