"""Rendering one template, and locating errors in it."""

import json
import re
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, is_dataclass, replace
from types import TracebackType
from typing import Any, TypeAlias

from jinja2 import Template, TemplateNotFound, TemplateSyntaxError
from jinja2.runtime import Context

from relay.errors import RelayError
from relay.messages.document import first_line, parse, shorten, to_text
from relay.messages.environments import MAX_TEMPLATE_SIZE, OverrideFormat

Variables: TypeAlias = Mapping[str, Any]
"""What a template can use, by name."""

MAX_TITLE_LENGTH = 300  # characters
MAX_JSON_DEPTH = 50  # lists and objects; what a chat accepts has about ten

# A name from Penpot can't contain such a line: every < in it is escaped.
_SECTION_PATTERN = re.compile(r"^<!-- (title|body|footer) -->[ \t]*$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Problem:
    """An error in a template."""

    file: str
    line: int
    """0 if no single line is at fault."""
    text: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.text}" if self.line else f"{self.file}: {self.text}"


@dataclass(frozen=True, slots=True)
class Sections:
    """The parts of a template's output."""

    title: str
    """One line of plain text."""
    body: str
    """Markdown, as the footer is."""
    footer: str = ""
    digest: tuple[str, ...] = ()
    """The forms of the digest entry, Markdown; see ``digest_forms``."""


class OutputError(RelayError):
    """A template ran, but its output is not what its channel accepts."""

    def __init__(self, template: Template, text: str) -> None:
        super().__init__(text)
        self.file = template.filename or template.name or ""


class RenderError(RelayError):
    """A template failed in the sandbox, which located the problem."""

    def __init__(self, problem: Problem, *, exceeded_limits: bool) -> None:
        super().__init__(str(problem))
        self.problem = problem
        self.exceeded_limits = exceeded_limits


def digest_forms(variables: Variables) -> Iterator[Variables]:
    """What changes in a digest, for each form of an entry: the first form, one that follows an
    entry of the same person, and, for comments, both in the same thread as the entry before."""
    actor, thread = variables.get("actor"), variables.get("thread")
    for begun in (False, True) if getattr(thread, "id", "") else (False,):
        for repeated in (False, True):
            yield {
                "digest": True,
                "actor": _replaced(actor, repeated=repeated),
                "thread": _replaced(thread, begun=begun),
            }


def _replaced(record: Any, **values: bool) -> Any:
    return (
        replace(record, **values)
        if is_dataclass(record) and not isinstance(record, type)
        else record
    )


def sections(
    template: Template,
    variables: Variables,
    max_parse_seconds: float | None = None,
    *,
    digest: bool = False,
) -> Sections:
    """Render a template for all channels; output without section marks is all body.

    Raises the template's own errors, and ``OutputError`` for empty output and for Markdown that
    takes more than ``max_parse_seconds`` of processor time to parse.
    """
    context = template.new_context(dict(variables))
    text = _joined(template, template.root_render_func(context))
    unmarked, *marked = _SECTION_PATTERN.split(text)
    parts = {"body": unmarked} | dict(zip(marked[::2], marked[1::2], strict=True))
    title, body, footer = (parts.get(name, "").strip() for name in ("title", "body", "footer"))
    body = body or title
    if not body:
        raise OutputError(template, "gives no text")
    forms: tuple[str, ...] = ()
    if digest and "digest" in context.blocks:
        forms = tuple(_digest_form(template, context, form) for form in digest_forms(variables))
        if not all(forms):
            raise OutputError(template, "gives no text for a digest")
    started = time.thread_time() if max_parse_seconds is not None else 0.0
    # Fills the cache for the channels, and fails here if a channel could not parse a part.
    title_document, document, _ = map(parse, (title, body, footer))
    title = _one_line(to_text(title_document, links=False)) or _one_line(first_line(document))
    if max_parse_seconds is not None:
        for form in forms[:1]:
            parse(form)
        if time.thread_time() - started > max_parse_seconds:
            raise OutputError(template, "gives Markdown that takes too long to read")
    return Sections(title, body, footer, forms)


def _digest_form(template: Template, context: Context, form: Variables) -> str:
    # Blocks run in the context of the whole template, which the imports are made in only once.
    derived = context.derived(dict(form))
    return _joined(template, context.blocks["digest"][0](derived)).strip()


def _one_line(text: str) -> str:
    return shorten(" ".join(text.split()), MAX_TITLE_LENGTH)


def override(template: Template, variables: Variables, form: OverrideFormat | None) -> str:
    """Render a template for one kind of channel. Raises the template's own errors, and
    ``OutputError`` for output that its channel does not accept."""
    context = template.new_context(dict(variables))
    text = _joined(template, template.root_render_func(context)).strip()
    value = _decoded(template, text) if form and form.is_json else text
    if form and form.validate:
        try:
            form.validate(value)
        except ValueError as error:
            what = "JSON" if form.is_json else "HTML"
            raise OutputError(template, f"gives {what} that {error}") from error
    return text


def _decoded(template: Template, text: str) -> object:
    try:
        value = json.loads(text)
        too_deep = _is_deeper(value, MAX_JSON_DEPTH)
    except RecursionError:
        value, too_deep = None, True
    except ValueError as error:
        raise OutputError(template, f"gives no valid JSON: {error}") from error
    if too_deep:
        raise OutputError(template, f"gives JSON that is nested deeper than {MAX_JSON_DEPTH}")
    return value


def _is_deeper(value: object, depth: int) -> bool:
    if not isinstance(value, dict | list):
        return False
    items = value.values() if isinstance(value, dict) else value
    return depth == 0 or any(_is_deeper(item, depth - 1) for item in items)


def to_problem(error: BaseException, name: str) -> Problem:
    """The problem with its file and line; ``name`` is the template that was rendered."""
    if isinstance(error, RenderError):
        return error.problem
    if isinstance(error, OutputError):
        return Problem(error.file, 0, str(error))
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
    """The line in the template: Jinja rewrites tracebacks, unless a timeout interrupted it."""
    template = trace.tb_frame.f_globals.get("__jinja_template__")
    if template is None:
        return trace.tb_lineno
    return int(template.get_corresponding_lineno(trace.tb_lineno))


def _joined(template: Template, output: Iterable[str]) -> str:
    chunks: list[str] = []
    size = 0
    try:
        for chunk in output:
            size += len(chunk)
            if size > MAX_TEMPLATE_SIZE:
                break
            chunks.append(chunk)
    except Exception:  # noqa: BLE001 - raised again, with the lines of the template
        template.environment.handle_exception()
    if size > MAX_TEMPLATE_SIZE:
        raise OutputError(template, "gives more than 1 MB of text")
    return "".join(chunks)
