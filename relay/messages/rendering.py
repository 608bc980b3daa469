"""Rendering of a set of templates, in the caller's process."""

import json
import re
import time
from collections.abc import Collection, Iterable, Sequence
from typing import NamedTuple

from jinja2 import Environment, Template

from relay.messages.document import (
    Document,
    first_line,
    parse,
    size,
    to_text,
    with_dates,
)
from relay.messages.environments import (
    MARKDOWN_SUFFIX,
    MAX_TEMPLATE_SIZE,
    MarkdownEnvironment,
    OverrideFormat,
    TemplateFiles,
)
from relay.messages.lint import OutputError, Problem, Variables, lint_template
from relay.messages.shorten import shorten

MAX_TITLE_LENGTH = 400  # characters, of notice and subject as well
MAX_JSON_DEPTH = 50  # lists and objects; what a chat accepts has about ten
MAX_JSON_VALUES = 5000
MAX_OVERRIDE_LENGTH = 200_000  # characters; mail programs show about half of it

# Of all parts of a user template's output, and of its entry in a digest. Penpot's longest comment
# needs half of the characters.
MAX_MARKDOWN_LENGTH = 50_000  # characters
MAX_PARTS = 2000  # blocks and inlines
MAX_DEPTH = 20  # of nested quotes and lists
MAX_CHARACTERS = 100_000  # of text and addresses: one definition may give many links its address

# A name from Penpot can't contain such a line: every < in it is escaped.
_SECTION_PATTERN = re.compile(r"^<!-- (title|notice|subject|body|footer) -->[ \t]*$", re.MULTILINE)


class Sections(NamedTuple):
    """The parts of a template's output."""

    title: str  # one line of plain text, as notice and subject are
    body: str  # Markdown, as footer and digest are
    footer: str = ""
    notice: str = ""
    subject: str = ""
    digest: str = ""


class InProcessTemplates:
    """For trusted templates, and inside the sandbox.

    ``sections`` and ``override`` raise any error of the template, and ``OutputError``.
    """

    def __init__(
        self,
        files: TemplateFiles,
        formats: Collection[OverrideFormat] = (),
        max_parse_seconds: float | None = None,
    ) -> None:
        """``max_parse_seconds``: processor time for parsing one output's Markdown."""
        self.files = files
        self.formats = {form.suffix: form for form in formats}
        self._max_parse_seconds = max_parse_seconds
        self._environments: dict[str, Environment] = {
            MARKDOWN_SUFFIX: MarkdownEnvironment(files)
        } | {form.suffix: form.environment(files) for form in formats}

    def _suffix(self, name: str) -> str:
        return longest_suffix(name, self._environments)

    def _template(self, name: str) -> Template:
        return self._environments[self._suffix(name)].get_template(name)

    def sections(
        self,
        name: str,
        variables: Variables,
        digest: bool = False,
        content_only: bool = False,
    ) -> Sections:
        """Render a template for all channels; output without section marks is all body. With
        ``digest`` also the entry in a digest. ``content_only``: no other part than body and footer
        is needed."""
        template = self._template(name)
        context = template.new_context(dict(variables))
        unmarked, *marked = _SECTION_PATTERN.split(_output(template.root_render_func(context)))
        parts = {"body": unmarked} | dict(zip(marked[::2], marked[1::2], strict=True))
        title, body, footer = (parts.get(part, "").strip() for part in ("title", "body", "footer"))
        lines = (title, *(parts.get(part, "").strip() for part in ("notice", "subject")))
        body = body or title
        if not body:
            raise OutputError("gives no text")
        entry = title or body if digest else ""  # where an older base has no such block
        if digest and "digest" in context.blocks:
            # Blocks run in the context of the whole template, which imports only once.
            entry = _output(context.blocks["digest"][0](context)).strip()
            if not entry:
                raise OutputError("gives no text for a digest")
        title, notice, subject = self._parsed(lines, body, footer, entry)
        return Sections(title, body, footer, notice or title, subject or title, entry)

    def _parsed(self, lines: Sequence[str], body: str, footer: str, entry: str) -> Sequence[str]:
        """The lines as plain text; the first one is by default that of the body. Fills the parser's
        cache for the channels, and fails here if a channel could not parse a part."""
        started = time.thread_time()
        if self._max_parse_seconds is not None:
            # A digest has short entries only, so that they need no further check.
            _check_length(sum(map(len, lines)) + len(body) + len(footer), len(entry))
        document, small, *parsed = map(parse, (body, footer, *lines))
        if self._max_parse_seconds is not None:
            _check_size(sum(parsed, document + small))
            if time.thread_time() - started > self._max_parse_seconds:
                raise OutputError("gives Markdown that takes too long to read")
        title, *others = map(plain_line, parsed)
        return title or _one_line(first_line(with_dates(document))), *others

    def override(self, name: str, variables: Variables) -> str:
        """Render a template for one kind of channel."""
        template = self._template(name)
        context = template.new_context(dict(variables))
        text = _output(template.root_render_func(context)).strip()
        if form := self.formats.get(self._suffix(name)):
            check_output(form, text)
        return text

    def lint(
        self, path: str, known: Collection[str], samples: Sequence[Variables]
    ) -> list[Problem]:
        """The problems of the template file at ``path``, see ``lint_template``."""
        suffix = self._suffix(path)
        return list(lint_template(path, self._environments[suffix], suffix, known, samples))


