"""``relay check`` for templates: every fault in every template, with file and line."""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from relay.messages.environments import BUILTIN
from relay.messages.faults import hint
from relay.messages.rendering import Problem, RenderError, problem
from relay.messages.sets import ENDS, MARKDOWN, Environments, TemplateSet
from relay.messages.templates import Templates, template_name

_ABSENT = re.compile(r" object' has no attribute ('\w+')$")
"""What Jinja says of what a value has not."""


def check(
    templates: Templates,
    samples: Iterable[Mapping[str, Any]],
    teams: Collection[str] | None = None,
) -> list[Problem]:
    """Every fault in the built-in templates and the user's own, for all teams.

    Each template is compiled, its names are held against what templates get, and it is rendered
    with every sample of its event. ``samples`` are variables as ``Templates.render`` takes them;
    ``teams`` the keys of the config, without which folders are not held against teams.
    """
    given = list(samples)
    known = {path.name.removesuffix(MARKDOWN) for path in templates.builtin.glob(f"*{MARKDOWN}")}
    known |= {sample["event"]["name"] for sample in given}
    problems: list[Problem] = []
    for folder, one in _sets(templates, teams, problems):
        for path in sorted(folder.glob("*.j2")):
            problems += _of_file(path, one, known, given)
        problems += _of_samples(one, given)
    templates.close()
    return [one for one in dict.fromkeys(problems) if not any(_says_more(p, one) for p in problems)]


def _says_more(problem: Problem, than: Problem) -> bool:
    """Whether a problem is the same with a hint, or with the name that stands in the template."""
    if (problem.file, problem.line) != (than.file, than.line) or problem.text == than.text:
        return False
    absent = _ABSENT.search(than.text)
    words = f" has no {absent[1]}" if absent else ""
    return problem.text.startswith(than.text) or (bool(words) and words in problem.text)


def _sets(
    templates: Templates, teams: Collection[str] | None, problems: list[Problem]
) -> Iterator[tuple[Path, TemplateSet]]:
    yield templates.builtin, Environments((), templates.builtin)
    if templates.user is None:
        return
    if not templates.user.is_dir():
        problems.append(Problem(str(templates.user), 0, "there is no such folder"))
        return
    yield templates.user, templates.of()
    for folder in sorted(path for path in templates.user.iterdir() if path.is_dir()):
        if folder.name == BUILTIN:
            problems.append(Problem(str(folder), 0, f'the name "{BUILTIN}" is taken'))
        elif teams is not None and folder.name not in teams:
            text = f'no team is called "{folder.name}"{hint(folder.name, teams)}'
            problems.append(Problem(str(folder), 0, text))
        elif any(folder.glob("*.j2")):
            yield folder, templates.of(folder.name)


def _of_file(
    path: Path,
    one: TemplateSet,
    known: Collection[str],
    samples: list[Mapping[str, Any]],
) -> list[Problem]:
    if path.name.endswith(ENDS):
        return one.faults(str(path), known, samples)
    if path.name.startswith("_"):
        return []
    ends = ", ".join(ENDS)
    return [Problem(str(path), 0, f"has a name of no kind of template: they end in {ends}")]


def _of_samples(one: TemplateSet, samples: list[Mapping[str, Any]]) -> Iterator[Problem]:
    """The faults that show when templates run. One that takes too much is told, and the others
    aren't run: it may be in what they share, and take as much for each."""
    for sample in samples:
        for end in ENDS:
            name = template_name(one, sample["event"]["name"], end)
            if end != MARKDOWN and one.files.find(name) is None:
                continue
            try:
                (one.sections if end == MARKDOWN else one.override)(name, sample)
            except Exception as error:  # noqa: BLE001 - templates run a user's code
                yield problem(error, name)
                if isinstance(error, RenderError) and error.overran:
                    return
