"""`relay resend` and `relay dismiss`."""

import json
from pathlib import Path

import pytest

from tests.cli.commands import LOG, config_file, document, invoke, slack_channel, stored
from tests.servers.fixtures import RunningSlack
from tests.servers.slack import TOKEN
from tests.service import running, wait_until

PAYLOADS = Path(__file__).parents[1] / "penpot" / "payloads"


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


DESIGN = LOG + LOG.replace('"log"', '"design"')


@pytest.fixture
def config(tmp_path: Path) -> Path:
    stored(tmp_path)
    return config_file(tmp_path, DESIGN)


def test_documents_have_the_ids(config: Path) -> None:
    printed = document(invoke(config, "resend", "2", "99", "--json"), 1)
    assert (printed["queued"], printed["errors"]) == ([2], ["no such delivery: 99"])
    assert document(invoke(config, "resend", "--dead", "--json"))["queued"] == []
    printed = document(invoke(config, "dismiss", "2", "--json"), 1)
    assert (printed["dismissed"], printed["errors"][0][:22]) == ([], "no such dead letter th")
    error = document(invoke(config, "resend", "2", "--team", "acme", "--json"), 2)["errors"][0]
    assert "use --dead" in error


@pytest.mark.parametrize(("command", "verb"), [("resend", "Send"), ("dismiss", "Dismiss")])
def test_all_dead_letters_are_chosen_by_channel_and_confirmed_in_a_terminal(
    config: Path, monkeypatch: pytest.MonkeyPatch, command: str, verb: str
) -> None:
    done = "queued again" if command == "resend" else "dismissed"
    assert invoke(config, command, "--dead", "--channel", "log").stdout == f"0 {done}\n"
    wrong = invoke(config, command, "--dead", "--team", "nobody")
    assert "--team nobody is none of: acme" in wrong.stderr
    monkeypatch.setattr("relay.cli.deliveries.is_terminal", lambda: True)
    declined = invoke(config, command, "--dead", input="n\n")
    assert declined.exit_code == 1
    assert f"{verb} 1 dead letter (acme/design: 1)? [y/N]: n" in declined.output
    printed = invoke(config, command, "--dead", "--json", input="n\n")
    assert json.loads(printed.stdout)["errors"] == ["aborted"]
    assert invoke(config, command, "--dead", "--yes").output == f"1 {done}\n"
    assert invoke(config, command, "--dead", "--team", "acme").output == f"0 {done}\n"


def test_an_old_event_is_sent_to_a_new_channel(config: Path) -> None:
    printed = document(invoke(config, "resend", "--event", "2", "--channel", "log", "--json"))
    assert printed["queued"] == [5]
    assert "       5  acme/log  waiting" in invoke(config, "log").stdout
    for arguments, status, error in (
        (["--event", "2", "--channel", "log"], 1, "which `relay resend` sends again: 5"),
        (["--event", "99", "--channel", "log"], 1, "no such event: 99"),
        (["--event", "1", "--channel", "nope"], 2, "--channel nope is none of: log, design"),
        (["--event", "1"], 2, "--event needs --channel"),
        (["--event", "1", "--channel", "log", "--dead"], 2, "--event needs --channel"),
    ):
        run = invoke(config, "resend", *arguments)
        assert (run.exit_code, error in run.stderr) == (status, True), arguments
