"""Templates: from an event's variables to a Message. A failing template never loses a message."""

import os
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path
from types import MappingProxyType
from typing import TypeAlias

from relay.messages.document import shorten
from relay.messages.environments import OverrideFormat
from relay.messages.escape import escape, one_line
from relay.messages.message import Content, Entry, Message
from relay.messages.rendering import MAX_TITLE_LENGTH, Problem, Sections, Variables, to_problem
from relay.messages.sandbox import Sandbox, SandboxedTemplates
from relay.messages.sets import (
    MARKDOWN_SUFFIX,
    InProcessTemplates,
)

TemplateSet: TypeAlias = InProcessTemplates | SandboxedTemplates

GENERIC_TEMPLATE = "event"  # for events without a template of their own
EVENT_NAME_PATTERN = re.compile(r"[a-z0-9][a-z0-9-]{0,80}")
"""Event names that can have a template of their own."""


@dataclass(frozen=True, slots=True)
class RenderResult:
    """A message, and the problems of the templates that were tried for it."""

    message: Message
    problems: tuple[Problem, ...] = ()


class Templates:
    """The built-in templates, and a user's own, which take precedence.

    ``<user>/<team>/<event>.md.j2`` wins over ``<user>/<event>.md.j2``, and that over the built-in
    one, which is also available as ``builtin/<event>.md.j2``. An event without a template uses
    ``event.md.j2``. Changed and new files are used without a restart. User templates run in a
    sandbox (``sandbox.py``), whose callers block: render off the event loop.
    """

    def __init__(
        self,
        user: Path | None = None,
        formats: Mapping[str, OverrideFormat] = MappingProxyType({}),
        builtin: Path | None = None,
    ) -> None:
        """``formats``: the templates for one kind of channel, by its type in the config."""
        self.user = user
        self.builtin = builtin or builtin_folder()
        self._formats = formats
        self.builtin_set = InProcessTemplates((), self.builtin, formats.values())
        self._sandbox = Sandbox({name for form in formats.values() for name in form.modules})
        self._user_sets: dict[str, TemplateSet] = {}

    def close(self) -> None:
        """End the sandbox's process, if it runs."""
        self._sandbox.close()

    def render(
        self,
        event_name: str,
        variables: Variables,
        *,
        team: str,
        channel_kind: str,
        drafts: Mapping[str, str] | None = None,
        digest: bool = False,
    ) -> RenderResult:
        """The message for an event.

        ``team`` is the team's key in the config, ``channel_kind`` a channel's type. With ``digest``
        the message gets the text of its entry in a digest. If the user's
        template fails the built-in one is used, and if that fails a plain line; each failure is
        among the problems. Never raises for anything that a template does. ``drafts`` are unsaved
        templates by file name, such as ``rename-file.md.j2``, that win over all files; a problem in
        a draft has that name as its file.
        """
        problems: list[Problem] = []
        sections = None
        sets = self._by_precedence(team, drafts)
        for templates in sets:
            name = template_name(templates, event_name, MARKDOWN_SUFFIX)
            try:
                sections = templates.sections(name, variables, digest)
                break
            except Exception as error:  # noqa: BLE001 - templates run a user's code
                problems.append(to_problem(error, name))
        sections = sections or _plain_line(event_name, variables)
        override = ""
        if form := self._formats.get(channel_kind):
            override = _override(sets, event_name, variables, form.suffix, problems)
        message = _message(event_name, variables, team, sections, override)
        return RenderResult(message, tuple(problems))

    def lint(
        self,
        name: str,
        known: Collection[str],
        samples: Sequence[Variables],
        *,
        team: str,
        drafts: Mapping[str, str],
    ) -> list[Problem]:
        """The problems of the draft ``name``; see ``lint_template``."""
        return self._sandboxed(team, drafts).lint(name, known, samples)

    def for_team(self, team: str = "") -> TemplateSet:
        """The templates of a team; those of all teams if it has no folder."""
        if self.user is None:
            return self.builtin_set
        if not (team and os.path.isdir(self.user / team)):
            team = ""
        if team not in self._user_sets:
            self._user_sets[team] = self._sandboxed(team)
        return self._user_sets[team]

    def _by_precedence(
        self, team: str, drafts: Mapping[str, str] | None
    ) -> tuple[TemplateSet, ...]:
        if drafts:
            return self._sandboxed(team, drafts), self.builtin_set
        templates = self.for_team(team)
        builtin = self.builtin_set
        return (builtin,) if templates is builtin else (templates, builtin)

    def _sandboxed(self, team: str, drafts: Mapping[str, str] | None = None) -> SandboxedTemplates:
        folders = [self.user / team] if self.user and team else []
        folders += [self.user] if self.user else []
        formats = self._formats.values()
        templates = InProcessTemplates(folders, self.builtin, formats, drafts)
        return SandboxedTemplates(templates, self._sandbox)


def _override(
    sets: Iterable[TemplateSet],
    event_name: str,
    variables: Variables,
    suffix: str,
    problems: list[Problem],
) -> str:
    """The output of the first working template for a kind of channel; empty without any."""
    for templates in sets:
        name = template_name(templates, event_name, suffix)
        if templates.files.find(name) is None:
            continue
        try:
            return templates.override(name, variables)
        except Exception as error:  # noqa: BLE001 - templates run a user's code
            problems.append(to_problem(error, name))
    return ""


def builtin_folder() -> Path:
    """Inside the installed package, or beside it in a checkout."""
    package = Path(str(files("relay")))
    inside = package / "templates"
    return inside if inside.is_dir() else package.parent / "templates"


def template_name(templates: TemplateSet, event_name: str, suffix: str) -> str:
    """The file name of an event's template, or of the generic one."""
    if EVENT_NAME_PATTERN.fullmatch(event_name) and templates.files.find(event_name + suffix):
        return event_name + suffix
    return GENERIC_TEMPLATE + suffix


def _plain_line(event_name: str, variables: Variables) -> Sections:
    """The message if every template fails."""
    values = [variables.get(key) for key in ("actor", "file", "project", "font", "comment")]
    parts = [
        one_line(shorten(str(part), MAX_TITLE_LENGTH)) for part in (event_name, *values) if part
    ]
    line = " · ".join(parts)
    return Sections(shorten(line, MAX_TITLE_LENGTH), str(escape(line)))


def _message(
    event_name: str, variables: Variables, team: str, sections: Sections, override: str
) -> Message:
    event, file = variables.get("event"), variables.get("file")
    at = _field(event, "at")
    return Message(
        title=sections.title,
        full=Content(sections.body, sections.footer, override),
        url=str(_field(event, "url") or ""),
        event=event_name,
        team=team,
        at=_iso(at) if isinstance(at, datetime) else str(at or ""),
        thread=str(_field(variables.get("thread"), "id") or ""),
        file=str(file or ""),
        file_id=str(_field(file, "id") or ""),
        file_url=str(_field(file, "url") or ""),
        actor=str(variables.get("actor") or ""),
        entry=Entry.of(sections.digest) if sections.digest else None,
    )


def _iso(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _field(value: object, name: str) -> object:
    return value.get(name) if isinstance(value, Mapping) else getattr(value, name, None)
