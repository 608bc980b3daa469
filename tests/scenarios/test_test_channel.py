"""A channel that only the tests register works like the others, without a further line in relay/.

Its name is chosen at random, so that no module can know it.
"""

import json
import os
import secrets
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from relay.channels import CHANNEL_TYPES, open_channel
from relay.channels.base import EditableChannel
from relay.config.environment import known_variables
from relay.config.load import ConfigError, load
from relay.delivery.changes import ChangeRenderer
from relay.delivery.renderer import RenderContext, mentions_to_ping
from relay.messages.message import Message
from relay.messages.templates import Templates
from relay.penpot.links import add_links
from relay.penpot.samples import sample
from tests.channels.file_channel import FileSettings, register
from tests.delivery.examples import example
from tests.service import SECRET, Service, wait_until

NAME = "c" + secrets.token_hex(4)
PROGRAM = (
    f"from tests.channels.file_channel import register; register({NAME!r}); "
    "from relay.cli import main; main()"
)


@pytest.fixture(autouse=True)
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(CHANNEL_TYPES, NAME, CHANNEL_TYPES["stdout"])  # removed at the end
    register(NAME)
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))


def test_the_channel_is_small() -> None:
    source = Path(__file__).parents[1] / "channels" / "file_channel.py"
    assert len(source.read_text().splitlines()) <= 60


def channel(folder: Path, *lines: str) -> str:
    keys = "\n".join((f'type = "{NAME}"', f'path = "{folder}/out"', 'events = ["*"]', *lines))
    return f'[[teams.acme.channels]]\nname = "file"\n{keys}\n'


def problems(folder: Path, text: str) -> list[str]:
    path = folder / "relay.toml"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load(str(path), {})
    return [str(problem).removeprefix(f"{path}: ") for problem in caught.value.problems]


def test_the_config_validates_its_keys_and_rules(tmp_path: Path) -> None:
    team = f'[teams.acme]\nsecret = "{SECRET}"\n'
    broken = channel(tmp_path, "pth = 1", "threads = false", 'key = "a b"', 'edits = "x"')
    (tmp_path / "relay.toml").write_text(team + channel(tmp_path, 'edits = "in-place"'))
    (settings,) = load(str(tmp_path / "relay.toml"), {}).teams["acme"].channels

    assert isinstance(settings, FileSettings)
    assert settings.edit_mode == "in-place"
    key = "teams.acme.channels.file"
    assert problems(tmp_path, team + broken) == [
        f'{key}.edits = "x": must be "", "in-place", "messages" or "none"',
        f"{key}.key = ***: must be printable ASCII without spaces: check that it was copied "
        "completely",
        f"{key}.pth: unknown key; did you mean path?",
        f"{key}.key: needs threads",
    ]
    (problem,) = problems(tmp_path, team + channel(tmp_path).replace(NAME, "none"))
    assert problem.endswith(f"must be one of {', '.join(CHANNEL_TYPES)}")
    people = f'[people]\n"a@b.c" = {{ {NAME} = "ada", x = "y" }}\n'
    (problem,) = problems(tmp_path, team + people)
    assert NAME in problem


def test_its_variables_replace_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("key").write_text("hidden-key")
    prefix = f"RELAY_{NAME.upper()}"
    environ = {"RELAY_SECRET": SECRET, f"{prefix}_PATH": "out", f"{prefix}_KEY_FILE": "key"}
    (settings,) = load(None, environ).teams["default"].channels
    assert isinstance(settings, FileSettings)
    assert settings.path == "out"
    assert settings.key is not None
    assert settings.key.reveal() == "hidden-key"
    assert f"{prefix}_PATH_FILE" not in known_variables()


def command(service: Service, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *arguments, "--config", str(service.config)],
        capture_output=True,
        text=True,
        timeout=60,
        env=os.environ | {"NO_COLOR": "1"},
    )
    assert "Traceback" not in done.stderr
    return done.stdout + done.stderr


def lines(folder: Path) -> list[dict[str, str]]:
    path = folder / "out"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def test_the_commands_know_it(tmp_path: Path) -> None:
    service = Service(tmp_path, channel(tmp_path))

    assert f"ok    acme/file: {NAME}, events: *" in command(service, "check")
    assert f"ok    acme/file: Messages go to {tmp_path}/out." in command(service, "doctor")
    assert "acme/file: sent (" in command(service, "send", "acme")
    assert lines(tmp_path)[0]["text"].startswith("A test from Relay")
    shown = command(service, "preview", "create-file", "--kind", NAME)
    assert shown.startswith("📄 Grace Hopper created the file Pricing page")


def test_queue_threads_retry_and_digest(tmp_path: Path) -> None:
    service = Service(tmp_path, channel(tmp_path, "digest_after = 2"))
    service.command = [sys.executable, "-c", PROGRAM]
    try:
        service.start()
        for name in ("create-comment-thread", "create-comment"):
            assert service.post(sample(name)) == 204
        wait_until(lambda: len(lines(tmp_path)) == 2, 20)
        root, reply = lines(tmp_path)
        assert (root["thread"], reply["thread"]) == (None, root["id"])

        (tmp_path / "out.down").touch()
        for number in range(5):
            body = sample("create-file").replace(b"}", b', "n": %d}' % number, 1)
            assert service.post(body) == 204
        wait_until(lambda: "the file is locked" in command(service, "log"), 20)
        (tmp_path / "out.down").unlink()
        wait_until(lambda: len(lines(tmp_path)) > 2, 60)
        wait_until(lambda: "waiting" not in command(service, "log"), 60)
        assert len(lines(tmp_path)) < 7  # some of them in a digest
    finally:
        service.end()


def test_the_inspector_shows_its_previews(tmp_path: Path) -> None:
    service = Service(tmp_path, channel(tmp_path))
    service.command = [sys.executable, "-c", PROGRAM]
    try:
        service.start()
        assert service.post(sample("create-file")) == 204
        wait_until(lambda: lines(tmp_path), 20)
        gallery = httpx.get(f"{service.admin}/inspector/templates?kind={NAME}").text
        assert f"<span>File {NAME}</span>" in gallery
        assert "Ada Lovelace" in gallery
        override = f"create-file.{NAME}.html.j2"
        editor = f"{service.admin}/inspector/templates/create-file?file={override}"
        page = httpx.get(editor).text
        assert "&lt;p&gt;{{ event.name }}&lt;/p&gt;" in page
        event = httpx.get(f"{service.admin}/inspector/events/1").text
        assert "preview-terminal" in event
    finally:
        service.end()


@pytest.mark.anyio
async def test_a_change_edits_its_message(tmp_path: Path) -> None:
    settings = FileSettings(type=NAME, name="file", path=str(tmp_path / "out"))
    event = add_links(example("create-comment"), "https://penpot.example")
    changed = replace(event, name="update-comment")
    renderer = ChangeRenderer(
        RenderContext(Templates(), changed, "acme", mentions_to_ping(event, {}))
    )
    (rendered,) = await renderer.messages(settings)
    message = Message.loads(rendered.message)
    assert message.change is not None

    opened = open_channel(settings)
    assert isinstance(opened, EditableChannel)
    await opened.update("1", message, "2")
    (line,) = lines(tmp_path)
    assert line["edits"] == "1"
