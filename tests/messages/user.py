"""A user's folder of templates."""

import time
from pathlib import Path
from typing import Any

import jinja2

from relay.channels import override_formats
from relay.messages.templates import RenderResult, Templates
from tests.messages.samples import known


class User:
    """A user's folder of templates."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.templates = Templates(folder, override_formats())

    def write(self, name: str, text: str) -> str:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return str(path)

    def render(
        self, name: str = "create-file", team: str = "acme", channel: str = "stdout", **other: Any
    ) -> RenderResult:
        return self.templates.render(name, known(name, **other), team=team, channel_kind=channel)

    def bodies(self, *names: str, team: str = "acme") -> list[str]:
        rendered = [self.render(name, team) for name in names]
        assert [result.problems for result in rendered] == [()] * len(names)
        return [result.message.content.body for result in rendered]


def busy(seconds: float) -> str:
    """A template's text that takes about so much processor time here, and gives nothing."""
    loop = "{{% for a in range({}) %}}{{% for b in range(9999) %}}{{% endfor %}}{{% endfor %}}"
    template = jinja2.Environment().from_string(loop.format(100))
    started = time.thread_time()
    template.render()
    return loop.format(int(100 * seconds / (time.thread_time() - started)))
