"""Static checks of one template: its file name, its syntax, its blocks, the names that it uses."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from difflib import get_close_matches
from pathlib import Path

from jinja2 import BaseLoader, Environment, TemplateError, meta
from jinja2 import nodes as ast

from relay.messages.rendering import Problem, Variables, to_problem

_MAX_EXTENDS_DEPTH = 5


def lint_template(
    path: str,
    environment: Environment,
    loader: BaseLoader,
    suffix: str,
    known: Collection[str],
    samples: Sequence[Variables],
) -> Iterator[Problem]:
    """The problems of the template file at ``path``, which is compiled but not rendered.

    ``suffix`` is that of the template's kind, ``known`` are the events' names, and ``samples`` are
    sets of template variables, which define the names that a template may use.
    """
    name = Path(path).name
    stem = name.removesuffix(suffix)
    if stem not in known and not stem.startswith("_"):
        text = f'no event is called "{stem}"{hint(stem, known)}'
        yield Problem(path, 0, f'{text} (a file for other templates begins with "_")')
    try:
        source, _, _ = loader.get_source(environment, name)
        tree = environment.parse(source, name, path)
        environment.compile(tree, name, path)  # detects unknown filters and tests
        undeclared = meta.find_undeclared_variables(tree)
    except Exception as error:  # noqa: BLE001 - a user's file may fail in any way
        yield to_problem(error, path)
        return
    for line, text in _unused_parts(tree, environment):
        yield Problem(path, line, text)
    variables = {key: value for sample in samples for key, value in sample.items()}
    if variables:
        names = {*variables, *environment.globals, *_inherited_names(tree, environment)}
        for line, text in _unknown_names(tree, undeclared, names, variables):
            yield Problem(path, line, text)


def hint(name: str, names: Iterable[str]) -> str:
    """A suggestion as the end of a sentence; empty if no name is similar."""
    close = get_close_matches(name, sorted(names), 1)
    return f'; did you mean "{close[0]}"?' if close else ""


def _unknown_names(
    tree: ast.Template,
    undeclared: Collection[str],
    names: Collection[str],
    variables: Variables,
) -> Iterator[tuple[int, str]]:
    """Also those in branches that no sample reaches."""
    for name in tree.find_all(ast.Name):
        if name.name in undeclared and name.name not in names:
            yield name.lineno, f"'{name.name}' is undefined{hint(name.name, variables)}"
    assigned = {name.name for name in tree.find_all(ast.Name) if name.ctx != "load"}
    for node in tree.find_all(ast.Getattr):
        if not isinstance(node.node, ast.Name) or node.node.name in assigned:
            continue
        value = variables.get(node.node.name)
        if value is None:
            continue
        attributes = value if isinstance(value, Mapping) else dir(value)
        if node.attr not in attributes:
            words = hint(node.attr, [name for name in attributes if not name.startswith("_")])
            yield node.lineno, f"'{node.node.name}' has no '{node.attr}'{words}"


def _unused_parts(tree: ast.Template, environment: Environment) -> Iterator[tuple[int, str]]:
    """The parts of a template with ``extends`` that Jinja ignores: blocks that the base does not
    have, and output outside of blocks."""
    extending = False
    bases = tuple(_bases(tree, environment))
    blocks = {block.name for base in bases for block in base.find_all(ast.Block)}
    called = {
        node.attr
        for template in (tree, *bases)
        for node in template.find_all(ast.Getattr)
        if isinstance(node.node, ast.Name) and node.node.name == "self"
    }
    for node in tree.body:
        extending |= isinstance(node, ast.Extends)
        if not extending or not blocks:
            continue
        if isinstance(node, ast.Block) and node.name not in blocks | called:
            names = ", ".join(sorted(blocks))
            text = f'block "{node.name}" is not shown{hint(node.name, blocks)}'
            yield node.lineno, f"{text} (the extended template has the blocks {names})"
        elif isinstance(node, ast.Output):
            for part in node.nodes:
                data = part.data if isinstance(part, ast.TemplateData) else "{{ … }}"
                if data.strip():
                    indent = data[: len(data) - len(data.lstrip())]
                    yield part.lineno + indent.count("\n"), "text outside of blocks is not shown"
                    break


def _inherited_names(tree: ast.Template, environment: Environment) -> set[str]:
    """The names that a template and its bases import or set, which the blocks can use."""
    return {name for node in (tree, *_bases(tree, environment)) for name in _defined_names(node)}


def _defined_names(tree: ast.Template) -> set[str]:
    names = {name.name for name in tree.find_all(ast.Name) if name.ctx != "load"}
    names |= {macro.name for macro in tree.find_all(ast.Macro)}
    names |= {node.target for node in tree.find_all(ast.Import)}
    for node in tree.find_all(ast.FromImport):
        names |= {name if isinstance(name, str) else name[1] for name in node.names}
    return names


def _bases(
    tree: ast.Template, environment: Environment, depth: int = _MAX_EXTENDS_DEPTH
) -> Iterator[ast.Template]:
    """The templates that ``tree`` extends, directly and indirectly, in that order."""
    for extends in tree.find_all(ast.Extends):
        if isinstance(extends.template, ast.Const) and environment.loader and depth:
            with suppress(TemplateError):  # reported by the check of that file
                name = str(extends.template.value)
                source, _, _ = environment.loader.get_source(environment, name)
                base = environment.parse(source)
                yield base
                yield from _bases(base, environment, depth - 1)
