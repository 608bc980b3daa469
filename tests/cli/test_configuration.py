"""`relay check` and `relay doctor`."""

import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from relay.cli import main
from tests.cli.commands import (
    ENVIRONMENT,
    LOG,
    config_file,
    document,
    invoke,
    slack_channel,
)
from tests.servers.fixtures import RunningSlack
from tests.servers.slack import TOKEN
from tests.service import SECRET, Service, relay


def test_check_prints_hooks_channels_and_events(tmp_path: Path) -> None:
    service = Service(tmp_path, LOG + 'events = ["comments", "!create-comment"]\nfiles = ["!a"]\n')
    run = service.run("check")
    assert (run.returncode, run.stderr) == (0, "")
    assert [line for line in run.stdout.splitlines() if line[:4] != "note"] == [
        f"ok    config: {tmp_path}/relay.toml",
        f"ok    store: {tmp_path}/relay.db",
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
    assert [line for line in lines if " acme: " in line and line[:2] == "ok"] == [
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


def test_doctor_finds_no_problem_where_only_the_quick_start_was_followed(tmp_path: Path) -> None:
    """Also where Penpot's public server can't be reached."""
    run = relay("doctor", folder=tmp_path, **ENVIRONMENT)
    assert (run.returncode, run.stderr) == (0, "")
    assert "FAIL" not in run.stdout


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


def test_documents_have_all_findings_without_secrets(tmp_path: Path) -> None:
    old = '["the-new-secret-of-the-team", "'
    config = config_file(tmp_path, LOG)
    config.write_text(config.read_text().replace('secret = "', f"secret = {old}", 1))
    config.write_text(config.read_text().replace(f'{SECRET}"', f'{SECRET}"]', 1))
    lines = [
        "  ".join([{"FAIL": "fail"}.get(line[:4], line[:4]).strip(), line[6:]])
        for line in invoke(config, "check").stdout.splitlines()[2:]
    ]
    printed = document(invoke(config, "check", "--json"))
    assert "the-new-secret" not in str(printed)
    shown = [f"{one['status']}  {one['subject']}: {one['text']}" for one in printed["findings"]]
    secrets = re.compile(f"{SECRET}|the-new-secret-of-the-team")
    assert shown == [secrets.sub("***", line) for line in lines]
    assert len([line for line in shown if "***" in line]) == 2
    assert (printed["config"], printed["store"]) == (str(config), f"{tmp_path}/relay.db")


def test_a_document_of_doctor_has_its_problems(tmp_path: Path) -> None:
    config = config_file(tmp_path, LOG, '[penpot]\nurl = "http://127.0.0.1:1"')
    printed = document(invoke(config, "doctor", "--json"), 1)
    problems = [one for one in printed["findings"] if one["status"] == "fail"]
    assert [one["subject"] for one in problems] == ["penpot"]
    assert {"store", "templates", "acme/log"} <= {one["subject"] for one in printed["findings"]}
    refused = document(invoke(config, "doctor", "--json", "--fix"), 2)["errors"]
    assert refused == ["--fix asks questions: use it without --json"]


def test_without_a_file_a_document_has_no_config(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    run = CliRunner(env=ENVIRONMENT).invoke(main, ["check", "--json"])
    assert document(run)["config"] is None