def longest_suffix(name: str, suffixes: Iterable[str]) -> str:
    """Of a template's name: ``.json.j2`` ends others."""
    return max(filter(name.endswith, suffixes), key=len)


def _output(chunks: Iterable[str]) -> str:
    kept: list[str] = []
    size = 0
    for chunk in chunks:
        size += len(chunk)
        if size > MAX_TEMPLATE_SIZE:
            raise OutputError("gives more than 1 MB of text")
        kept.append(chunk)
    return "".join(kept)


def plain_line(document: Document) -> str:
    return _one_line(to_text(with_dates(document), links=False))


def _one_line(text: str) -> str:
    return shorten(" ".join(text.split()), MAX_TITLE_LENGTH)


def _check_length(*lengths: int) -> None:
    if max(lengths) > MAX_MARKDOWN_LENGTH:
        raise OutputError(f"gives more than {MAX_MARKDOWN_LENGTH:,} characters of Markdown")


def _check_size(document: Document) -> None:
    depth, parts, characters = size(document)
    if depth > MAX_DEPTH:
        raise OutputError(f"gives quotes and lists that are nested deeper than {MAX_DEPTH}")
    if parts > MAX_PARTS:
        raise OutputError(f"gives more than {MAX_PARTS:,} blocks, links and styles")
    if characters > MAX_CHARACTERS:
        raise OutputError(f"gives more than {MAX_CHARACTERS:,} characters with links' addresses")


def check_output(form: OverrideFormat, text: str) -> None:
    """Raises ``OutputError`` for an override that its channel does not accept."""
    if len(text) > MAX_OVERRIDE_LENGTH:
        raise OutputError(f"gives more than {MAX_OVERRIDE_LENGTH:,} characters")
    value = _decoded(text) if form.is_json else text
    if form.validate is not None:
        try:
            form.validate(value)
        except ValueError as error:
            raise OutputError(f"gives {'JSON' if form.is_json else 'HTML'} that {error}") from error


def _decoded(text: str) -> object:
    try:
        value = json.loads(text)
        too_deep = _is_deeper(value, MAX_JSON_DEPTH)
    except RecursionError:
        value, too_deep = None, True
    except ValueError as error:
        raise OutputError(f"gives no valid JSON: {error}") from error
    if too_deep:
        raise OutputError(f"gives JSON that is nested deeper than {MAX_JSON_DEPTH}")
    if _count(value) > MAX_JSON_VALUES:
        raise OutputError(f"gives JSON with more than {MAX_JSON_VALUES:,} values")
    return value


def _items(value: object) -> Collection[object]:
    return value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()


def _count(value: object) -> int:
    return 1 + sum(map(_count, _items(value)))


def _is_deeper(value: object, depth: int) -> bool:
    if not isinstance(value, dict | list):
        return False
    return depth == 0 or any(_is_deeper(item, depth - 1) for item in _items(value))
