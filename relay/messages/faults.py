"""The faults of one template that show without running it: its name, its form, its words."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from jinja2 import BaseLoader, Environment, TemplateError, meta
from jinja2 import nodes as ast

from relay.messages.rendering import Problem, problem


def faults(
    path: str,
    environment: Environment,
    loader: BaseLoader,
    end: str,
    known: Collection[str],
    samples: Sequence[Mapping[str, Any]],
) -> Iterator[Problem]:
    """What is wrong with the template file at ``path``, which is compiled for it.

    ``end`` is the end of its name that tells its kind, ``known`` are the events' names, and
    ``samples`` the variables that templates get, against which its names are held.
    """
    name = Path(path).name
    stem = name.removesuffix(end)
    if stem not in known and not stem.startswith("_"):
        text = f'no event is called "{stem}"{hint(stem, known)}'
        yield Problem(path, 0, f'{text} (a file for other templates begins with "_")')
    try:
        source, _, _ = loader.get_source(environment, name)
        tree = environment.parse(source, name, path)
        environment.compile(tree, name, path)  # finds unknown filters and tests
        undeclared = meta.find_undeclared_variables(tree)
    except Exception as error:  # noqa: BLE001 - whatever is wrong with a user's file
        yield problem(error, path)
        return
    for line, text in _not_shown(tree, environment):
        yield Problem(path, line, text)
    variables = {key: value for sample in samples for key, value in sample.items()}
    if variables:
        names = {*variables, *environment.globals, *_names_given(tree, environment)}
        for line, text in _unknown_names(tree, undeclared, names, variables):
            yield Problem(path, line, text)


def hint(name: str, names: Iterable[str]) -> str:
    """The one of ``names`` that was probably meant, as the end of a sentence."""
    close = get_close_matches(name, sorted(names), 1)
    return f'; did you mean "{close[0]}"?' if close else ""


def _unknown_names(
    tree: ast.Template,
    undeclared: Collection[str],
    names: Collection[str],
    variables: Mapping[str, Any],
) -> Iterator[tuple[int, str]]:
    """Names that no event gives, also where no sample comes by."""
    for name in tree.find_all(ast.Name):
        if name.name in undeclared and name.name not in names:
            yield name.lineno, f"'{name.name}' is undefined{hint(name.name, variables)}"
    own = {name.name for name in tree.find_all(ast.Name) if name.ctx != "load"}
    for part in tree.find_all(ast.Getattr):
        if not isinstance(part.node, ast.Name) or part.node.name in own:
            continue
        thing = variables.get(part.node.name)
        if thing is None:
            continue
        parts = thing if isinstance(thing, Mapping) else dir(thing)
        if part.attr not in parts:
            words = hint(part.attr, [name for name in parts if not name.startswith("_")])
            yield part.lineno, f"'{part.node.name}' has no '{part.attr}'{words}"


def _not_shown(tree: ast.Template, environment: Environment) -> Iterator[tuple[int, str]]:
    """What a template that extends another says in vain: blocks that the other has not, and what
    stands in none."""
    extending = False
    bases = tuple(_extended(tree, environment))
    blocks = {block.name for base in bases for block in base.find_all(ast.Block)}
    called = {
        part.attr
        for one in (tree, *bases)
        for part in one.find_all(ast.Getattr)
        if isinstance(part.node, ast.Name) and part.node.name == "self"
    }
    for node in tree.body:
        extending |= isinstance(node, ast.Extends)
        if not extending or not blocks:
            continue
        if isinstance(node, ast.Block) and node.name not in blocks | called:
            names = ", ".join(sorted(blocks))
            text = f'block "{node.name}" is not shown{hint(node.name, blocks)}'
            yield node.lineno, f"{text} (what it extends has the blocks {names})"
        elif isinstance(node, ast.Output):
            for part in node.nodes:
                data = part.data if isinstance(part, ast.TemplateData) else "{{ … }}"
                if data.strip():
                    before = data[: len(data) - len(data.lstrip())]
                    line = part.lineno + before.count("\n")
                    yield line, "what stands outside of the blocks is not shown"
                    break


def _names_given(tree: ast.Template, environment: Environment) -> set[str]:
    """What a template, and those that it extends, import or set: their blocks see it."""
    return {name for one in (tree, *_extended(tree, environment)) for name in _own_names(one)}


def _own_names(tree: ast.Template) -> set[str]:
    given = {name.name for name in tree.find_all(ast.Name) if name.ctx != "load"}
    given |= {macro.name for macro in tree.find_all(ast.Macro)}
    given |= {found.target for found in tree.find_all(ast.Import)}
    for found in tree.find_all(ast.FromImport):
        given |= {name if isinstance(name, str) else name[1] for name in found.names}
    return given


def _extended(
    tree: ast.Template, environment: Environment, depth: int = 5
) -> Iterator[ast.Template]:
    """The templates that one extends, the nearest first."""
    for extends in tree.find_all(ast.Extends):
        if isinstance(extends.template, ast.Const) and environment.loader and depth:
            with suppress(TemplateError):  # told where that file is checked
                name = str(extends.template.value)
                source, _, _ = environment.loader.get_source(environment, name)
                base = environment.parse(source)
                yield base
                yield from _extended(base, environment, depth - 1)
