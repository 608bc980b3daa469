"""Templates: from an event's variables to a Message. A failing template never loses a message."""

import math
import os
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import TypeAlias, TypeVar

from relay.messages.budget import SandboxBudget
from relay.messages.builtin import BuiltinTemplates
from relay.messages.environments import (
    BUILTIN,
    MARKDOWN_SUFFIX,
    OverrideFormat,
    TemplateFiles,
)
from relay.messages.escape import escape, one_line
from relay.messages.lint import Problem, RenderError, Variables, hint, to_problem
from relay.messages.locale import DEFAULT_LOCALE, Locale, builtin_folder, using
from relay.messages.message import Content, Message
from relay.messages.rendering import (
    MAX_TITLE_LENGTH,
    Sections,
    longest_suffix,
)
from relay.messages.sandbox import Sandbox, SandboxedTemplates
from relay.messages.shorten import shorten
from relay.messages.turns import TeamTurns

TemplateSet: TypeAlias = BuiltinTemplates | SandboxedTemplates
"""The templates that apply to a team."""
_Output = TypeVar("_Output", Sections, str)

MAX_NAME_LENGTH = 60  # characters of a file, a project or a page in a message
GENERIC_TEMPLATE = "event"  # for events without a template of their own
_LATER_BLOCKS = ("notice", "subject", "digest")
_BLOCK_PATTERN = re.compile(r"\{%[-+]?\s*block\s+(\w+)")
_SECTION_PATTERN = re.compile(r"<!-- (\w+) -->")
_OTHER_TEMPLATE_PATTERN = re.compile(r"\{%[-+]?\s*(?:extends|include)\b")
_MAX_THREADS, _MAX_USER_THREADS = 2, 64  # of the latter all but one or two wait for the sandbox
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
    sandbox (``sandbox.py``), whose callers block, and the built-in ones take up to 0.1 s for a long
    comment: render in ``turns``.
    """

    def __init__(
        self,
        user: Path | None = None,
        formats: Mapping[str, OverrideFormat] = MappingProxyType({}),
        builtin: Path | None = None,
        budget: SandboxBudget | None = None,
    ) -> None:
        """``formats``: the templates for one kind of channel, by its type in the config. A team
        that has spent its ``budget`` gets the built-in templates."""
        self.user = user
        self.builtin = builtin or builtin_folder()
        self._formats = formats
        named = [form.suffix for form in formats.values() if not form.by_event]
        by_event = [form.suffix for form in formats.values() if form.by_event]
        self.suffixes, self.body_suffixes = (MARKDOWN_SUFFIX, *by_event), tuple(named)
        self.builtin_set = BuiltinTemplates(self.builtin, formats.values())
        self.turns = TeamTurns("templates", _MAX_USER_THREADS if user else _MAX_THREADS)
        self._budget = budget or SandboxBudget(math.inf)
        self._sandbox = Sandbox(self._budget)
        self._user_sets: dict[tuple[str, bool], TemplateSet] = {}

    def close(self) -> None:
        """End the sandbox's processes, if they run."""
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
        content_only: bool = False,
        locale: Locale = DEFAULT_LOCALE,
        body_template: str = "",
    ) -> RenderResult:
        """The message for an event, in the language and zone of ``locale``.

        ``team`` is the team's key in the config, ``channel_kind`` a channel's type. With ``digest``
        the message gets the text of its entry in a digest; with ``content_only`` body and footer
        are all that is needed of it. If the user's template fails the
        built-in one is used, and if that fails a plain line; each failure is among the problems.
        Never raises for anything that a template does. ``drafts`` are unsaved templates by file
        name, such as ``rename-file.md.j2``, that win over all files; a problem in a draft has that
        name as its file. ``body_template`` makes the override, if the channel names one.
        """
        problems: list[Problem] = []
        variables = {**variables, "language": locale.language, "timezone": locale.timezone}
        templates = self._sandboxed(team, drafts) if drafts else self.for_team(team)
        sets = dict.fromkeys((templates, self.builtin_set))  # once, if they are the same

        def first(
            find: Callable[[TemplateSet], str], render: Callable[[TemplateSet, str], _Output]
        ) -> _Output | None:
            """The output of the first template that works."""
            for templates in sets:
                if not (name := find(templates)):
                    continue
                if templates is not self.builtin_set and self._budget.is_spent(team):
                    if self._budget.report(team) or drafts:
                        problems.append(self._spent_problem(templates, name))
                    continue
                try:
                    return render(templates, name)
                except Exception as error:  # noqa: BLE001 - templates run a user's code
                    problems.append(to_problem(error, name))
            return None

        override = None
        with using(locale):
            sections = first(
                lambda templates: _template_name(templates, event_name, MARKDOWN_SUFFIX),
                lambda templates, name: templates.sections(name, variables, digest, content_only),
            )
            if find := self._override_finder(event_name, channel_kind, body_template):
                override = first(find, lambda templates, name: templates.override(name, variables))
        if body_template and not templates.files.find(body_template):
            problems.append(Problem(body_template, 0, "there is no such template"))
        sections = sections or _plain_line(event_name, variables)
        message = _message(event_name, variables, team, sections, override or "")
        message = replace(message, language=locale.language, zone=locale.zone)
        return RenderResult(message, tuple(problems))

    def _override_finder(
        self, event_name: str, channel_kind: str, body_template: str
    ) -> Callable[[TemplateSet], str] | None:
        """Finds the name of the override in a set of templates; None where a kind has none."""
        if body_template:
            return lambda templates: body_template if templates.files.find(body_template) else ""
        form = self._formats.get(channel_kind)
        if form is None or not form.by_event:
            return None
        return lambda templates: _template_name(templates, event_name, form.suffix)

    def builtin_title(self, event_name: str, variables: Variables) -> str:
        """What happened, as the built-in template says it in English."""
        name = _template_name(self.builtin_set, event_name, MARKDOWN_SUFFIX)
        try:
            return self.builtin_set.title(name, variables)
        except Exception:  # noqa: BLE001 - as in ``render``
            return _plain_line(event_name, variables).title

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
        templates = self._sandboxed(team, drafts)
        if self._budget.is_spent(team):
            return [self._spent_problem(templates, name)]
        return templates.lint(name, known, samples)

    def for_team(self, team: str = "") -> TemplateSet:
        """The templates of a team; those of all teams if it has no folder."""
        if self.user is None:
            return self.builtin_set
        # Not one set for all teams without a folder: what one team's events make slow is
        # quarantined for that team.
        key = team, bool(team) and os.path.isdir(self.user / team)
        if key not in self._user_sets:
            self._user_sets[key] = self._sandboxed(team)
        return self._user_sets[key]

    def _sandboxed(self, team: str, drafts: Mapping[str, str] | None = None) -> SandboxedTemplates:
        folders = [] if self.user is None else [self.user]
        if folders and team and os.path.isdir(folders[0] / team):
            folders = [folders[0] / team, *folders]
        files = TemplateFiles(folders, self.builtin, drafts)
        return SandboxedTemplates(files, self._formats.values(), self._sandbox, team)

    def _spent_problem(self, templates: TemplateSet, name: str) -> Problem:
        seconds = self._budget.team_seconds
        text = f"is not used: its team's templates have run for {seconds:g} s in this minute"
        return Problem(templates.files.find(name) or name, 0, text)


