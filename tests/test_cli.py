"""The commands of the command line, run as subprocesses."""

import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from relay.penpot.catalogue import CATALOGUE
from relay.penpot.samples import sample
from relay.store.records import DELIVERY_STATES, EVENT_STATES
from relay.store.sqlite import upgrade
from tests.servers.fixtures import RunningSlack
from tests.servers.slack import TOKEN
from tests.servers.smtp import MailServer
from tests.service import SECRET, Service, free_port, relay, running, wait_until

PAYLOADS = Path(__file__).parent / "penpot" / "payloads"
LOG = '[[teams.acme.channels]]\nname = "log"\ntype = "stdout"\n'


def slack_channel(server: RunningSlack, name: str, room: str) -> str:
    return (
        f'[[teams.acme.channels]]\nname = "{name}"\ntype = "slack"\ntoken = {{ env = "SLACK" }}\n'
        f'channel = "{room}"\napi_url = "{server.api_url}"\n'
    )


def test_check_prints_hooks_channels_and_events(tmp_path: Path) -> None:
    service = Service(tmp_path, LOG + 'events = ["comments", "!create-comment"]\nfiles = ["!a"]\n')
    run = service.run("check")
    assert (run.returncode, run.stderr) == (0, "")
    assert [line for line in run.stdout.splitlines() if line[:4] != "note"] == [
        f"ok    inspector: {service.admin}/inspector, without a login, for browsers on this "
        "machine",
        f"ok    acme: hook http://localhost:{service.port}/hooks/acme/{SECRET}",
        "ok    acme/log: stdout, events: comments, !create-comment; files: !a; activity: daily; "
        "language: en",
    ]
    assert "teams.acme.secret is in the config file as plain text" in run.stdout
    assert "note  config: teams.acme.channels.log: files need penpot.access_token" in run.stdout


def test_check_prints_the_hooks_of_both_secrets(tmp_path: Path) -> None:
    service = Service(tmp_path, LOG)
    new = "the-new-secret-of-the-team"
    text = service.config.read_text()
    service.config.write_text(text.replace(f'"{SECRET}"', f'["{new}", "{SECRET}"]'))
    base = f"http://localhost:{service.port}/hooks/acme"
    lines = service.run("check").stdout.splitlines()
    assert [line for line in lines if "hook" in line and line[:2] == "ok"] == [
        f"ok    acme: hook {base}/{new}",
        f"ok    acme: old hook, accepted too: {base}/{SECRET}",
    ]


def test_check_prints_every_problem_and_exits_with_1(tmp_path: Path) -> None:
    run = Service(tmp_path, LOG + 'pace = 0\nevents = ["x"]\n').run("check")
    assert (run.returncode, run.stderr) == (1, "")
    problems = run.stdout.splitlines()
    assert len(problems) == 2
    assert all(line.startswith("FAIL  ") for line in problems)
    assert "teams.acme.channels.log.pace = 0: must be greater than 0" in run.stdout
    assert "teams.acme.channels.log.events" in run.stdout


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


def test_a_stopped_queue_is_reported(tmp_path: Path) -> None:
    service = Service(
        tmp_path,
        """
[[teams.acme.channels]]
name = "design"
type = "slack"
token = "x"
channel = "#a"
api_url = "http://127.0.0.1:1"
""",
    )
    with closing(sqlite3.connect(tmp_path / "relay.db")) as connection:
        upgrade(connection, "relay.db")
        why = "not_in_channel: invite it"
        connection.execute("INSERT INTO key_values VALUES ('queue/acme/design', ?, 0)", (why,))
        connection.commit()

    log = service.run("log")

    assert log.stdout.startswith(f"acme/design stopped at 1970-01-01 00:00:00Z: {why}\n")
    assert f"FAIL  acme/design: the queue is stopped: {why}" in service.run("doctor").stdout


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


def test_check_prints_template_problems_with_file_and_line(tmp_path: Path) -> None:
    folder = tmp_path / "own"
    folder.mkdir()
    (folder / "create-comment.md.j2").write_text("{% block title %}\n{{ autor }}{% endblock %}")
    (folder / "create-coment.md.j2").write_text("hello")
    service = Service(tmp_path, LOG, extra=f'[templates]\npath = "{folder}"')
    run = service.run("check")
    assert run.returncode == 1
    assert "create-comment.md.j2:2: 'autor' is undefined" in run.stdout
    assert "create-coment.md.j2" in run.stdout
    assert "create-comment" in run.stdout


