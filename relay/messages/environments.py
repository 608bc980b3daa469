"""Jinja environments: template lookup, and escaping of the values that templates print.

Jinja's autoescaping produces HTML, so the Markdown and JSON environments replace it with two hooks:
``finalize`` escapes the value of ``{{ … }}``, and ``concat`` (with which Jinja assembles macros,
``{% set %}`` blocks, ``super()`` and ``self.title()``) returns a marked ``str`` subclass, so that
the result is not escaped twice. The template's own text passes through neither. Text that loses its
mark is escaped again: that is visible, but safe.
"""

import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from html import unescape
from itertools import islice
from pathlib import Path
from typing import Any

from jinja2 import (
    BaseLoader,
    Environment,
    StrictUndefined,
    TemplateError,
    TemplateNotFound,
    TemplateSyntaxError,
)
from jinja2 import nodes as ast
from jinja2.compiler import CodeGenerator, Frame
from jinja2.runtime import Context, Macro, TemplateReference
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import missing
from markupsafe import Markup
from markupsafe import escape as html_escape

from relay.messages import filters
from relay.messages.document import Document, Paragraph, parse, to_text, with_dates
from relay.messages.escape import Markdown, clean, escape, readable
from relay.messages.html import inlines_to_html, to_html
from relay.messages.lint import hint
from relay.messages.locale import DEFAULT_LOCALE
from relay.messages.shorten import shorten
from relay.messages.translation import Translation

MAX_TEMPLATE_SIZE = 1_000_000  # bytes of a template file, characters of its output
BUILTIN = "builtin"
"""The folder name by which a template refers to the built-in one of the same name."""
MARKDOWN_SUFFIX = ".md.j2"
TEMPLATE_SUFFIXES = (MARKDOWN_SUFFIX, ".html.j2", ".json.j2")
"""Of the names that can be loaded: the folder may hold other files, such as a ``.env``."""

OPTION_DEFAULTS = {
    "direct": False,
    "emoji": "",
    "several_teams": False,
    "as_sender": False,
    "language": DEFAULT_LOCALE.language,
    "timezone": DEFAULT_LOCALE.timezone,
}
"""Of the variables about a channel, which ``relay.reference`` describes."""

_MAX_FILES = 10_000
_MAX_NAME_LENGTH = 300  # characters, with the folder
_HTML_FILTERS = ("forceescape", "urlize", "xmlattr", "striptags")


class TemplateFiles(BaseLoader):
    """Loads templates from folders in order of precedence, then from the built-in folder.

    Changed files, and new files that take precedence, are used at once.
    """

    def __init__(
        self,
        folders: Sequence[Path | str],
        builtin: Path | str,
        drafts: Mapping[str, str] | None = None,
    ) -> None:
        """``drafts`` are unsaved templates by file name, which win over all files; they may be
        replaced at any time."""
        self.drafts = drafts or {}
        # Plain strings: each rendering looks up every file, and pathlib would double its time.
        self.builtin = str(builtin)
        self.folders = tuple(map(str, folders))

    def get_source(
        self, environment: Environment, template: str
    ) -> tuple[str, str, Callable[[], bool]]:
        if template in self.drafts:
            text = self.drafts[template]
            return text, template, lambda: self.drafts.get(template) == text
        return self.read(template)

    def read(self, template: str) -> tuple[str, str, Callable[[], bool]]:
        """Of a template that is no draft: source, path, and whether both are still current."""
        path = self.find(template) if len(template) <= _MAX_NAME_LENGTH else None
        if path is None:
            raise TemplateNotFound(shorten(template, _MAX_NAME_LENGTH))
        if not template.endswith(TEMPLATE_SUFFIXES):
            suffixes = ", ".join(TEMPLATE_SUFFIXES)
            raise TemplateError(
                f'"{template}" is no template: its name ends in none of: {suffixes}'
            )
        state = _state(path)
        with open(path, "rb") as file:
            content = file.read(MAX_TEMPLATE_SIZE + 1)
        if len(content) > MAX_TEMPLATE_SIZE:
            raise TemplateSyntaxError("is larger than 1 MB", 1, template, path)
        try:
            source = content.decode("utf-8-sig")  # Windows editors write a byte order mark
        except UnicodeDecodeError as error:
            line = content.count(b"\n", 0, error.start) + 1
            raise TemplateSyntaxError("is not UTF-8", line, template, path) from error
        return source, path, lambda: self.find(template) == path and _state(path) == state

    def find(self, template: str) -> str | None:
        """The path of a template's file, the name itself for a draft, or None."""
        if template in self.drafts:
            return template
        folder, _, name = template.rpartition("/")
        if folder not in ("", BUILTIN):  # a subfolder belongs to one team
            return None
        folders = (self.builtin,) if folder else (*self.folders, self.builtin)
        paths = (f"{folder}/{name}" for folder in folders)
        return next(filter(os.path.isfile, paths), None)

    def state(self) -> int:
        """A value that differs after a user's template was edited, added or removed."""
        states: set[tuple[str, int, int]] = set()
        for folder in self.folders:
            with suppress(OSError), os.scandir(folder) as entries:
                for entry in islice(entries, _MAX_FILES):
                    if entry.name.endswith(TEMPLATE_SUFFIXES):
                        with suppress(OSError):  # removed meanwhile
                            states.add((entry.path, *_state(entry.path)))
        return hash(frozenset(states))