def _template_name(templates: TemplateSet, event_name: str, suffix: str) -> str:
    """The file name of an event's template, or of the generic one; empty if there is neither."""
    names = [event_name + suffix] if EVENT_NAME_PATTERN.fullmatch(event_name) else []
    return next(filter(templates.files.find, [*names, GENERIC_TEMPLATE + suffix]), "")


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
    event, file, page = (variables.get(name) for name in ("event", "file", "page"))
    at = _field(event, "at")
    return Message(
        title=sections.title,
        notice=sections.notice,
        subject=sections.subject,
        full=Content(sections.body, sections.footer, override),
        url=str(_field(event, "url") or ""),
        event=event_name,
        team=team,
        at=_iso(at) if isinstance(at, datetime) else str(at or ""),
        thread=str(_field(variables.get("thread"), "id") or ""),
        opens=str(_field(event, "opens") or ""),
        team_name=str(variables.get("team") or ""),
        project=_name(variables.get("project")),
        file=_name(file),
        page=_name(page),
        number=str(variables.get("thread") or ""),
        file_id=str(_field(file, "id") or ""),
        file_url=str(_field(file, "url") or ""),
        actor=str(variables.get("actor") or ""),
        entry=sections.digest,
    )


def _name(subject: object) -> str:
    return shorten(str(subject or ""), MAX_NAME_LENGTH)


