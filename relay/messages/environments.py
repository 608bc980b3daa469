"""Jinja environments: where templates are looked up, and how what they print is escaped.

Jinja's own escaping is made for HTML, so Markdown and JSON do without it. Two hooks take its
place: ``finalize`` escapes what ``{{ … }}`` prints, and ``concat`` (with which Jinja puts together
macros, ``{% set %}`` blocks, ``super()`` and ``self.title()``) marks the result as done, so that
it is not escaped twice. What an author wrote outside ``{{ … }}`` goes through neither. Whatever
loses its mark on the way is escaped once more: that shows, and lets nothing through.
"""

import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from html import unescape
from itertools import islice
from pathlib import Path
from typing import Any

from jinja2 import BaseLoader, Environment, StrictUndefined, TemplateNotFound, TemplateSyntaxError
from jinja2 import nodes as ast
from jinja2.compiler import CodeGenerator, Frame
from jinja2.loaders import split_template_path
from jinja2.sandbox import ImmutableSandboxedEnvironment
from markupsafe import Markup
from markupsafe import escape as escaped

from relay.messages import filters
from relay.messages.escape import Markdown, clean, escape, readable
from relay.messages.html import inlines_to_html, to_html
from relay.messages.markdown import Paragraph, parse
from relay.messages.plain import to_text

MAX_SIZE = 1_000_000  # characters of a template, and of what it prints
BUILTIN = "builtin"
"""The prefix under which a template reaches the built-in one of the same name."""

_MOST_FILES = 10_000
_FOR_HTML_ONLY = ("safe", "forceescape", "urlize", "xmlattr", "striptags")


class TemplateFiles(BaseLoader):
    """Templates from folders, the first that has the name wins; the built-in ones come last.

    An edited file is taken at once, and so is a new file that wins over one in use.
    """

    def __init__(
        self, folders: Sequence[Path], builtin: Path, typed: Mapping[str, str] | None = None
    ) -> None:
        """``typed`` are templates that stand in no file, by name; they win over all others, and
        others may take their place at any time."""
        self.typed = typed or {}
        # Plain strings: each render asks for every file anew, and pathlib would double its time.
        self.builtin = str(builtin)
        self.folders = tuple(map(str, folders))

    def get_source(
        self, environment: Environment, template: str
    ) -> tuple[str, str, Callable[[], bool]]:
        path = self.find(template)
        if path is None:
            raise TemplateNotFound(template)
        if template in self.typed:
            text = self.typed[template]
            return text, path, lambda: self.typed.get(template) == text
        state = _state(path)
        with open(path, "rb") as file:
            content = file.read(MAX_SIZE + 1)
        if len(content) > MAX_SIZE:
            raise TemplateSyntaxError("is larger than 1 MB", 1, template, path)
        try:
            source = content.decode("utf-8-sig")  # as Windows writes it
        except UnicodeDecodeError as error:
            line = content.count(b"\n", 0, error.start) + 1
            raise TemplateSyntaxError("is not UTF-8", line, template, path) from error
        return source, path, lambda: self.find(template) == path and _state(path) == state

    def find(self, template: str) -> str | None:
        """The path of a template's file, or the name of one that is typed; None where there is
        none."""
        pieces = split_template_path(template)  # refuses ".."
        folders = (*self.folders, self.builtin)
        if pieces[:1] == [BUILTIN]:
            pieces, folders = pieces[1:], (self.builtin,)
        elif template in self.typed:
            return template
        if len(pieces) != 1:  # a folder within holds what is a team's alone
            return None
        for folder in folders:
            path = f"{folder}/{pieces[0]}"
            if os.path.isfile(path):
                return path
        return None

    def state(self) -> tuple[object, ...]:
        """What changes when a user's file is edited, added or taken away."""
        files = (one for folder in self.folders for one in _files(folder))
        return tuple(sorted(islice(files, _MOST_FILES)))


def _files(folder: str) -> Iterator[tuple[str, int, int]]:
    for place, _, names in os.walk(folder):
        for name in names:
            with suppress(OSError):  # taken away meanwhile
                path = f"{place}/{name}"
                yield path, *_state(path)


def _state(path: str) -> tuple[int, int]:
    status = os.stat(path)
    return status.st_mtime_ns, status.st_size


class _CodeGenerator(CodeGenerator):
    """Takes away the tag that switches escaping off, and works nothing out as it compiles: that
    loses its mark, and its line if it fails."""

    def visit_ScopedEvalContextModifier(  # noqa: N802 - Jinja's name
        self, node: ast.ScopedEvalContextModifier, frame: Frame
    ) -> None:
        self.fail("Escaping can't be switched: there is no tag 'autoescape'.", node.lineno)

    def _output_child_to_const(
        self, node: ast.Expr, frame: Frame, finalize: CodeGenerator._FinalizeInfo
    ) -> str:
        if not isinstance(node, ast.TemplateData):
            raise ast.Impossible
        return super()._output_child_to_const(node, frame, finalize)


