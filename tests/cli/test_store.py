"""`relay store backup`, and the store of the other commands."""

from pathlib import Path

import pytest

from relay.penpot.samples import sample
from tests.cli.commands import LOG
from tests.service import Service, running


def test_the_store_is_copied_while_the_service_runs(tmp_path: Path) -> None:
    with running(tmp_path, "") as service:
        assert service.post(sample("create-file")) == 204
        done = service.run("store", "backup", str(tmp_path / "copy.db"))
        assert done.stdout == f"sqlite:///{tmp_path}/relay.db is copied to {tmp_path}/copy.db\n"
        again = service.run("store", "backup", str(tmp_path / "copy.db"))
        assert (again.returncode, "File exists" in again.stderr) == (1, True)
    copy = service.config.read_text().replace("relay.db", "copy.db")
    service.config.write_text(copy)
    assert "create-file" in service.run("log").stdout


def test_commands_that_read_the_store_do_not_create_it(tmp_path: Path) -> None:
    service = Service(tmp_path, LOG)
    for command in ("log", "doctor"):
        assert "there is no store at" in "".join(
            service.run(command).stdout + service.run(command).stderr
        )
    assert not (tmp_path / "relay.db").exists()


@pytest.mark.parametrize("command", ["serve", "check", "log", "resend --dead"])
def test_a_missing_driver_is_named(tmp_path: Path, command: str) -> None:
    service = Service(tmp_path, LOG)
    text = service.config.read_text()
    url = next(line for line in text.splitlines() if line.startswith("url = "))
    service.config.write_text(text.replace(url, 'url = "postgresql://127.0.0.1:1/relay"', 1))
    (tmp_path / "asyncpg.py").write_text("raise ImportError('gone', name='asyncpg')")
    service.environ["PYTHONPATH"] = str(tmp_path)
    run = service.run(*command.split())
    assert run.returncode == 1
    shown = run.stdout if command == "check" else run.stderr
    assert "store.url: PostgreSQL requires asyncpg, which is not installed" in shown
    assert "Traceback" not in run.stderr