def _iso(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _field(value: object, name: str) -> object:
    return value.get(name) if isinstance(value, Mapping) else getattr(value, name, None)


def check(
    templates: Templates,
    samples: Iterable[Variables],
    teams: Collection[str] | None = None,
    bodies: Mapping[str, Collection[str]] = MappingProxyType({}),
) -> list[Problem]:
    """For ``relay check``: the problems of the built-in templates and of the user's own, for all
    teams.

    Each template is linted and rendered with every sample of its event. ``samples`` are variables
    as ``Templates.render`` accepts them. ``teams`` are the keys of the config, against which the
    names of folders are checked; None skips that check. ``bodies`` are the templates that channels
    name, each with the names of the events that they take.
    """
    samples = list(samples)
    builtin = templates.builtin.glob(f"*{MARKDOWN_SUFFIX}")
    known = {path.name.removesuffix(MARKDOWN_SUFFIX) for path in builtin}
    known |= {sample["event"]["name"] for sample in samples}
    problems: list[Problem] = []
    rendered: list[Problem] = []
    for folder, template_set in _folders(templates, teams, problems):
        for path in sorted(folder.iterdir()):
            is_template = path.suffix == ".j2" or path.name.partition(".")[0] in known
            if path.name in bodies:
                stem = path.name.removesuffix(longest_suffix(path.name, templates.body_suffixes))
                problems += template_set.lint(str(path), {*known, stem}, samples)
            elif path.name.endswith(templates.suffixes):
                problems += template_set.lint(str(path), known, samples)
            elif path.name.endswith(templates.body_suffixes):
                text = f"no channel has it as its body, and {_no_suffix(templates)}"
                problems.append(Problem(str(path), 0, text))
            elif is_template and path.is_file() and not path.name.startswith("_"):
                problems.append(Problem(str(path), 0, _no_suffix(templates)))
        rendered += _render_samples(template_set, templates.suffixes, samples)
        rendered += _render_bodies(template_set, bodies, samples)
    templates.close()
    # The same error shows in both ways; the static check has a hint.
    places = {(problem.file, problem.line) for problem in problems}
    problems += [problem for problem in rendered if (problem.file, problem.line) not in places]
    return list(dict.fromkeys(problems))


def notes(templates: Templates) -> list[str]:
    """For ``relay check``: what is no problem, but shows less than it could. A user's template that
    extends no other, such as a ``base.md.j2`` of an older version, may lack blocks that channels
    use."""
    found = []
    user, names = templates.user, f"*{MARKDOWN_SUFFIX}"
    for path in sorted([*user.glob(names), *user.glob(f"*/{names}")]) if user else ():
        source = path.read_text(encoding="utf-8", errors="replace")
        if path.name.startswith("_") or _OTHER_TEMPLATE_PATTERN.search(source):
            continue
        present = set(_BLOCK_PATTERN.findall(source)) | set(_SECTION_PATTERN.findall(source))
        if lacking := [name for name in _LATER_BLOCKS if name not in present]:
            text = f"has no block {', '.join(lacking)}: its messages use the title instead"
            found.append(f"{path}: {text}")
    return found


def _folders(
    templates: Templates, teams: Collection[str] | None, problems: list[Problem]
) -> Iterator[tuple[Path, TemplateSet]]:
    yield templates.builtin, templates.builtin_set
    if templates.user is None:
        return
    if not templates.user.is_dir():
        problems.append(Problem(str(templates.user), 0, "there is no such folder"))
        return
    yield templates.user, templates.for_team()
    for folder in sorted(path for path in templates.user.iterdir() if path.is_dir()):
        if folder.name == BUILTIN:
            problems.append(Problem(str(folder), 0, f'the name "{BUILTIN}" is reserved'))
        elif teams is not None and folder.name not in teams:
            text = f'no team is called "{folder.name}"{hint(folder.name, teams)}'
            problems.append(Problem(str(folder), 0, text))
        elif any(folder.glob("*.j2")):
            yield folder, templates.for_team(folder.name)


def _no_suffix(templates: Templates) -> str:
    return f"the name ends in none of: {', '.join(templates.suffixes)}"


def _render_bodies(
    templates: TemplateSet, bodies: Mapping[str, Collection[str]], samples: Iterable[Variables]
) -> Iterator[Problem]:
    """As ``_render_samples``."""
    for sample in samples:
        for name, events in bodies.items():
            if sample["event"]["name"] not in events or not templates.files.find(name):
                continue
            try:
                templates.override(name, sample)
            except Exception as error:  # noqa: BLE001 - templates run a user's code
                yield to_problem(error, name)
                if isinstance(error, RenderError) and error.exceeded_limits:
                    return


def _render_samples(
    templates: TemplateSet, suffixes: Iterable[str], samples: Iterable[Variables]
) -> Iterator[Problem]:
    """The problems that show only when templates run.

    Ends at the first one that exceeds a limit: the reason may be in a shared template, and each
    further sample would use up its limit too."""
    for sample in samples:
        for suffix in suffixes:
            name = _template_name(templates, sample["event"]["name"], suffix)
            try:
                if suffix == MARKDOWN_SUFFIX:
                    templates.sections(name, sample, digest=True)
                elif name:
                    templates.override(name, sample)
            except Exception as error:  # noqa: BLE001 - templates run a user's code
                yield to_problem(error, name)
                if isinstance(error, RenderError) and error.exceeded_limits:
                    return