class _TextCodeGenerator(_CodeGenerator):
    """Compiles ``a ~ b`` so that the parts are escaped one by one, constants too."""

    def visit_Concat(self, node: ast.Concat, frame: Frame) -> None:  # noqa: N802 - Jinja's name
        self.write("environment.joined((")
        for part in node.nodes:
            self.visit(part, frame)
            self.write(", ")
        self.write("))")


class _TextEnvironment(ImmutableSandboxedEnvironment):
    """An environment for a form of text that is not HTML."""

    code_generator_class = _TextCodeGenerator

    def __init__(self, loader: BaseLoader, escape: Callable[[object], str]) -> None:
        super().__init__(
            loader=loader,
            optimized=False,  # constants worked out as they are compiled lose their mark
            finalize=escape,
            undefined=StrictUndefined,
            autoescape=False,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self.filters["e"] = self.filters["escape"] = escape
        for name in _FOR_HTML_ONLY:
            del self.filters[name]

    def wrap_str_format(self, value: Any) -> Callable[..., str] | None:
        """``str.format`` and ``format_map`` without the mark that Jinja would give their result
        again: what they put in is not escaped."""
        formatted = super().wrap_str_format(value)
        if formatted is None:
            return None
        return lambda *arguments, **named: str(formatted(*arguments, **named))

    def joined(self, parts: Iterable[object]) -> str:
        """What ``a ~ b`` gives."""
        escape = self.finalize
        return self.concat(escape(part) for part in parts)  # type: ignore[misc]


class MarkdownEnvironment(_TextEnvironment):
    """For ``*.md.j2``."""

    concat = staticmethod(lambda parts: Markdown("".join(parts)))

    def __init__(self, loader: BaseLoader) -> None:
        super().__init__(loader, escape)
        self.filters |= {
            "join": filters.join,
            "link": filters.link,
            "quote": filters.quote,
            "truncate": filters.truncate,
            "when": filters.when,
        }


class Json(str):
    """Text that is JSON already."""

    __slots__ = ()


class SlackJsonEnvironment(_TextEnvironment):
    """For ``*.slack.json.j2``: what is printed stands inside a JSON string.

    ``"text": "*{{ actor }}* commented"`` is right as it is: the value is escaped for JSON, and its
    & < > for Slack, so that no name can ping or link in ``mrkdwn`` and ``plain_text``. The
    filter ``tojson`` gives a value as it is, quotes and all, for the elements of ``rich_text``,
    which Slack takes literally.
    """

    concat = staticmethod(lambda parts: Json("".join(parts)))

    def __init__(self, loader: BaseLoader) -> None:
        super().__init__(loader, _in_json_string)
        self.filters |= {
            "tojson": lambda value: Json(json.dumps(value, default=str)),
            "truncate": _plain_text(filters.truncate),
            "when": _plain_text(filters.when),
        }


class HtmlEnvironment(ImmutableSandboxedEnvironment):
    """For ``*.matrix.html.j2`` and ``*.email.html.j2``: Jinja's own escaping for HTML."""

    code_generator_class = _CodeGenerator

    def __init__(self, loader: BaseLoader) -> None:
        super().__init__(
            loader=loader,
            optimized=False,
            finalize=_shown,
            undefined=StrictUndefined,
            autoescape=True,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        del self.filters["safe"]
        self.filters["e"] = self.filters["escape"] = lambda value: escaped(_shown(value))
        self.filters |= {
            "link": _html(filters.link),
            "quote": _html(filters.quote),
            "truncate": _plain_text(filters.truncate),
            "when": _plain_text(filters.when),
        }


def _in_json_string(value: object) -> str:
    if isinstance(value, Json):
        return value
    text = readable(value).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return Json(json.dumps(text)[1:-1])


def _shown(value: object) -> object:
    return value if hasattr(value, "__html__") else clean(value)


def _html(function: Callable[..., Markdown]) -> Callable[..., Markup]:
    def filtered(value: object, *arguments: Any, **named: Any) -> Markup:
        document = parse(function(_unescaped(value), *arguments, **named))
        if len(document) == 1 and isinstance(document[0], Paragraph):
            return Markup(inlines_to_html(document[0].inlines))  # noqa: S704 - escaped there
        return Markup(to_html(document))  # noqa: S704 - escaped there

    return filtered


def _plain_text(function: Callable[..., Markdown]) -> Callable[..., str]:
    def filtered(value: object, *arguments: Any, **named: Any) -> str:
        return to_text(parse(function(_unescaped(value), *arguments, **named)), links=False)

    return filtered


def _unescaped(value: object) -> object:
    """The text of what is HTML or JSON already, such as what a macro gave."""
    if isinstance(value, Markup):
        return value.striptags()
    if isinstance(value, Json):
        with suppress(ValueError):  # not a part of a string, but a value that ``tojson`` gave
            return unescape(json.loads(f'"{value}"'))
    return value
