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
    assert "Try next:" in run.stdout
    assert run.stderr == ""


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
        demo.send_signal(signal.SIGINT)
        assert demo.wait(10) == 0
        with contextlib.suppress(OSError):  # Linux raises it once no process has the terminal open
            output = screen.read(4096).decode(errors="replace")
        assert "Traceback" not in output
        assert "Aborted" not in output
