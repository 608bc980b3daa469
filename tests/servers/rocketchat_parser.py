"""Rocket.Chat's Markdown, read by its own parser: npm's @rocket.chat/message-parser, on Node.

The package is in an environment of its own, ``.venv-node`` in the root of the checkout.
"""

import atexit
import json
import subprocess
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from tests.channels.marked import visible

ROOT = Path(__file__).resolve().parents[2]
NODE = ROOT / ".venv-node"
_PACKAGE = NODE / "node_modules" / "@rocket.chat" / "message-parser"
_SCRIPT = Path(__file__).with_name("node") / "rocketchat.mjs"
# By the type of a node: the HTML element that the client makes of it.
_TAGS = {
    "BOLD": "strong",
    "CODE": "pre",
    "HEADING": "h1",
    "HORIZONTAL_RULE": "hr",
    "IMAGE": "img",
    "INLINE_CODE": "code",
    "ITALIC": "em",
    "LINK": "a",
    "ORDERED_LIST": "ol",
    "PARAGRAPH": "p",
    "QUOTE": "blockquote",
    "STRIKE": "s",
    "UNORDERED_LIST": "ul",
}
_PLAIN = {"PLAIN_TEXT", "CODE_LINE", "LIST_ITEM", "LINE_BREAK", "BIG_EMOJI", "MENTION_USER"}
_BLOCKS = {"PARAGRAPH", "CODE_LINE", "LIST_ITEM", "LINE_BREAK"}


@cache
def _parser() -> "subprocess.Popen[str]":
    if not _PACKAGE.exists():
        pytest.skip(f"needs Node and npm's packages: make {NODE.name}/.installed")
    script = _SCRIPT.read_text(encoding="utf-8")
    process = subprocess.Popen(
        [NODE / "bin/node", "--input-type=module", "--eval", script],
        cwd=NODE,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        encoding="utf-8",
        errors="surrogatepass",
    )
    atexit.register(process.kill)
    return process


def parsed(markdown: str) -> Any:
    """The blocks of a message. Nodes have a ``type`` and a ``value``."""
    process = _parser()
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(json.dumps(markdown.strip()) + "\n")
    process.stdin.flush()
    return json.loads(process.stdout.readline())


@dataclass
class ShownInRocketChat:
    """What a reader sees: ``text``; ``links``, text and target of each; ``tags``, all elements and
    what is none in lower case, such as ``emoticon``; ``mentions``."""

    markdown: str
    text: str = ""
    links: list[tuple[str, str]] = field(default_factory=list)
    tags: list[str] = field(default_factory=list)
    mentions: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._read(parsed(self.markdown))
        self.text = visible(self.text)

    def _read(self, node: Any) -> None:
        match node:
            case str():
                self.text += node
            case list():
                for each in node:
                    self._read(each)
            case {"type": "LINK", "value": {"src": {"value": target}, "label": label}}:
                self.tags.append("a")
                start = len(self.text)
                self._read(label)
                self.links.append((visible(self.text[start:]), target))
            case {"type": "MENTION_USER", "value": {"value": name}}:
                self.mentions.append(name)
                self.text += f"@{name}"
            case {"type": "EMOJI", "unicode": emoji}:
                self.text += emoji
            case {"type": str(kind)}:
                if kind not in _PLAIN:
                    self.tags.append(_TAGS.get(kind, kind.lower()))
                self._read(node.get("value"))
                if kind in _BLOCKS:
                    self.text += "\n"
