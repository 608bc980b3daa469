"""A user's folder of templates."""

from pathlib import Path
from typing import Any

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
