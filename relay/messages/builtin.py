"""Rendering of Relay's own templates: trusted, unchanged while it runs, and made of the blocks of
``base.md.j2``. So they need no sandbox, no look at the files, and only the blocks that are needed.
"""

import os
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

from jinja2 import BaseLoader, Environment
from jinja2.runtime import BlockReference, Context, Macro

from relay.messages.document import parse
from relay.messages.environments import (
    BUILTIN,
    MARKDOWN_SUFFIX,
    MarkdownEnvironment,
    OverrideFormat,
    TemplateFiles,
)
from relay.messages.lint import OutputError, Variables
from relay.messages.rendering import InProcessTemplates, Sections, plain_line


class BuiltinFiles(TemplateFiles):
    """The built-in templates only, listed once."""

    def __init__(self, builtin: Path | str) -> None:
        super().__init__((), builtin)
        with os.scandir(builtin) as entries:
            self._names = frozenset(entry.name for entry in entries if entry.is_file())

    def find(self, template: str) -> str | None:
        name = template.removeprefix(f"{BUILTIN}/")
        return f"{self.builtin}/{name}" if name in self._names else None


class _BlockContext(Context):
    """Keeps the texts of the blocks: most blocks print the title."""

    def __init__(self, *arguments: Any, **keywords: Any) -> None:
        super().__init__(*arguments, **keywords)
        self._texts: dict[tuple[str, int], str] = {}

    def text(self, block: BlockReference) -> str:
        key = block.name, block._depth
        if key not in self._texts:
            self._texts[key] = block()
        return self._texts[key]


class BuiltinEnvironment(MarkdownEnvironment):
    """Its templates set no variable between two uses of one block."""

    context_class = _BlockContext
    getattr = Environment.getattr
    getitem = Environment.getitem

    def __init__(self, loader: BaseLoader) -> None:
        super().__init__(loader)
        self.auto_reload = False

    def call(self, context: Context, function: Any, /, *arguments: Any, **keywords: Any) -> Any:
        if type(function) is Macro:
            return super().call(context, function, *arguments, **keywords)
        if type(function) is BlockReference and isinstance(context, _BlockContext):
            return context.text(function)
        return context.call(function, *arguments, **keywords)


class BuiltinTemplates(InProcessTemplates):
    """As ``InProcessTemplates``; a channel parses body and footer when it sends them."""

    def __init__(self, builtin: Path | str, formats: Collection[OverrideFormat] = ()) -> None:
        files = BuiltinFiles(builtin)
        super().__init__(files, formats)
        self._environments[MARKDOWN_SUFFIX] = BuiltinEnvironment(files)

    def sections(
        self,
        name: str,
        variables: Variables,
        digest: bool = False,
        content_only: bool = False,
    ) -> Sections:
        text = self._blocks(name, variables)
        body, footer = text("body"), text("footer")
        if content_only:
            return Sections("", body, footer)
        title, notice, subject = (
            plain_line(parse(text(line))) for line in ("title", "notice", "subject")
        )
        return Sections(title, body, footer, notice, subject, text("digest") if digest else "")

    def title(self, name: str, variables: Variables) -> str:
        """That of ``sections``."""
        return plain_line(parse(self._blocks(name, variables)("title")))

    def _blocks(self, name: str, variables: Variables) -> Callable[[str], str]:
        """Gives the text of each block of the template, which it has to have."""
        template = self._template(name)
        context = template.new_context(dict(variables))
        next(template.root_render_func(context), "")  # the imports, and the blocks of the base

        def text(block: str) -> str:
            reference = BlockReference(block, context, context.blocks[block], 0)
            output = context.text(reference) if isinstance(context, _BlockContext) else reference()
            if not (stripped := str(output).strip()) and block != "footer":
                raise OutputError(f"gives no text for the block {block}")
            return stripped

        return text
