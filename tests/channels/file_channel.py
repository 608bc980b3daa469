"""A channel for tests: it appends each message to a file, with threads and edits."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from relay.channels import CHANNEL_TYPES
from relay.channels import base as b
from relay.channels.preview import message_text, plain_preview
from relay.config.types import Rule, Token
from relay.messages.environments import OverrideFormat


class FileSettings(b.ChatSettings):
    path: str
    key: Token | None = None

    @classmethod
    def rules(cls, raw: Mapping[str, Any]) -> Iterator[Rule]:
        if raw.get("threads") is False and "key" in raw:
            yield ("key",), None, "needs threads"


class FileChannel:
    pace, edits_notify = None, True

    def __init__(self, settings: FileSettings, kv: object) -> None:
        self._path = Path(settings.path)

    async def send(self, message, key, thread=None, picture=None):  # type: ignore[no-untyped-def]
        if self._path.with_suffix(".down").exists():
            raise b.RetryLater("down", "the file is locked")
        return self._write({"text": message_text(message), "thread": thread and thread.root}, key)

    async def update(self, receipt, message, key, picture=None):  # type: ignore[no-untyped-def]
        self._write({"text": message_text(message), "edits": receipt}, key)

    remove = update  # as in a chat that keeps a placeholder

    async def check(self) -> list[b.Finding]:
        return [b.Finding(ok=self._path.parent.is_dir(), text=f"Messages go to {self._path}.")]

    async def close(self) -> None: ...

    def _write(self, line: dict[str, Any], key: str) -> b.Receipt:
        with self._path.open("a") as file:
            file.write(json.dumps(line | {"id": key}) + "\n")
        return b.Receipt(key)


def register(name: str) -> None:
    env = f"RELAY_{name.upper()}_"
    CHANNEL_TYPES[name] = b.ChannelType(
        name=name, label=f"File {name}", settings=FileSettings, load=lambda: FileChannel,
        preview=lambda message, thread, settings: plain_preview(message), example={"path": "file"},
        variables=b.ChannelVariables({f"{env}PATH": "path", f"{env}KEY": "key"}, (f"{env}PATH",)),
        people=b.PeopleKey(name, str), editor=f"{name} files", marks_edits=True,
        starter="<p>{{ event.name }}</p>", override=OverrideFormat(f".{name}.html.j2"),
    )  # fmt: skip
