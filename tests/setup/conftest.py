"""``relay init`` in this process, with answers on its standard input."""

from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from relay import app, doctor, logs
from relay.cli import main
from tests.service import free_ports

Init = Callable[..., Result]


@pytest.fixture
def init(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Init:
    """``init("--yes", answers=["1", "…"])``, in the empty folder ``tmp_path``."""
    monkeypatch.chdir(tmp_path)
    # of the process, which goes on with other tests
    monkeypatch.setattr(app, "tune_process", lambda: None)
    monkeypatch.setattr(logs, "configure_logging", lambda *_: None)
    monkeypatch.setattr(doctor, "template_problems", lambda *_: [])  # it takes seconds
    hook, admin = map(str, free_ports(2))

    def run(*arguments: str, answers: list[str] | None = None) -> Result:
        ports = [] if "--port" in arguments else ["--port", hook, "--admin-port", admin]
        answered = "".join(f"{answer}\n" for answer in answers or [])
        return CliRunner().invoke(main, ["init", *ports, *arguments], input=answered)

    return run
