"""The variables that name files for TLS."""

from pathlib import Path

import certifi
import pytest

from relay.tls_variables import tls_problems
from tests.service import SECRET, relay


def test_valid_and_empty_variables_have_no_problem(tmp_path: Path) -> None:
    log = tmp_path / "keys.log"
    given = {"SSL_CERT_FILE": certifi.where(), "SSL_CERT_DIR": str(tmp_path)}
    assert list(tls_problems(given | {"SSLKEYLOGFILE": str(log)})) == []
    assert list(tls_problems(dict.fromkeys([*given, "SSLKEYLOGFILE"], ""))) == []


@pytest.mark.parametrize("name", ["SSL_CERT_FILE", "SSL_CERT_DIR", "SSLKEYLOGFILE"])
def test_missing_file_is_named(name: str) -> None:
    (problem,) = tls_problems({name: "/does/not/exist"})
    assert problem.startswith(f'{name} = "/does/not/exist": must be ')
    assert problem.endswith("(No such file or directory)")


def test_file_without_certificates_is_named(tmp_path: Path) -> None:
    empty = tmp_path / "empty.pem"
    empty.touch()
    (problem,) = tls_problems({"SSL_CERT_FILE": str(empty)})
    assert (
        problem == f'SSL_CERT_FILE = "{empty}": must be a readable file of certificates in PEM form'
    )


@pytest.mark.parametrize("command", ["check", "doctor", "serve"])
def test_commands_name_an_invalid_variable(command: str, tmp_path: Path) -> None:
    environ = {"RELAY_SECRET": SECRET, "RELAY_STDOUT": "1", "SSL_CERT_FILE": "/does/not/exist"}
    ended = relay(command, folder=tmp_path, **environ)
    assert ended.returncode == 1
    assert 'environment: SSL_CERT_FILE = "/does/not/exist": must be' in ended.stdout + ended.stderr
    assert "Traceback" not in ended.stderr