def test_check_notes_templates_without_the_blocks_that_came_later(tmp_path: Path) -> None:
    folder = tmp_path / "own"
    (folder / "acme").mkdir(parents=True)
    older = "<!-- title -->\n{% block title %}{% endblock %}\n\n<!-- notice -->\nx\n\n"
    texts = {
        "base.md.j2": older + "<!-- body -->\n{% block body %}{{ self.title() }}{% endblock %}",
        "create-file.md.j2": '{% extends "base.md.j2" %}{% block title %}A file{% endblock %}',
        "_parts.md.j2": "{% macro x() %}{% endmacro %}",
        "acme/create-project.md.j2": "A project",
        "acme/event.md.j2": '{% include "create-file.md.j2" %}',
    }
    for name, text in texts.items():
        (folder / name).write_text(text)
    run = Service(tmp_path, LOG, extra=f'[templates]\npath = "{folder}"').run("check")
    assert run.returncode == 0
    notes = [line for line in run.stdout.splitlines() if "has no block" in line]
    assert [line.partition("own/")[2] for line in notes] == [
        "acme/create-project.md.j2: has no block notice, subject, digest: its messages use the "
        "title instead",
        "base.md.j2: has no block subject, digest: its messages use the title instead",
    ]


def test_the_environment_alone_is_enough(tmp_path: Path) -> None:
    run = relay("check", folder=tmp_path, RELAY_SECRET=SECRET, RELAY_STDOUT="1")
    assert run.returncode == 0
    assert f"/hooks/default/{SECRET}" in run.stdout


ENVIRONMENT = {"RELAY_SECRET": SECRET, "RELAY_STDOUT": "1"}


