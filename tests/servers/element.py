"""Reads a room with Element's SDK, matrix-js-sdk.

It has its own environment, ``.venv-node`` in the root of the checkout.
"""

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.servers.synapse import Person

ROOT = Path(__file__).resolve().parents[2]
NODE = ROOT / ".venv-node"
_SCRIPT = Path(__file__).with_name("node") / "element.mjs"


@dataclass(frozen=True)
class Shown:
    """A message as the client shows it."""

    id: str
    content: dict[str, Any]
    """Of an edited message that of its last edit."""
    redacted: bool
    edited: bool
    notifies: bool
    """By the member's push rules."""
    highlights: bool
    image: tuple[int, str] | None
    """Status and type of the answer to a request for an image's thumbnail."""

    @property
    def text(self) -> str:
        """The first line."""
        return str(self.content.get("body", "")).partition("\n")[0]


@dataclass(frozen=True)
class View:
    """What the client shows of a room. ``timeline`` has no replies of threads."""

    timeline: list[Shown]
    threads: dict[str, list[Shown]]
    """The replies, by the id of the first message."""
    unread: int
    highlights: int


def read_room(homeserver: str, person: Person, room: str) -> View:
    if not NODE.exists():
        raise RuntimeError(f"Node is not installed; in {ROOT}: make {NODE.name}/.installed")
    arguments = [homeserver, person.id, person.token, room]
    done = subprocess.run(
        [NODE / "bin/node", "--input-type=module", "-", *arguments],
        cwd=NODE,
        input=_SCRIPT.read_text(encoding="utf-8"),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    if done.returncode != 0:
        raise RuntimeError(f"matrix-js-sdk failed: {done.stderr[-2000:]}")
    view = json.loads(done.stdout.splitlines()[-1])
    threads = {root: _messages(events) for root, events in view["threads"].items()}
    return View(_messages(view["timeline"]), threads, view["unread"], view["highlights"])


def _messages(events: list[dict[str, Any]]) -> list[Shown]:
    return [
        Shown(**event | {"image": event["image"] and tuple(event["image"])}) for event in events
    ]
