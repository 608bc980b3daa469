"""Opening a channel imports only the libraries of its type, and only its folder names a kind."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import relay
from relay.channels import CHANNEL_TYPES, open_channel
from relay.channels.stdout import StdoutSettings
from relay.config.settings import AnyChannel
from tests.channels import builders
from tests.channels.apprise.place import ntfy

PROBE = """
import sys
from relay.channels import open_channel
from relay.channels.stdout import StdoutSettings
open_channel(StdoutSettings(type="stdout", name="log"))
print(*sorted({"aiohttp", "slack_sdk", "httpx", "aiosmtplib", "apprise"} & set(sys.modules)))
"""


@pytest.mark.parametrize(
    "settings",
    [
        builders.slack_bot("https://slack.example/api"),
        builders.slack_hook("https://hooks.slack.example/services/T/B/x"),
        builders.matrix("https://matrix.example"),
        builders.discord("https://discord.example"),
        builders.mattermost("https://mattermost.example"),
        builders.mattermost_hook("https://mattermost.example"),
        builders.rocketchat("https://rocketchat.example"),
        builders.teams("https://teams.example"),
        builders.email(25),
        builders.webhook("https://ci.example/penpot"),
        ntfy("https://ntfy.example"),
        StdoutSettings(type="stdout", name="log"),
    ],
    ids=lambda settings: settings.type,
)
def test_each_settings_class_opens_its_channel(settings: AnyChannel) -> None:
    channel = open_channel(settings)
    assert type(channel) is CHANNEL_TYPES[settings.type].load()
    assert channel.pace is None or channel.pace > 0


def test_a_channel_loads_no_library_of_another_kind() -> None:
    done = subprocess.run([sys.executable, "-c", PROBE], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


RELAY = Path(relay.__file__).parent
# ``email`` is also a field of a person and a module of the standard library, and Penpot calls Relay
# by a ``webhook``, as Relay calls some chats. The config has a table of Penpot's ``teams``.
COMMON_WORDS = {"email", "teams", "webhook"}
KINDS = CHANNEL_TYPES.keys() - COMMON_WORDS
# Which make the table ``teams`` of a config, or a list of them for a page.
TEAMS_TABLES = {
    RELAY / name
    for name in ("demo.py", "config/environment.py", "inspector/teams.py", "setup/draft.py")
}
# Python's own names: ``sys.stdout``, and the arguments and constants of ``subprocess``.
ALLOWED = {
    ("cli/command.py", "stdout"),
    ("cli/service.py", "stdout"),
    ("messages/sandbox.py", "stdout"),
}


def texts(tree: ast.AST) -> Iterator[str]:
    """The identifiers and strings of a module, without docstrings."""
    docs = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        match node:
            case ast.Constant(value=str(text)) if id(node) not in docs:
                yield text
            case ast.Name(id=text) | ast.Attribute(attr=text) | ast.arg(arg=text):
                yield text
            case ast.keyword(arg=str(text)) | ast.alias(name=text):
                yield text
            case ast.FunctionDef(name=text) | ast.AsyncFunctionDef(name=text):
                yield text
            case ast.ClassDef(name=text):
                yield text
            case ast.ImportFrom(module=str(text)):
                yield text


def named_kinds(path: Path) -> set[tuple[str, str]]:
    """Style sheets may name kinds: static/preview.css has the colours of each."""
    source = path.read_text(encoding="utf-8")
    words = texts(ast.parse(source)) if path.suffix == ".py" else [source]
    named = {kind for text in words for kind in KINDS if kind in text.lower()}
    return {(str(path.relative_to(RELAY)), kind) for kind in named}


def test_no_module_outside_its_folder_names_a_kind() -> None:
    own = {RELAY / "channels" / "__init__.py", RELAY / "channels" / "stdout.py"}
    folders = [RELAY / "channels" / kind for kind in CHANNEL_TYPES]
    files = [
        path
        for path in RELAY.rglob("*")
        if path.suffix in {".py", ".html", ".js"}
        and path not in own
        and not any(path.is_relative_to(folder) for folder in folders)
    ]
    assert len(files) > 80
    assert set().union(*map(named_kinds, files)) <= ALLOWED


def test_the_check_finds_a_kind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(f"{__name__}.RELAY", tmp_path)
    path = tmp_path / "a.py"
    for source in ("x.is_slack", "x = 'type matrix'", "def stdout_only(): ...", "f(slack=1)"):
        path.write_text(source)
        assert named_kinds(path), source
    path.write_text('"""Slack and Matrix."""')
    assert not named_kinds(path)


def test_no_module_compares_with_a_kind_that_is_a_common_word() -> None:
    """No comparison, mapping or match with its name."""
    found = []
    for path in RELAY.rglob("*.py"):
        if any(path.is_relative_to(RELAY / "channels" / kind) for kind in CHANNEL_TYPES):
            continue
        words = COMMON_WORDS - ({"teams"} if path in TEAMS_TABLES else set())
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            match node:
                case ast.Compare(comparators=parts) | ast.Dict(keys=parts) | ast.Set(elts=parts):
                    if any(
                        isinstance(part, ast.Constant) and part.value in words for part in parts
                    ):
                        found.append(path)
                case ast.MatchValue(value=ast.Constant(value=name)) if name in words:
                    found.append(path)
    assert not found
