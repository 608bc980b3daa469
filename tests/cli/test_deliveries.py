"""`relay log` and `relay resend`."""

import re
import sqlite3
from contextlib import closing
from pathlib import Path

from relay.penpot.samples import sample
from relay.store.records import DELIVERY_STATES, EVENT_STATES
from relay.store.sqlite import upgrade
from tests.cli.commands import LOG, slack_channel
from tests.servers.fixtures import RunningSlack
from tests.servers.slack import TOKEN
from tests.service import Service, relay, running, wait_until

PAYLOADS = Path(__file__).parents[1] / "penpot" / "payloads"


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
