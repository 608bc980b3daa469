"""``relay check`` for templates: every problem in every template, with file and line."""

import re
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path

from relay.messages.environments import BUILTIN
from relay.messages.lint import hint
from relay.messages.rendering import Problem, RenderError, Variables, to_problem
from relay.messages.sets import (
    MARKDOWN_SUFFIX,
)
from relay.messages.templates import Templates, TemplateSet, template_name

_NO_ATTRIBUTE_PATTERN = re.compile(r" object' has no attribute ('\w+')$")  # Jinja's error text


def check(
    templates: Templates,
    samples: Iterable[Variables],
    teams: Collection[str] | None = None,
) -> list[Problem]:
    """The problems of the built-in templates and the user's own, for all teams.

    Each template is linted and rendered with every sample of its event. ``samples`` are variables
    as ``Templates.render`` takes them. ``teams`` are the keys of the config, against which the
    names of folders are checked; None skips that check.
    """
    samples = list(samples)
    builtin = templates.builtin.glob(f"*{MARKDOWN_SUFFIX}")
    known = {path.name.removesuffix(MARKDOWN_SUFFIX) for path in builtin}
    known |= {sample["event"]["name"] for sample in samples}
    problems: list[Problem] = []
    for folder, template_set in _sets(templates, teams, problems):
        for path in sorted(folder.glob("*.j2")):
            problems += _lint_file(path, template_set, known, samples)
        problems += _render_samples(template_set, samples)
    templates.close()
    unique = dict.fromkeys(problems)
    return [item for item in unique if not any(_includes(other, item) for other in problems)]


def _includes(problem: Problem, other: Problem) -> bool:
    """Whether ``problem`` reports the same error with more detail: a hint, or the variable's name
    in the template."""
    if (problem.file, problem.line) != (other.file, other.line) or problem.text == other.text:
        return False
    match = _NO_ATTRIBUTE_PATTERN.search(other.text)
    return problem.text.startswith(other.text) or (
        match is not None and f" has no {match[1]}" in problem.text
    )


def _sets(
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


def _lint_file(
    path: Path, templates: TemplateSet, known: Collection[str], samples: list[Variables]
) -> list[Problem]:
    if path.name.endswith(templates.suffixes):
        return templates.lint(str(path), known, samples)
    if path.name.startswith("_"):
        return []
    text = f"the name ends in none of: {', '.join(templates.suffixes)}"
    return [Problem(str(path), 0, text)]


def _render_samples(templates: TemplateSet, samples: list[Variables]) -> Iterator[Problem]:
    """The problems that show only when templates run.

    Ends at the first one that exceeds a limit: the reason may be in a shared template, and each
    further sample would use up its limit too."""
    for sample in samples:
        for suffix in templates.suffixes:
            name = template_name(templates, sample["event"]["name"], suffix)
            if suffix != MARKDOWN_SUFFIX and templates.files.find(name) is None:
                continue
            try:
                if suffix == MARKDOWN_SUFFIX:
                    templates.sections(name, sample, True)
                else:
                    templates.override(name, sample)
            except Exception as error:  # noqa: BLE001 - templates run a user's code
                yield to_problem(error, name)
                if isinstance(error, RenderError) and error.exceeded_limits:
                    return
