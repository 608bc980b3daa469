"""Template sets: the templates that apply to a team, and the operations on them."""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from jinja2 import Environment

from relay.messages.environments import (
    MarkdownEnvironment,
    OverrideFormat,
    TemplateFiles,
)
from relay.messages.lint import lint_template
from relay.messages.rendering import Problem, Sections, Variables, override, sections

MARKDOWN_SUFFIX = ".md.j2"


class InProcessTemplates:
    """Runs in the caller's process: for trusted templates, and inside the sandbox.

    ``sections`` and ``override`` raise any error of the template.
    """

    def __init__(
        self,
        folders: Sequence[Path],
        builtin: Path,
        formats: Collection[OverrideFormat] = (),
        drafts: Mapping[str, str] | None = None,
        max_parse_seconds: float | None = None,
    ) -> None:
        """``drafts``: see ``TemplateFiles``; ``max_parse_seconds``: see ``rendering.sections``."""
        self.files = TemplateFiles(folders, builtin, drafts)
        self.formats = tuple(formats)
        self._max_parse_seconds = max_parse_seconds
        self._environments: dict[OverrideFormat | None, Environment] = {}

    @property
    def suffixes(self) -> tuple[str, ...]:
        """Of all templates' file names."""
        return (MARKDOWN_SUFFIX, *(form.suffix for form in self.formats))

    def _format(self, name: str) -> OverrideFormat | None:
        """None for Markdown."""
        return next((form for form in self.formats if name.endswith(form.suffix)), None)

    def _environment(self, name: str) -> Environment:
        form = self._format(name)
        if form not in self._environments:
            files = self.files
            self._environments[form] = (
                form.environment(files) if form else MarkdownEnvironment(files)
            )
        return self._environments[form]

    def sections(self, name: str, variables: Variables, digest: bool = False) -> Sections:
        template = self._environment(name).get_template(name)
        return sections(template, variables, self._max_parse_seconds, digest=digest)

    def override(self, name: str, variables: Variables) -> str:
        template = self._environment(name).get_template(name)
        return override(template, variables, self._format(name))

    def lint(
        self, path: str, known: Collection[str], samples: Sequence[Variables]
    ) -> list[Problem]:
        suffix = next(suffix for suffix in self.suffixes if path.endswith(suffix))
        environment = self._environment(path)
        return list(lint_template(path, environment, self.files, suffix, known, samples))
