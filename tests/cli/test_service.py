"""`relay serve` and `relay health`."""

import signal
import socket
from pathlib import Path

import pytest

from tests.cli.commands import LOG
from tests.service import Service, relay, running


def test_a_role_needs_a_shared_store(tmp_path: Path) -> None:
    service = Service(tmp_path, LOG)
    for run in (
        service.run("serve", "--role", "intake"),
        relay("serve", "--config", str(service.config), folder=tmp_path, RELAY_ROLE="deliver"),
    ):
        assert run.returncode == 2
        assert f"store.url is sqlite:///{tmp_path}/relay.db: use a PostgreSQL" in run.stderr
        assert '"postgresql://…"' in run.stderr
    run = service.run("serve", "--role", "both")
    assert run.returncode == 2
    assert "'both' is not one of 'all', 'intake', 'deliver'" in run.stderr
    assert not (tmp_path / "relay.db").exists()


def test_serve_does_not_start_with_an_invalid_config(tmp_path: Path) -> None:
    run = Service(tmp_path, "nonsense = 1\n").run("serve")
    assert run.returncode == 1
    assert run.stderr.endswith(
        "teams.acme.nonsense: unknown key; known: alerts_to, channels, inspector_password, "
        "language, max_disk, name, secret, team_id, timezone\n"
    )
    assert not (tmp_path / "relay.db").exists()


def test_ctrl_c_ends_the_service_without_an_error(tmp_path: Path) -> None:
    with running(tmp_path, LOG) as service:
        assert service.process is not None
        service.process.send_signal(signal.SIGINT)
        assert service.process.wait(20) == 0
    output = service.log.read_text()
    assert "stopping" in output
    for word in ("Aborted", "Traceback", "KeyboardInterrupt"):
        assert word not in output


def test_start_and_stop_are_logged(tmp_path: Path) -> None:
    with running(tmp_path, LOG) as service:
        started = service.log.read_text()
    assert "role all: 1 team, 1 channel, store sqlite://" in started
    assert f"server: listening on 127.0.0.1:{service.port}" in started
    assert f"admin: listening on 127.0.0.1:{service.admin_port}" in started
    assert service.log.read_text().rstrip().endswith("stopped")


@pytest.mark.parametrize("table", ["server", "admin"])
def test_an_address_in_use_is_named(tmp_path: Path, table: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as occupied:
        taken = occupied.getsockname()[1]
        service = Service(tmp_path, LOG)
        own = service.port if table == "server" else service.admin_port
        text = service.config.read_text()
        service.config.write_text(text.replace(f"port = {own}\n", f"port = {taken}\n"))
        run = service.run("serve")
    assert run.returncode == 1
    assert f'{table}.host = "127.0.0.1", {table}.port = {taken}: Relay can\'t' in run.stderr
    assert run.stderr.endswith("Relay can't listen there: address already in use\n")
    assert run.stderr.count("address already in use") == run.stderr.count("Error") == 1
    places, _ = run.stderr.splitlines()  # nothing has started or stopped
    assert places.endswith(f"config: {tmp_path}/relay.toml; store: {tmp_path}/relay.db")


def test_health_asks_the_running_service(tmp_path: Path) -> None:
    with running(tmp_path, LOG) as service:
        service.environ = {"http_proxy": "http://127.0.0.1:1"}  # must be ignored
        assert service.run("health").stdout == "ok\n"
    run = service.run("health")
    assert run.returncode == 1
    assert f"no response from http://127.0.0.1:{service.port}/healthz" in run.stderr


def test_a_second_service_on_one_store_does_not_start(tmp_path: Path) -> None:
    with running(tmp_path, LOG) as service:
        run = service.run("serve")
        assert run.returncode == 1
        assert "is in use by another `relay serve`" in run.stderr
        assert "Traceback" not in run.stderr
