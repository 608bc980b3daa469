"""Problems of templates: their file and line, and the static checks that find them."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from difflib import get_close_matches
from itertools import dropwhile
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, TypeAlias

from jinja2 import Environment, TemplateError, TemplateNotFound, TemplateSyntaxError, meta
from jinja2 import nodes as ast

from relay.errors import RelayError

Variables: TypeAlias = Mapping[str, Any]
"""What a template can use, by name."""

_MAX_EXTENDS_DEPTH = 5


class Problem(NamedTuple):
    """An error in a template."""

    file: str
    line: int  # 0 if no single line is at fault
    text: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.text}" if self.line else f"{self.file}: {self.text}"


class OutputError(RelayError):
    """A template ran, but its output is not what its channel accepts."""


class RenderError(RelayError):
    """A template failed in the sandbox, which located the problem."""

    def __init__(self, problem: Problem, *, exceeded_limits: bool) -> None:
        super().__init__(str(problem))
        self.problem = problem
        self.exceeded_limits = exceeded_limits


def to_problem(error: BaseException, name: str) -> Problem:
    """The problem with its file and line; ``name`` is the template that was rendered."""
    if isinstance(error, RenderError):
        return error.problem
    if isinstance(error, TemplateSyntaxError):
        return Problem(error.filename or error.name or name, error.lineno, error.message or "")
    file, line = _location(error) or (name, 0)
    if isinstance(error, RecursionError):
        text = 'calls itself without end; to build on the built-in one, extend "builtin/…"'
    elif isinstance(error, TemplateNotFound):
        text = f'there is no template "{error}"'
    else:
        text = str(error) or type(error).__name__
    return Problem(file, line, text)


def _location(error: BaseException | None) -> tuple[str, int] | None:
    """File and line of the innermost template frame."""
    location = None
    while error is not None and location is None:
        trace = error.__traceback__
        while trace is not None:
            if trace.tb_frame.f_code.co_filename.endswith(".j2"):
                location = trace.tb_frame.f_code.co_filename, _line(trace)
            trace = trace.tb_next
        error = error.__context__  # raised while another error was handled
    return location


def _line(trace: TracebackType) -> int:
    """The line in the template: Jinja rewrites the traceback of a syntax error."""
    template = trace.tb_frame.f_globals.get("__jinja_template__")
    return int(template.get_corresponding_lineno(trace.tb_lineno)) if template else trace.tb_lineno


def lint_template(
    path: str,
    environment: Environment,
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
        tree = _parse(environment, name)
        environment.compile(tree, name, path)  # detects unknown filters and tests
        undeclared = meta.find_undeclared_variables(tree)
    except Exception as error:  # noqa: BLE001 - a user's file may fail in any way
        yield to_problem(error, path)
        return
    bases = tuple(_bases(tree, environment))
    for line, text in _unused_parts(tree, bases):
        yield Problem(path, line, text)
    variables = {key: value for sample in samples for key, value in sample.items()}
    if variables:
        # The blocks can also use what the template and its bases import or set.
        names = {*variables, *environment.globals}.union(*map(_defined_names, (tree, *bases)))
        for line, text in _unknown_names(tree, undeclared - names, variables):
            yield Problem(path, line, text)


def hint(name: str, names: Iterable[str]) -> str:
    """A suggestion as the end of a sentence; empty if no name is similar."""
    close = get_close_matches(name, sorted(names), 1)
    return f'; did you mean "{close[0]}"?' if close else ""


def _parse(environment: Environment, name: str) -> ast.Template:
    source, path, _ = environment.loader.get_source(environment, name)  # type: ignore[union-attr]
    return environment.parse(source, name, path)


def _unknown_names(
    tree: ast.Template, unknown: Collection[str], variables: Variables
) -> Iterator[tuple[int, str]]:
    """Also those in branches that no sample reaches."""
    names = list(tree.find_all(ast.Name))
    for name in names:
        if name.name in unknown:
            yield name.lineno, f"'{name.name}' is undefined{hint(name.name, variables)}"
    assigned = {name.name for name in names if name.ctx != "load"}
    for node in tree.find_all(ast.Getattr):
        if not isinstance(node.node, ast.Name) or node.node.name in assigned:
            continue
        value = variables.get(node.node.name)
        attributes = value if isinstance(value, Mapping) else dir(value)
        if value is not None and node.attr not in attributes:
            words = hint(node.attr, [name for name in attributes if not name.startswith("_")])
            yield node.lineno, f"'{node.node.name}' has no '{node.attr}'{words}"


def _unused_parts(tree: ast.Template, bases: Sequence[ast.Template]) -> Iterator[tuple[int, str]]:
    """The parts of a template with ``extends`` that Jinja ignores: blocks that the base does not
    have, and output outside of blocks."""
    blocks = {block.name for base in bases for block in base.find_all(ast.Block)}
    if not blocks:
        return
    called = {
        node.attr
        for template in (tree, *bases)
        for node in template.find_all(ast.Getattr)
        if isinstance(node.node, ast.Name) and node.node.name == "self"
    }
    for node in dropwhile(lambda node: not isinstance(node, ast.Extends), tree.body):
        if isinstance(node, ast.Block) and node.name not in blocks | called:
            text = f'block "{node.name}" is not shown{hint(node.name, blocks)}'
            names = ", ".join(sorted(blocks))
            yield node.lineno, f"{text} (the extended template has the blocks {names})"
        elif isinstance(node, ast.Output):
            for part in node.nodes:
                data = part.data if isinstance(part, ast.TemplateData) else "{{ … }}"
                if data.strip():
                    indent = data[: len(data) - len(data.lstrip())]
                    yield part.lineno + indent.count("\n"), "text outside of blocks is not shown"
                    break


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
        if isinstance(extends.template, ast.Const) and depth:
            with suppress(TemplateError):  # reported by the check of that file
                base = _parse(environment, str(extends.template.value))
                yield base
                yield from _bases(base, environment, depth - 1)
