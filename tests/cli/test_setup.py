"""`relay init` and `relay hash-password` as commands; tests/setup has the dialog."""

import os
import pty
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest
from click.testing import CliRunner

from relay.channels import CHANNEL_TYPES
from relay.cli import main
from relay.config.secret import Secret
from relay.inspector.login import matches
from tests.service import free_ports


def test_the_help_lists_the_keys_of_each_kind() -> None:
    text = CliRunner().invoke(main, ["init", "--help"]).output
    for kind in CHANNEL_TYPES:
        assert f"\n    {kind} " in text
    assert "token, channel; or webhook_url" in text
    assert "smtp.host" in text


@pytest.mark.parametrize(
    ("option", "rule"),
    [
        (("--set", "token"), "must be KEY=VALUE"),
        (("--set-file", "=x"), "must be KEY=FILE"),
        (("--set-file", "token=gone"), "gone"),
    ],
)
def test_an_assignment_has_a_form(option: tuple[str, str], rule: str) -> None:
    result = CliRunner().invoke(main, ["init", *option])
    assert result.exit_code == 2
    assert rule in result.output


def test_ctrl_c_in_a_terminal_ends_it_and_leaves_nothing(tmp_path: Path) -> None:
    ours, terminal = pty.openpty()
    hook, admin = free_ports(2)
    command = [sys.executable, "-m", "relay", "init", "--port", str(hook)]
    command += ["--admin-port", str(admin)]
    with (
        os.fdopen(ours, "r+b", buffering=0) as screen,
        subprocess.Popen(
            command, cwd=tmp_path, stdin=terminal, stdout=terminal, stderr=terminal
        ) as process,
    ):
        os.close(terminal)
        shown = b""
        while b"Address of Penpot" not in shown:
            shown += screen.read(4096)
        for _ in range(4):  # a signal just before the read of the answer does not interrupt it
            process.send_signal(signal.SIGINT)
            with suppress(subprocess.TimeoutExpired):
                process.wait(15)
                break
        else:
            process.kill()
        assert b"Aborted!" in screen.read(4096)
    assert process.returncode == 1
    assert list(tmp_path.iterdir()) == []


def test_a_hash_opens_the_inspector() -> None:
    result = CliRunner().invoke(main, ["hash-password"], input="correct horse\n")
    assert result.exit_code == 0
    hashed = result.output.strip()
    assert hashed.startswith("$argon2id$")
    assert matches(Secret(hashed), None, "correct horse")
    assert not matches(Secret(hashed), None, "wrong horse")


@pytest.mark.parametrize("password", ["short", "", "$argon2id$v=19$m=65536,t=3,p=4$YWFhYWFhYWE$x"])
def test_a_password_that_the_config_would_not_take_is_refused(password: str) -> None:
    result = CliRunner().invoke(main, ["hash-password"], input=f"{password}\n")
    assert result.exit_code == 1
    assert "Error: the password " in result.output
    assert not password or password not in result.output
