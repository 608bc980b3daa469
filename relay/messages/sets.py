"""Template sets: the templates that apply to a team, and the operations on them."""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

from jinja2 import Environment

from relay.messages.environments import (
    HtmlEnvironment,
    MarkdownEnvironment,
    SlackJsonEnvironment,
    TemplateFiles,
)
from relay.messages.lint import lint_template
from relay.messages.rendering import Problem, Sections, Variables, override, sections

MARKDOWN_SUFFIX = ".md.j2"
OVERRIDE_SUFFIXES: Mapping[str, str] = {
    "slack": ".slack.json.j2",
    "matrix": ".matrix.html.j2",
    "email": ".email.html.j2",
}
"""File name suffixes of the templates for one kind of channel."""
TEMPLATE_SUFFIXES = (MARKDOWN_SUFFIX, *OVERRIDE_SUFFIXES.values())
_EnvironmentType: TypeAlias = type[MarkdownEnvironment | SlackJsonEnvironment | HtmlEnvironment]
_ENVIRONMENTS: Mapping[str, _EnvironmentType] = {
    MARKDOWN_SUFFIX: MarkdownEnvironment,
    ".json.j2": SlackJsonEnvironment,
    ".html.j2": HtmlEnvironment,
}


class InProcessTemplates:
    """Runs in the caller's process: for trusted templates, and inside the sandbox.

    ``sections`` and ``override`` raise any error of the template.
    """

    def __init__(
        self,
        folders: Sequence[Path],
        builtin: Path,
        drafts: Mapping[str, str] | None = None,
        max_parse_seconds: float | None = None,
    ) -> None:
        """``drafts``: see ``TemplateFiles``; ``max_parse_seconds``: see ``rendering.sections``."""
        self.files = TemplateFiles(folders, builtin, drafts)
        self._max_parse_seconds = max_parse_seconds
        self._environments: dict[_EnvironmentType, Environment] = {}

    def _environment(self, name: str) -> Environment:
        kind = next((kind for end, kind in _ENVIRONMENTS.items() if name.endswith(end)))
        if kind not in self._environments:
            self._environments[kind] = kind(self.files)
        return self._environments[kind]

    def sections(self, name: str, variables: Variables) -> Sections:
        template = self._environment(name).get_template(name)
        return sections(template, variables, self._max_parse_seconds)

    def override(self, name: str, variables: Variables) -> str:
        return override(self._environment(name).get_template(name), variables)

    def lint(
        self, path: str, known: Collection[str], samples: Sequence[Variables]
    ) -> list[Problem]:
        suffix = next(suffix for suffix in TEMPLATE_SUFFIXES if path.endswith(suffix))
        environment = self._environment(path)
        return list(lint_template(path, environment, self.files, suffix, known, samples))
