"""What the shell completes."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from click.shell_completion import ShellComplete, get_completion_class

from relay.channels import CHANNEL_TYPES
from relay.cli import main
from relay.penpot.catalogue import CATALOGUE
from relay.store.records import DELIVERY_STATES, EVENT_STATES
from tests.config.files import SECRET

CONFIG = f"""
[teams.acme]
secret = {{ file = "not-there" }}
[[teams.acme.channels]]
name = "design"
type = "stdout"
[teams.other]
secret = "{SECRET}"
[[teams.other.channels]]
name = "room"
type = "stdout"
"""


@pytest.fixture(autouse=True)
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "relay.toml").write_text(CONFIG)
    return tmp_path / "relay.toml"


def completions(*arguments: str) -> list[str]:
    """Of the last one."""
    shell = ShellComplete(main, {}, "relay", "_RELAY_COMPLETE")
    return [each.value for each in shell.get_completions(list(arguments[:-1]), arguments[-1])]


def test_names_come_from_the_config() -> None:
    """Secrets are not read: a shell has no access to those of the service."""
    assert completions("send", "") == ["acme", "other"]
    assert completions("log", "--team", "o") == ["other"]
    assert completions("send", "--channel", "") == ["design", "room"]
    assert completions("preview", "--team", "other", "--channel", "r") == ["room"]
    assert completions("preview", "--kind", "sl") == ["slack"]
    assert completions("log", "--channel", "d") == ["design"]
    assert completions("resend", "--dead", "--team", "other", "--channel", "") == ["room"]


def test_events_and_states_come_from_the_catalogue() -> None:
    assert completions("preview", "create-f") == [
        name for name in CATALOGUE if name.startswith("create-f")
    ]
    assert completions("events", "") == list(CATALOGUE)
    assert completions("log", "--state", "") == [*EVENT_STATES, *DELIVERY_STATES]


def test_the_keys_of_a_channel_to_set_up() -> None:
    assert completions("init", "--kind", "mat") == ["matrix", "mattermost"]
    assert completions("init", "--kind", "matrix", "--set", "") == [
        "homeserver=",
        "access_token=",
        "room=",
    ]
    assert completions("init", "--set", "") == []


def test_without_a_valid_config_types_are_left(config: Path) -> None:
    config.write_text("nonsense")
    assert completions("send", "") == []
    assert completions("send", "--channel", "") == []
    assert completions("send", "--kind", "") == list(CHANNEL_TYPES)
    config.unlink()
    assert completions("send", "") == []


def test_another_config_is_read_where_the_option_names_it(config: Path) -> None:
    config.rename("mine.toml")
    assert completions("send", "--config", "mine.toml", "") == ["acme", "other"]


@pytest.mark.skipif(not shutil.which("bash"), reason="needs bash")
def test_bash_completes() -> None:
    script = Path(sys.executable).with_name("relay")
    bash = get_completion_class("bash")
    assert bash is not None
    commands = f"""
PATH={script.parent}:$PATH
{bash(main, {}, "relay", "_RELAY_COMPLETE").source()}
COMP_WORDS=(relay send ac) COMP_CWORD=2
_relay_completion relay
echo "${{COMPREPLY[@]}}"
"""
    run = subprocess.run(["bash", "-c", commands], capture_output=True, text=True)
    assert (run.stdout, run.stderr) == ("acme\n", "")
