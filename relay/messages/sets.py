"""Sets: the templates that a team gets, and what can be asked of them."""

from collections.abc import Collection, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

from jinja2 import Environment

from relay.messages.environments import (
    HtmlEnvironment,
    MarkdownEnvironment,
    SlackJsonEnvironment,
    TemplateFiles,
)
from relay.messages.faults import faults
from relay.messages.rendering import Problem, Sections, override, sections

MARKDOWN = ".md.j2"
OVERRIDES: Mapping[str, str] = {
    "slack": ".slack.json.j2",
    "matrix": ".matrix.html.j2",
    "email": ".email.html.j2",
}
"""The ends of names of templates for one kind of channel alone."""
ENDS = (MARKDOWN, *OVERRIDES.values())


class TemplateSet(Protocol):
    """The templates over one list of folders; ``Environments`` runs them here, ``Confined`` (in
    ``cell.py``) in a process of their own."""

    files: TemplateFiles

    def sections(self, name: str, variables: Mapping[str, Any]) -> Sections:
        """What a template for all channels gives. Raises what is wrong with it."""
        ...

    def override(self, name: str, variables: Mapping[str, Any]) -> str:
        """What a template for one kind of channel prints. Raises what is wrong with it."""
        ...

    def faults(
        self, path: str, known: Collection[str], samples: Sequence[Mapping[str, Any]]
    ) -> list[Problem]:
        """See ``faults.py``; ``path`` ends as one of ``ENDS``."""
        ...


class Environments:
    """A set that is run where it is asked: for templates that are trusted."""

    def __init__(
        self,
        folders: Sequence[Path],
        builtin: Path,
        typed: Mapping[str, str] | None = None,
        patience: float | None = None,
    ) -> None:
        """``typed`` are templates that stand in no file, by name; they win over all others.
        ``patience`` is as in ``rendering.sections``."""
        self.files = TemplateFiles(folders, builtin, typed)
        self._patience = patience

    @cached_property
    def markdown(self) -> MarkdownEnvironment:
        return MarkdownEnvironment(self.files)

    @cached_property
    def json(self) -> SlackJsonEnvironment:
        return SlackJsonEnvironment(self.files)

    @cached_property
    def html(self) -> HtmlEnvironment:
        return HtmlEnvironment(self.files)

    def of(self, name: str) -> Environment:
        """The environment for a template's file name."""
        if name.endswith(MARKDOWN):
            return self.markdown
        return self.json if name.endswith(".json.j2") else self.html

    def sections(self, name: str, variables: Mapping[str, Any]) -> Sections:
        """See ``TemplateSet``."""
        return sections(self.markdown.get_template(name), variables, self._patience)

    def override(self, name: str, variables: Mapping[str, Any]) -> str:
        """See ``TemplateSet``."""
        return override(self.of(name).get_template(name), variables)

    def faults(
        self, path: str, known: Collection[str], samples: Sequence[Mapping[str, Any]]
    ) -> list[Problem]:
        """See ``TemplateSet``."""
        end = next(end for end in ENDS if path.endswith(end))
        return list(faults(path, self.of(path), self.files, end, known, samples))