def test_without_a_file_texts_name_variables_instead_of_keys(tmp_path: Path) -> None:
    environ = ENVIRONMENT | {"RELAY_ADMIN_HOST": "0.0.0.0", "RELAY_PENPOT_URL": "http://[::1]:1"}
    checked = relay("check", folder=tmp_path, **environ)
    assert checked.stdout.startswith(
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


def test_doctor_finds_no_problem_where_only_the_quick_start_was_followed(tmp_path: Path) -> None:
    """Also where Penpot's public server can't be reached."""
    run = relay("doctor", folder=tmp_path, **ENVIRONMENT)
    assert (run.returncode, run.stderr) == (0, "")
    assert "FAIL" not in run.stdout


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


def test_ctrl_c_ends_the_service_without_an_error(tmp_path: Path) -> None:
    with running(tmp_path, LOG) as service:
        assert service.process is not None
        service.process.send_signal(signal.SIGINT)
        assert service.process.wait(20) == 0
    output = service.log.read_text()
    assert "stopping" in output
    for word in ("Aborted", "Traceback", "KeyboardInterrupt"):
        assert word not in output


def test_events_lists_the_catalogue(tmp_path: Path) -> None:
    run = relay("events", folder=tmp_path)
    for name in CATALOGUE:
        assert name in run.stdout
    assert " -= rename-file " in run.stdout


def test_events_suggests_a_name(tmp_path: Path) -> None:
    run = relay("events", "create-coment", folder=tmp_path)
    assert run.returncode == 1
    assert "did you mean create-comment?" in run.stderr


def test_send_posts_a_test_message_and_prints_the_result(
    tmp_path: Path, slack_server: RunningSlack, mail_server: Callable[..., MailServer]
) -> None:
    mail = mail_server()
    service = Service(
        tmp_path,
        slack_channel(slack_server, "design", "C0DESIGN0")
        + slack_channel(slack_server, "general", "C0GENERAL")
        + '[[teams.acme.channels]]\nname = "mail"\ntype = "email"\nto = ["d@example.com"]\n'
        f'sender = "p@example.com"\nsmtp = {{ host = "127.0.0.1", port = {mail.port}, '
        'tls = "none" }\n',
    )
    text = service.config.read_text()
    service.config.write_text(text.replace("[teams.acme]", '[teams.acme]\nname = "Acme *Design*"'))
    service.environ = {"SLACK": TOKEN}
    run = service.run("send", "acme")
    assert run.returncode == 1
    block = slack_server.slack.messages[0]["blocks"][0]["elements"][0]
    words = "".join(part["text"] for part in block["elements"])
    assert "about the Penpot team Acme *Design* will look like this" in words
    assert "acme/design: sent (" in run.stdout
    assert "acme/mail: sent (<" in run.stdout
    assert "acme/general: not sent: not_in_channel" in run.stdout
    assert run.stderr == ""
    assert service.run("send", "--channel", "mail").returncode == 0  # the only team
    assert service.run("send", "--channel", "email").stdout.startswith("acme/mail: sent (<")
    assert len(mail.mails) == 3
    assert mail.mails[0].parsed()["subject"] == "[Acme *Design*] A test from Relay"
    assert len(slack_server.slack.messages) == 1
    assert "none of: acme" in service.run("send", "nobody").stderr
    assert (
        "has no channel nope, by name or type; it has: design"
        in service.run("send", "acme", "--channel", "nope").stderr
    )


def test_doctor_prints_problems_and_fixes(tmp_path: Path, slack_server: RunningSlack) -> None:
    service = Service(
        tmp_path,
        slack_channel(slack_server, "design", "#design")
        + slack_channel(slack_server, "general", "#general"),
    )
    service.environ = {"SLACK": TOKEN}
    run = service.run("doctor")
    assert run.returncode == 1
    assert "FAIL  acme/general: The bot is not in #general: invite it with /invite @" in run.stdout
    assert "ok    acme/design: " in run.stdout
    assert "note  store: there is no store at" in run.stdout
    assert "note  config: teams.acme.secret is in the config file as plain text" in run.stdout
    words = "FAIL  penpot: the host name of http://penpot.example can't be resolved: set penpot.url"
    assert words in run.stdout
    assert slack_server.slack.messages == []
    assert TOKEN not in run.stdout + run.stderr


def test_resend_sends_a_dead_letter_again(tmp_path: Path, slack_server: RunningSlack) -> None:
    with running(
        tmp_path,
        slack_channel(slack_server, "design", "C0DESIGN0") + LOG,
        environ={"SLACK": TOKEN},
    ) as service:
        slack_server.slack.next.extend(["msg_too_long"] * 4)  # with and without blocks, twice
        assert service.post((PAYLOADS / "create-file" / "frontend.json").read_bytes()) == 204
        wait_until(lambda: "msg_too_long" in service.run("log", "--state", "dead").stdout, 30)
        lines = service.run("log").stdout.splitlines()
        line = next(line for line in lines if "acme/design  dead" in line)
        assert "msg_too_long" in line
        run = service.run("resend", line.split()[0])
        assert run.stdout == "1 queued again\n"
        wait_until(lambda: "acme/design  dead" in service.run("log").stdout, 30)
        assert service.run("resend", "--dead").stdout == "1 queued again\n"
        wait_until(lambda: len(slack_server.slack.messages) == 1, 30)
        assert "no such delivery: 99" in service.run("resend", "99").stderr
        assert service.run("resend").returncode == 2
        assert "is not in the range" in service.run("resend", "9" * 20).stderr
        assert "--team nobody is none of: acme" in service.run("log", "--team", "nobody").stderr
        for state in ("unreadable", "skipped"):
            assert service.run("log", "--state", state).stdout.endswith("no such events\n")
        assert (tmp_path / "relay.db").stat().st_mode & 0o777 == 0o600
        service.environ.clear()
        for command in (["log"], ["resend", "1"], ["health"]):
            assert service.run(*command).returncode == 0
        assert "variable SLACK is not set" in service.run("check").stdout


def test_commands_that_read_the_store_do_not_create_it(tmp_path: Path) -> None:
    service = Service(tmp_path, LOG)
    for command in ("log", "doctor"):
        assert "there is no store at" in "".join(
            service.run(command).stdout + service.run(command).stderr
        )
    assert not (tmp_path / "relay.db").exists()


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


def test_the_log_says_what_each_state_is(tmp_path: Path) -> None:
    described = relay("log", "--help", folder=tmp_path).stdout
    for name in (*EVENT_STATES, *DELIVERY_STATES):
        assert re.search(rf"^    {name} +\w", described, re.MULTILINE), name
    with running(tmp_path, LOG + LOG.replace("log", "files") + 'events = ["files"]\n') as service:
        for name in ("create-file", "create-project"):
            assert service.post(sample(name)) == 204
        wait_until(lambda: service.run("log", "--state", "stored").stdout == "no such events\n", 30)
        lines = [line for line in service.run("log").stdout.splitlines() if line[0] != " "]
    assert [line.split("acme  ")[1] for line in lines] == [
        "create-project  fanned-out (1 delivery; skipped: files)",
        "create-file  fanned-out (2 deliveries)",
    ]


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
    assert len(run.stderr.splitlines()) == 1  # nothing has started or stopped


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


def test_the_version_is_printed(tmp_path: Path) -> None:
    assert relay("--version", folder=tmp_path).stdout.startswith("relay, version 0.")
