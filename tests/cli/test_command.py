"""What all commands share: where their reports and errors go, and which words they use."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.commands import ENVIRONMENT
from tests.service import Service, free_port, relay


@pytest.mark.parametrize("command", ["check", "doctor"])
def test_a_report_goes_to_standard_output_and_a_failed_command_to_standard_error(
    tmp_path: Path, command: str
) -> None:
    """So that `relay check > report` has all that `relay doctor > report` has."""
    service = Service(tmp_path, "nonsense = 1\n")
    reported, failed = service.run(command), service.run("send")
    assert (reported.returncode, reported.stderr) == (1, "")
    assert reported.stdout.startswith("FAIL  ")
    assert "teams.acme.nonsense: unknown key" in reported.stdout
    assert (failed.returncode, failed.stdout) == (1, "")
    assert failed.stderr == reported.stdout


def test_without_a_file_texts_name_variables_instead_of_keys(tmp_path: Path) -> None:
    environ = ENVIRONMENT | {"RELAY_ADMIN_HOST": "0.0.0.0", "RELAY_PENPOT_URL": "http://[::1]:1"}
    checked = relay("check", folder=tmp_path, **environ)
    assert checked.stdout.startswith(
        "ok    config: the RELAY_* variables, without a file\n"
        f"ok    store: {tmp_path}/data/relay.db\n"
        "note  config: RELAY_PUBLIC_URL is not set: hook URLs are shown with localhost\n"
    )
    assert 'RELAY_ADMIN_HOST = "0.0.0.0" needs a login: set RELAY_INSPECTOR' in checked.stdout
    failed = relay("doctor", folder=tmp_path, **environ).stdout
    assert "FAIL  penpot: http://[::1]:1 refuses connections: set RELAY_PENPOT_URL to" in failed
    port = relay("check", folder=tmp_path, **ENVIRONMENT, RELAY_ADMIN_PORT="8080")
    assert "must differ from RELAY_PORT" in port.stdout
    with socket.create_server(("127.0.0.1", 0)) as occupied:
        listening = {"RELAY_PORT": str(occupied.getsockname()[1]), "RELAY_HOST": "127.0.0.1"}
        listening["RELAY_ADMIN_PORT"] = str(free_port())
        run = relay("serve", folder=tmp_path, **ENVIRONMENT, **listening)
    assert 'Error: RELAY_HOST = "127.0.0.1", RELAY_PORT = ' in run.stderr


def test_output_that_can_not_be_written_is_an_error_in_one_line(tmp_path: Path) -> None:
    lines = ["--version", "--help", "events", "preview", "check", "doctor", "demo --once"]
    for line in lines:
        with Path("/dev/full").open("w") as full:
            run = subprocess.run(
                [sys.executable, "-m", "relay", *line.split()],
                stdout=full,
                stderr=subprocess.PIPE,
                text=True,
                cwd=tmp_path,
                env=os.environ | ENVIRONMENT,
            )
        assert run.returncode == 1, line
        assert run.stderr.endswith("Error: can't write the output: No space left on device\n"), line
        assert "Traceback" not in run.stderr


def test_without_a_config_the_error_lists_the_options(tmp_path: Path) -> None:
    run = relay("serve", folder=tmp_path)
    assert run.returncode == 1
    for words in (
        "relay.toml",
        "--config",
        "RELAY_CONFIG",
        "RELAY_SECRET",
        "secrets.token_urlsafe",
    ):
        assert words in run.stderr


def test_the_version_is_printed(tmp_path: Path) -> None:
    assert relay("--version", folder=tmp_path).stdout.startswith("relay, version 0.")