def _state(path: str) -> tuple[int, int]:
    """Modification time in nanoseconds, and size in bytes."""
    status = os.stat(path)
    return status.st_mtime_ns, status.st_size


class _CodeGenerator(CodeGenerator):
    """Removes the tag ``autoescape``, and disables constant folding: a folded value loses its mark,
    and its line number if the expression fails."""

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
    """Compiles ``a ~ b`` so that each part is escaped, also constants."""

    def visit_Concat(self, node: ast.Concat, frame: Frame) -> None:  # noqa: N802 - Jinja's name
        self.write("environment.concat_escaped((")
        for part in node.nodes:
            self.visit(part, frame)
            self.write(", ")
        self.write("))")


class _Undefined(StrictUndefined):
    """Its error names a value in a template as the guide does, not by its Python class."""

    @property
    def _undefined_message(self) -> str:
        value, name = self._undefined_obj, self._undefined_name
        if self._undefined_hint or value is missing:
            return super()._undefined_message
        names = value if isinstance(value, Mapping) else dir(value)
        public = [each for each in names if isinstance(each, str) and each[:1] != "_"]
        return f"a {_kind(value)} has no '{name}'{hint(str(name), public)}"


def _kind(value: object) -> str:
    kinds = {str: "text", tuple: "list", Mapping: "mapping", TemplateReference: "template"}
    return next(
        (name for kind, name in kinds.items() if isinstance(value, kind)),
        "missing value" if value is None else type(value).__name__.lower(),
    )


class _SandboxedEnvironment(ImmutableSandboxedEnvironment):
    code_generator_class = _CodeGenerator

    def __init__(
        self, loader: BaseLoader, escape: Callable[[object], str], *, autoescape: bool = False
    ) -> None:
        super().__init__(
            loader=loader,
            optimized=False,  # no constant folding, as in the code generator
            finalize=escape,
            undefined=_Undefined,
            autoescape=autoescape,
            trim_blocks=True,
            lstrip_blocks=True,
            extensions=(Translation,),
        )
        self.filters |= {
            "e": escape,
            "escape": escape,
            "truncate": _via(_text, filters.truncate),
            "when": _via(_text, filters.when),
        }
        self.globals |= OPTION_DEFAULTS
        for name in ("safe",) if autoescape else ("safe", *_HTML_FILTERS):
            del self.filters[name]

    def call(self, context: Context, function: Any, /, *arguments: Any, **keywords: Any) -> Any:
        if type(function) is Macro:  # most calls: always safe, and without use for the variables
            keywords.pop("_block_vars", None)
            keywords.pop("_loop_vars", None)
            return function(context.eval_ctx, *arguments, **keywords)
        return super().call(context, function, *arguments, **keywords)


class _TextEnvironment(_SandboxedEnvironment):
    code_generator_class = _TextCodeGenerator

    def marked(self, parts: Iterable[str]) -> str:
        """Text that is not escaped again."""
        return self.concat(parts)

    def wrap_str_format(self, value: Any) -> Callable[..., str] | None:
        """Removes the mark that Jinja would give the result of ``str.format`` and ``format_map``:
        they do not escape their arguments."""
        format_method = super().wrap_str_format(value)
        if format_method is None:
            return None
        return lambda *arguments, **keywords: str(format_method(*arguments, **keywords))

    def concat_escaped(self, parts: Iterable[object]) -> str:
        """The value of ``a ~ b``."""
        escape = self.finalize
        return self.concat(escape(part) for part in parts)  # type: ignore[misc]


