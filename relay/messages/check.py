"""``relay check`` for templates: every fault in every template, with file and line."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from jinja2 import Environment, TemplateError, meta
from jinja2 import nodes as ast

from relay.messages.environments import BUILTIN
from relay.messages.rendering import Problem, override, problem, sections
from relay.messages.templates import (
    MARKDOWN,
    OVERRIDES,
    Environments,
    Templates,
    template_name,
)

_ENDS = (MARKDOWN, *OVERRIDES.values())


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
    for folder, environments in _sets(templates, teams, problems):
        for path in sorted(folder.glob("*.j2")):
            problems += _of_file(path, environments, known, given)
        problems += _of_samples(environments, given)
    return [one for one in dict.fromkeys(problems) if not any(_says_more(p, one) for p in problems)]


def _says_more(problem: Problem, than: Problem) -> bool:
    """Whether a problem is the same with a hint."""
    same_place = (problem.file, problem.line) == (than.file, than.line)
    return same_place and problem.text != than.text and problem.text.startswith(than.text)


def _sets(
    templates: Templates, teams: Collection[str] | None, problems: list[Problem]
) -> Iterator[tuple[Path, Environments]]:
    yield templates.builtin, Environments((), templates.builtin)
    if templates.user is None:
        return
    if not templates.user.is_dir():
        problems.append(Problem(str(templates.user), 0, "there is no such folder"))
        return
    yield templates.user, templates.environments()
    for folder in sorted(path for path in templates.user.iterdir() if path.is_dir()):
        if folder.name == BUILTIN:
            problems.append(Problem(str(folder), 0, f'the name "{BUILTIN}" is taken'))
        elif teams is not None and folder.name not in teams:
            hint = _hint(folder.name, teams)
            problems.append(Problem(str(folder), 0, f'no team is called "{folder.name}"{hint}'))
        elif any(folder.glob("*.j2")):
            yield folder, templates.environments(folder.name)


def _of_file(
    path: Path,
    environments: Environments,
    known: Collection[str],
    samples: list[Mapping[str, Any]],
) -> Iterator[Problem]:
    end = next((end for end in _ENDS if path.name.endswith(end)), None)
    if end is None:
        if not path.name.startswith("_"):
            ends = ", ".join(_ENDS)
            yield Problem(str(path), 0, f"has a name of no kind of template: they end in {ends}")
        return
    stem = path.name.removesuffix(end)
    if stem not in known and not stem.startswith("_"):
        text = f'no event is called "{stem}"{_hint(stem, known)}'
        yield Problem(str(path), 0, f'{text} (a file for other templates begins with "_")')
    environment = environments.of(path.name)
    try:
        source, _, _ = environments.files.get_source(environment, path.name)
        tree = environment.parse(source, path.name, str(path))
        environment.compile(tree, path.name, str(path))  # finds unknown filters and tests
        undeclared = meta.find_undeclared_variables(tree)
    except Exception as error:  # noqa: BLE001 - whatever is wrong with a user's file
        yield problem(error, str(path))
        return
    variables = {key: value for sample in samples for key, value in sample.items()}
    if variables:
        names = {*variables, *environment.globals, *_names_given(tree, environment)}
        for line, text in _unknown_names(tree, undeclared, names, variables):
            yield Problem(str(path), line, text)


def _unknown_names(
    tree: ast.Template,
    undeclared: Collection[str],
    names: Collection[str],
    variables: Mapping[str, Any],
) -> Iterator[tuple[int, str]]:
    """Names that no event gives, also where no sample comes by."""
    for name in tree.find_all(ast.Name):
        if name.name in undeclared and name.name not in names:
            yield name.lineno, f"'{name.name}' is undefined{_hint(name.name, variables)}"
    own = {name.name for name in tree.find_all(ast.Name) if name.ctx != "load"}
    for part in tree.find_all(ast.Getattr):
        if not isinstance(part.node, ast.Name) or part.node.name in own:
            continue
        thing = variables.get(part.node.name)
        if thing is None:
            continue
        parts = thing if isinstance(thing, Mapping) else dir(thing)
        if part.attr not in parts:
            hint = _hint(part.attr, [name for name in parts if not name.startswith("_")])
            yield part.lineno, f"'{part.node.name}' has no '{part.attr}'{hint}"


def _names_given(tree: ast.Template, environment: Environment, depth: int = 5) -> set[str]:
    """What a template, and those that it extends, import or set: their blocks see it."""
    given = {name.name for name in tree.find_all(ast.Name) if name.ctx != "load"}
    given |= {macro.name for macro in tree.find_all(ast.Macro)}
    given |= {found.target for found in tree.find_all(ast.Import)}
    for found in tree.find_all(ast.FromImport):
        given |= {name if isinstance(name, str) else name[1] for name in found.names}
    for extends in tree.find_all(ast.Extends):
        if isinstance(extends.template, ast.Const) and environment.loader and depth:
            with suppress(TemplateError):  # told where that file is checked
                name = str(extends.template.value)
                source, _, _ = environment.loader.get_source(environment, name)
                given |= _names_given(environment.parse(source), environment, depth - 1)
    return given


def _of_samples(environments: Environments, samples: list[Mapping[str, Any]]) -> Iterator[Problem]:
    for sample in samples:
        for end in _ENDS:
            name = template_name(environments, sample["event"]["name"], end)
            if end != MARKDOWN and environments.files.find(name) is None:
                continue
            try:
                template = environments.of(name).get_template(name)
                (sections if end == MARKDOWN else override)(template, sample)
            except Exception as error:  # noqa: BLE001 - templates run a user's code
                yield problem(error, name)


def _hint(name: str, names: Iterable[str]) -> str:
    close = get_close_matches(name, sorted(names), 1)
    return f'; did you mean "{close[0]}"?' if close else ""
