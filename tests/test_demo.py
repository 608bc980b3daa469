"""``relay demo``, with and without a terminal."""

import contextlib
import os
import pty
import re
import signal
import subprocess
import sys
from pathlib import Path

import httpx

from relay.penpot.catalogue import CATALOGUE
from tests.service import relay


def test_the_demo_shows_one_message_of_each_kind_and_ends(tmp_path: Path) -> None:
    run = relay("demo", "--once", folder=tmp_path)
    assert run.returncode == 0, run.stderr
    shown = [line.split()[1].rstrip(":") for line in run.stdout.splitlines() if line[:1] == "─"]
    assert set(shown[:-1]) == set(CATALOGUE)
    assert run.stdout.splitlines()[1] == "Ada Lovelace commented on Landing page · Home · #12"
    assert not re.search(r"\bSomeone\b|\b(on|to|from) a (file|project)\b", _messages(run.stdout))
    assert "Try next:" in run.stdout
    assert run.stderr == ""


def _messages(output: str) -> str:
    return "\n".join(line for line in output.splitlines() if not line.startswith("──"))


def test_the_shown_commands_run_as_they_are_shown(tmp_path: Path) -> None:
    """`make demo` leaves Relay in ``.venv/bin``, which is not in ``PATH``."""
    script = Path(sys.executable).with_name("relay")
    (tmp_path / ".venv").symlink_to(script.parent.parent)
    environ = os.environ | {"PATH": "/usr/bin:/bin"}

    def run(command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command, shell=True, cwd=tmp_path, env=environ, capture_output=True, text=True
        )

    output = run(".venv/bin/relay demo").stdout
    commands = re.findall(
        r"^  (.*?relay (?:events|preview|demo)\b[^ \n]*(?: [a-z-]+)*)", output, re.M
    )
    assert [command.split()[1] for command in commands] == ["events", "preview", "demo"]
    for command in commands[:2]:
        assert command.startswith(".venv/bin/relay ")
        shown = run(command.partition("   ")[0])
        assert (shown.returncode, shown.stderr) == (0, "")


def test_the_demo_ends_without_a_terminal(tmp_path: Path) -> None:
    run = relay("demo", folder=tmp_path)
    assert run.returncode == 0, run.stderr
    assert "The demo ends." in run.stdout


def test_the_demo_runs_in_a_terminal_until_ctrl_c(tmp_path: Path) -> None:
    ours, terminal = pty.openpty()
    command = [sys.executable, "-m", "relay", "demo"]
    with (
        os.fdopen(ours, "rb", buffering=0) as screen,
        subprocess.Popen(command, cwd=tmp_path, stdout=terminal, stderr=terminal) as demo,
    ):
        os.close(terminal)
        output = ""
        while "My project" not in output:
            output += screen.read(4096).decode(errors="replace")
        (address,) = re.findall(r"http://127\.0\.0\.1:\d+/inspector", output)
        page = httpx.get(address).text
        assert "Landing page, autumn" in page
        assert page.count("mark sent") >= len(CATALOGUE)
        (port,) = set(re.findall(r"http://127\.0\.0\.1:(\d+)/hooks/", output))
        event = httpx.get(f"{address.removesuffix('/inspector')}/inspector/events/1").text
        assert f"http://localhost:{port}/hooks/acme/$SECRET" in event
        demo.send_signal(signal.SIGINT)
        assert demo.wait(10) == 0
        with contextlib.suppress(OSError):  # Linux raises it once no process has the terminal open
            output = screen.read(4096).decode(errors="replace")
        assert "Traceback" not in output
        assert "Aborted" not in output