class MarkdownEnvironment(_TextEnvironment):
    """For ``*.md.j2``."""

    concat = staticmethod(lambda parts: Markdown("".join(parts)))

    def __init__(self, loader: BaseLoader) -> None:
        super().__init__(loader, escape)
        self.filters |= filters.FILTERS
        self.tests["line"] = filters.is_line  # {% if entry is line %}


class Json(str):
    """Marks text that is already JSON."""

    __slots__ = ()


class JsonEnvironment(_TextEnvironment):
    """For ``*.json.j2``: a printed value is part of a JSON string.

    In ``"text": "*{{ actor }}* commented"`` the value is escaped for the channel, and then for
    JSON. The filter ``tojson`` prints a whole JSON value, including quotes, which is not escaped
    for the channel.
    """

    concat = staticmethod(lambda parts: Json("".join(parts)))

    def __init__(self, loader: BaseLoader, escapes: Mapping[str, str]) -> None:
        """``escapes``: see ``OverrideFormat``."""
        table = str.maketrans(dict(escapes))

        def in_json_string(value: object) -> str:
            if isinstance(value, Json):
                return value
            return Json(json.dumps(readable(value).translate(table))[1:-1])

        super().__init__(loader, in_json_string)
        self.filters["tojson"] = lambda value: Json(json.dumps(value, default=str))


class HtmlEnvironment(_SandboxedEnvironment):
    """For ``*.html.j2``: with Jinja's autoescaping."""

    marked = staticmethod(lambda parts: Markup("".join(parts)))  # noqa: S704 - escaped parts

    def __init__(self, loader: BaseLoader) -> None:
        super().__init__(loader, _escape_html, autoescape=True)
        self.filters |= {
            "link": _via(_markup, filters.link),
            "quote": _via(_markup, filters.quote),
        }


@dataclass(frozen=True, slots=True)
class OverrideFormat:
    """The templates for one kind of channel, which replace the Markdown of its messages. They are
    HTML, or JSON if the suffix says so."""

    suffix: str  # of their file names, such as ``.name.html.j2``
    escapes: Mapping[str, str] = field(default_factory=dict)
    """The characters with a meaning to the channel in a JSON string, and how each is escaped."""
    validate: Callable[[Any], object] | None = None
    """Gets the decoded JSON or the HTML, and raises ``ValueError`` if the channel would not accept
    it. Runs outside of the sandbox, which knows no channel."""
    by_event: bool = True
    """Whether an event's name and the suffix name its template. Otherwise a channel names one,
    for all events."""

    @property
    def is_json(self) -> bool:
        return self.suffix.endswith(".json.j2")

    def environment(self, loader: BaseLoader) -> Environment:
        return JsonEnvironment(loader, self.escapes) if self.is_json else HtmlEnvironment(loader)


def _escape_html(value: object) -> Markup:
    return html_escape(value if hasattr(value, "__html__") else clean(value))


def _via(
    convert: Callable[[Document], str], function: Callable[..., Markdown]
) -> Callable[..., str]:
    """A filter for another form than Markdown."""

    def converted(value: object, *arguments: Any, **keywords: Any) -> str:
        return convert(parse(function(_unescaped(value), *arguments, **keywords)))

    return converted


def _text(document: Document) -> str:
    return to_text(with_dates(document), links=False)


def _markup(document: Document) -> Markup:
    if len(document) == 1 and isinstance(document[0], Paragraph):
        return Markup(inlines_to_html(document[0].inlines))  # noqa: S704 - escaped there
    return Markup(to_html(document))  # noqa: S704 - escaped there


def _unescaped(value: object) -> object:
    """The plain text of a value that is already HTML or JSON, such as a macro's result."""
    if isinstance(value, Markup):
        return value.striptags()
    if isinstance(value, Json):
        with suppress(ValueError):  # a whole value from ``tojson``, not a part of a string
            return unescape(json.loads(f'"{value}"'))
    return value
