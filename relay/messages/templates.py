"""Templates: an event's variables in, a Message out. A template never costs a message."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import Environment

from relay.messages.environments import (
    HtmlEnvironment,
    MarkdownEnvironment,
    SlackJsonEnvironment,
    TemplateFiles,
)
from relay.messages.escape import escape, one_line
from relay.messages.graphemes import shorten
from relay.messages.message import Message
from relay.messages.rendering import MAX_TITLE, Problem, Sections, override, problem, sections

GENERIC = "event"
"""The template for an event that has none of its own."""
MARKDOWN = ".md.j2"
OVERRIDES: Mapping[str, str] = {
    "slack": ".slack.json.j2",
    "matrix": ".matrix.html.j2",
    "email": ".email.html.j2",
}
"""The ends of names of templates for one kind of channel alone."""

_EVENT_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,80}")


@dataclass(frozen=True, slots=True)
class Rendered:
    """A message, and what was wrong with the templates on the way to it."""

    message: Message
    problems: tuple[Problem, ...] = ()


class Environments:
    """The environments over one list of folders."""

    def __init__(self, folders: tuple[Path, ...], builtin: Path) -> None:
        self.files = TemplateFiles(folders, builtin)

    @cached_property
    def markdown(self) -> MarkdownEnvironment:
        return MarkdownEnvironment(self.files)

    @cached_property
    def json(self) -> SlackJsonEnvironment:
        return SlackJsonEnvironment(self.files)

    @cached_property
    def html(self) -> HtmlEnvironment:
        return HtmlEnvironment(self.files)

    def of(self, name: str) -> Environment:
        """The environment for a template's file name."""
        if name.endswith(MARKDOWN):
            return self.markdown
        return self.json if name.endswith(".json.j2") else self.html


class Templates:
    """The built-in templates and, before them, a user's own.

    ``<user>/<team>/<event>.md.j2`` wins over ``<user>/<event>.md.j2``, and that over the built-in
    one, which is always at hand as ``builtin/<event>.md.j2``. An event without a template gets
    ``event.md.j2``. A file that is edited or added is taken without a restart.
    """

    def __init__(self, user: Path | None = None, builtin: Path | None = None) -> None:
        self.user = user
        self.builtin = builtin or builtin_folder()
        self._own = Environments((), self.builtin)
        self._users: dict[str, Environments] = {}

    def render(
        self, event_name: str, variables: Mapping[str, Any], *, team: str, channel_kind: str
    ) -> Rendered:
        """The message for an event.

        ``variables`` is what the template gets; ``team`` the team's key in the config and
        ``channel_kind`` a channel's type. If the user's template fails the built-in one is used,
        and if that fails a plain line; each failure is among the problems. Never raises for
        anything that a template does.
        """
        problems: list[Problem] = []
        found = None
        for environments in self._in_order(team):
            name = template_name(environments, event_name, MARKDOWN)
            try:
                found = sections(environments.markdown.get_template(name), variables)
                break
            except Exception as error:  # noqa: BLE001 - templates run a user's code
                problems.append(problem(error, name))
        found = found or _plain_line(event_name, variables)
        own = ""
        if channel_kind in OVERRIDES:
            own = self._override(event_name, variables, team, channel_kind, problems)
        return Rendered(_message(event_name, variables, team, found, own), tuple(problems))

    def environments(self, team: str = "") -> Environments:
        """The environments of a team; of one without templates of its own, those of all."""
        if self.user is None:
            return self._own
        if not (team and os.path.isdir(self.user / team)):
            team = ""
        folders = (self.user / team, self.user) if team else (self.user,)
        if team not in self._users:
            self._users[team] = Environments(folders, self.builtin)
        return self._users[team]

    def _in_order(self, team: str) -> tuple[Environments, ...]:
        environments = self.environments(team)
        return (environments,) if environments is self._own else (environments, self._own)

    def _override(
        self,
        event_name: str,
        variables: Mapping[str, Any],
        team: str,
        channel_kind: str,
        problems: list[Problem],
    ) -> str:
        for environments in self._in_order(team):
            name = template_name(environments, event_name, OVERRIDES[channel_kind])
            if environments.files.find(name) is None:
                continue
            try:
                return override(environments.of(name).get_template(name), variables)
            except Exception as error:  # noqa: BLE001 - templates run a user's code
                problems.append(problem(error, name))
        return ""


def builtin_folder() -> Path:
    """The built-in templates: in the installed package, or beside it in a checkout."""
    package = Path(str(files("relay")))
    inside = package / "templates"
    return inside if inside.is_dir() else package.parent / "templates"


def template_name(environments: Environments, event_name: str, end: str) -> str:
    """The name of an event's template, or that of the generic one."""
    if _EVENT_NAME.fullmatch(event_name) and environments.files.find(event_name + end):
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
    )


def _iso(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _field(thing: object, name: str) -> object:
    return thing.get(name) if isinstance(thing, Mapping) else getattr(thing, name, None)
