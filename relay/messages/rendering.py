"""Running one template: what it gives, and where in it an error arose."""

import json
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from jinja2 import Template, TemplateNotFound, TemplateSyntaxError

from relay.messages.environments import MAX_SIZE
from relay.messages.graphemes import shorten
from relay.messages.markdown import parse
from relay.messages.plain import first_line, to_text

MAX_TITLE = 300  # characters
MAX_DEPTH = 50
"""Lists and objects within each other in a template's JSON: what Slack takes has some ten."""

# Names from Penpot can't hold such a line: every < in them is escaped.
_SECTION = re.compile(r"^<!-- (title|body|footer) -->[ \t]*$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Problem:
    """A fault in a template."""

    file: str
    line: int
    """0 where the fault is in no line of its own."""
    text: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.text}" if self.line else f"{self.file}: {self.text}"


@dataclass(frozen=True, slots=True)
class Sections:
    """What a template gave."""

    title: str
    """One line of plain text."""
    body: str
    """Markdown, as the footer is."""
    footer: str = ""


class OutputError(Exception):
    """A template ran, and what it printed is not what its channel takes."""

    def __init__(self, template: Template, text: str) -> None:
        super().__init__(text)
        self.file = template.filename or template.name or ""


class RenderError(Exception):
    """A template failed in its cell, where its problem was found."""

    def __init__(self, problem: Problem, *, overran: bool) -> None:
        """``overran``: it took more than a template may."""
        super().__init__(str(problem))
        self.problem = problem
        self.overran = overran


def sections(
    template: Template, variables: Mapping[str, Any], patience: float | None = None
) -> Sections:
    """What a template gives between its marks; without marks all of it is the body.

    Raises what the template raises, and ``OutputError`` where reading what it gives takes more than
    ``patience``, in seconds of the processor.
    """
    text, *marked = _SECTION.split(_text(template, variables))
    found = {"body": text} | dict(zip(marked[::2], marked[1::2], strict=True))
    given = {name: part.strip() for name, part in found.items()}
    body = given["body"] or given.get("title", "")
    if not body:
        raise OutputError(template, "gives no text")
    footer = given.get("footer", "")
    started = time.thread_time()
    # Kept for the channels; what they couldn't read fails here.
    title, document, _ = map(parse, (given.get("title", ""), body, footer))
    words = _one_line(to_text(title, links=False)) or _one_line(first_line(document))
    if patience is not None and time.thread_time() - started > patience:
        raise OutputError(template, "gives Markdown that takes too long to read")
    return Sections(words, body, footer)


def _one_line(text: str) -> str:
    return shorten(" ".join(text.split()), MAX_TITLE)


def override(template: Template, variables: Mapping[str, Any]) -> str:
    """What a template for one kind of channel prints. Raises what the template raises."""
    text = _text(template, variables).strip()
    if (template.name or "").endswith(".json.j2"):
        deep = OutputError(template, f"gives JSON that is nested deeper than {MAX_DEPTH}")
        try:
            value = json.loads(text)
        except RecursionError:
            raise deep from None
        except ValueError as error:
            raise OutputError(template, f"gives no valid JSON: {error}") from error
        if _is_deeper(value, MAX_DEPTH):
            raise deep
        try:
            block_kit(value)
        except ValueError as error:
            raise OutputError(template, f"gives JSON that {error}") from error
    return text


def block_kit(value: object) -> tuple[list[Any], str]:
    """The blocks and the notification's text, empty for none, of what a template for Slack gives.

    Raises ``ValueError`` with what it must be.
    """
    match {"blocks": value} if isinstance(value, list) else value:
        case {"blocks": list(blocks), **others} if not others.keys() - {"text"}:
            text = others.get("text") or ""
            if isinstance(text, str):
                return blocks, text
    raise ValueError('must be a list of blocks or {"blocks": […], "text": "…"}')


def _is_deeper(value: object, most: int) -> bool:
    if not isinstance(value, dict | list):
        return False
    within = value.values() if isinstance(value, dict) else value
    return most == 0 or any(_is_deeper(one, most - 1) for one in within)


def problem(error: BaseException, name: str) -> Problem:
    """Where in which template an error arose; ``name`` is the template that was rendered."""
    if isinstance(error, RenderError):
        return error.problem
    if isinstance(error, OutputError):
        return Problem(error.file, 0, str(error))
    if isinstance(error, TemplateSyntaxError):
        return Problem(error.filename or error.name or name, error.lineno, error.message or "")
    file, line = _place(error) or (name, 0)
    if isinstance(error, RecursionError):
        text = 'calls itself without end; to build on the built-in one, extend "builtin/…"'
    elif isinstance(error, TemplateNotFound):
        text = f'there is no template "{error}"'
    else:
        text = str(error) or type(error).__name__
    return Problem(file, line, text)


def _place(error: BaseException | None) -> tuple[str, int] | None:
    found = None
    while error is not None and found is None:
        trace = error.__traceback__
        while trace is not None:
            if trace.tb_frame.f_code.co_filename.endswith(".j2"):
                found = trace.tb_frame.f_code.co_filename, _line(trace)
            trace = trace.tb_next
        error = error.__context__  # it arose while another one was on its way out
    return found


def _line(trace: TracebackType) -> int:
    """The line in the template; Jinja has put it there already, unless that was cut short."""
    template = trace.tb_frame.f_globals.get("__jinja_template__")
    if template is None:
        return trace.tb_lineno
    return int(template.get_corresponding_lineno(trace.tb_lineno))


def _text(template: Template, variables: Mapping[str, Any]) -> str:
    pieces: list[str] = []
    size = 0
    for piece in template.generate(variables):
        size += len(piece)
        if size > MAX_SIZE:
            raise OutputError(template, "gives more than 1 MB of text")
        pieces.append(piece)
    return "".join(pieces)
