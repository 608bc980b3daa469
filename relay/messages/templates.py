"""Templates: an event's variables in, a Message out. A template never costs a message."""

import os
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path
from typing import Any

from relay.messages.cell import Sandbox, SandboxedTemplates
from relay.messages.escape import escape, one_line
from relay.messages.graphemes import shorten
from relay.messages.message import Message
from relay.messages.rendering import MAX_TITLE, Problem, Sections, problem
from relay.messages.sets import MARKDOWN, OVERRIDES, Environments, TemplateSet

GENERIC = "event"
"""The template for an event that has none of its own."""
EVENT_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,80}")
"""The names of events that can have a template of their own."""


@dataclass(frozen=True, slots=True)
class Rendered:
    """A message, and what was wrong with the templates on the way to it."""

    message: Message
    problems: tuple[Problem, ...] = ()


class Templates:
    """The built-in templates and, before them, a user's own.

    ``<user>/<team>/<event>.md.j2`` wins over ``<user>/<event>.md.j2``, and that over the built-in
    one, which is always at hand as ``builtin/<event>.md.j2``. An event without a template gets
    ``event.md.j2``. A file that is edited or added is taken without a restart. The user's run in
    a process of their own, within limits (``cell.py``); render them beside the event loop.
    """

    def __init__(self, user: Path | None = None, builtin: Path | None = None) -> None:
        self.user = user
        self.builtin = builtin or builtin_folder()
        self._own = Environments((), self.builtin)
        self._cell = Sandbox()
        self._users: dict[str, TemplateSet] = {}

    def close(self) -> None:
        """End the process that the user's templates run in, if there is one."""
        self._cell.close()

    def render(
        self,
        event_name: str,
        variables: Mapping[str, Any],
        *,
        team: str,
        channel_kind: str,
        typed: Mapping[str, str] | None = None,
    ) -> Rendered:
        """The message for an event.

        ``variables`` is what the template gets; ``team`` the team's key in the config and
        ``channel_kind`` a channel's type. If the user's template fails the built-in one is used,
        and if that fails a plain line; each failure is among the problems. Never raises for
        anything that a template does. ``typed`` are templates to take before all files, by name,
        such as ``rename-file.md.j2``; a problem in one has that name for its file.
        """
        problems: list[Problem] = []
        found = None
        sets = self._in_order(team, typed)
        for templates in sets:
            name = template_name(templates, event_name, MARKDOWN)
            try:
                found = templates.sections(name, variables)
                break
            except Exception as error:  # noqa: BLE001 - templates run a user's code
                problems.append(problem(error, name))
        found = found or _plain_line(event_name, variables)
        own = ""
        if channel_kind in OVERRIDES:
            own = _override(sets, event_name, variables, OVERRIDES[channel_kind], problems)
        return Rendered(_message(event_name, variables, team, found, own), tuple(problems))

    def faults(
        self,
        name: str,
        known: Collection[str],
        samples: Sequence[Mapping[str, Any]],
        *,
        team: str,
        typed: Mapping[str, str],
    ) -> list[Problem]:
        """What is wrong with one of the ``typed`` templates, also where no event comes by; see
        ``faults.py``."""
        return self._confined(team, typed).faults(name, known, samples)

    def of(self, team: str = "") -> TemplateSet:
        """The templates of a team; of one without templates of its own, those of all."""
        if self.user is None:
            return self._own
        if not (team and os.path.isdir(self.user / team)):
            team = ""
        if team not in self._users:
            self._users[team] = self._confined(team)
        return self._users[team]

    def _in_order(self, team: str, typed: Mapping[str, str] | None) -> tuple[TemplateSet, ...]:
        if typed:
            return self._confined(team, typed), self._own
        found = self.of(team)
        return (found,) if found is self._own else (found, self._own)

    def _confined(self, team: str, typed: Mapping[str, str] | None = None) -> SandboxedTemplates:
        folders = [self.user / team] if self.user and team else []
        folders += [self.user] if self.user else []
        return SandboxedTemplates(Environments(folders, self.builtin, typed), self._cell)


def _override(
    sets: Iterable[TemplateSet],
    event_name: str,
    variables: Mapping[str, Any],
    end: str,
    problems: list[Problem],
) -> str:
    """What the first template for one kind of channel gives that works; empty without any."""
    for templates in sets:
        name = template_name(templates, event_name, end)
        if templates.files.find(name) is None:
            continue
        try:
            return templates.override(name, variables)
        except Exception as error:  # noqa: BLE001 - templates run a user's code
            problems.append(problem(error, name))
    return ""


def builtin_folder() -> Path:
    """The built-in templates: in the installed package, or beside it in a checkout."""
    package = Path(str(files("relay")))
    inside = package / "templates"
    return inside if inside.is_dir() else package.parent / "templates"


def template_name(templates: TemplateSet, event_name: str, end: str) -> str:
    """The name of an event's template, or that of the generic one."""
    if EVENT_NAME.fullmatch(event_name) and templates.files.find(event_name + end):
        return event_name + end
    return GENERIC + end


def _plain_line(event_name: str, variables: Mapping[str, Any]) -> Sections:
    """The event's facts, for when no template works."""
    facts = [variables.get(key) for key in ("actor", "file", "project", "font", "comment")]
    known = [one_line(shorten(str(fact), MAX_TITLE)) for fact in (event_name, *facts) if fact]
    line = " · ".join(known)
    return Sections(shorten(line, MAX_TITLE), str(escape(line)))


def _message(
    event_name: str, variables: Mapping[str, Any], team: str, found: Sections, override: str
) -> Message:
    event = variables.get("event")
    at = _field(event, "at")
    return Message(
        title=found.title,
        body=found.body,
        footer=found.footer,
        url=str(_field(event, "url") or ""),
        event=event_name,
        team=team,
        at=_iso(at) if isinstance(at, datetime) else str(at or ""),
        thread=str(_field(variables.get("thread"), "id") or ""),
        override=override,
        file=str(variables.get("file") or ""),
        file_id=str(_field(variables.get("file"), "id") or ""),
        actor=str(variables.get("actor") or ""),
    )


def _iso(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _field(thing: object, name: str) -> object:
    return thing.get(name) if isinstance(thing, Mapping) else getattr(thing, name, None)
