"""`relay log`: its lines, filters and documents."""

import asyncio
import json
import re
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from itertools import chain
from pathlib import Path

import pytest

from relay.penpot.samples import sample
from relay.store import store_at
from relay.store.records import DELIVERY_STATES, EVENT_STATES, NewEvent
from relay.store.sqlite import upgrade
from tests.cli.commands import LOG, config_file, document, invoke, stored, validate
from tests.service import Service, relay, running, wait_until

DESIGN = LOG + LOG.replace('"log"', '"design"')
TIME = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\dZ"


@pytest.fixture
def config(tmp_path: Path) -> Path:
    stored(tmp_path)
    return config_file(tmp_path, DESIGN)


def test_a_line_says_what_an_event_was_about(config: Path) -> None:
    run = invoke(config, "log")
    assert run.exit_code == 0
    lines = [re.sub(TIME, "TIME", line) for line in run.stdout.splitlines()]
    assert lines == [
        "acme/design, at TIME: a message is dead: msg_too_long: too long",
        "TIME  #4  acme  new  stored",
        "TIME  #3  acme  queue-stopped  acme/design has stopped  fanned-out (1 delivery)",
        "       4  acme/log  waiting",
        "TIME  #2  acme  create-file  Ada created Landing  fanned-out (1 delivery)",
        "       3  acme/design  waiting",
        "TIME  #1  acme  create-comment  Ada replied\\x1b[2J to #15  fanned-out (2 deliveries)",
        "       1  acme/log  sent",
        "       2  acme/design  dead: msg_too_long: too long",
    ]


@pytest.mark.parametrize(
    ("options", "ids"),
    [
        ("--channel design", [2, 1]),
        ("--channel design --state dead", [1]),
        ("--channel log --state dead", []),
        ("--event comments", [1]),
        ("--event create-*", [2, 1]),
        ("--event create-* --event !comments", [2]),
        ("--event !comments", [4, 3, 2]),
        ("--event queue-stopped", [3]),
        ("--since 150m", [4, 3]),
        ("--since 7d", [4, 3, 2, 1]),
        ("--since 2026-11-30 --limit 1", [4]),
        ("--since 2999-01-01T00:00+02:00", []),
    ],
)
def test_filters(config: Path, options: str, ids: list[int]) -> None:
    events = document(invoke(config, "log", "--json", *options.split()))["events"]
    assert [event["id"] for event in events] == ids
    if "design" in options:
        shown = {one["queue"] for event in events for one in event["deliveries"]}
        assert shown <= {"acme/design"}


def test_wrong_filters_are_errors_with_the_correct_form(config: Path) -> None:
    for options, error in (
        (["--channel", "nope"], "--channel nope is none of: log, design"),
        (["--event", "create-coment"], "--event create-coment matches no event: use a group (com"),
        (["--since", "yesterday"], "'yesterday' must be a duration such as \"30m\""),
    ):
        run = invoke(config, "log", *options)
        assert (run.exit_code, error in run.stderr) == (2, True)
        assert error in document(invoke(config, "log", *options, "--json"), 2)["errors"][0]


def test_the_document_has_the_facts_of_the_lines(config: Path) -> None:
    printed = document(invoke(config, "log", "--json"))
    assert printed["dead"][0]["subject"] == "acme/design"
    assert (printed["stopped"], printed["webhooks"]) == ([], [])
    comment = printed["events"][-1]
    assert comment["about"] == "Ada replied\x1b[2J to #15"
    assert re.fullmatch(r"[\d-]+T[\d:]+Z", comment.pop("received_at"))
    assert [(one["id"], one["state"], one["error"]) for one in comment["deliveries"]] == [
        (1, "sent", ""),
        (2, "dead", "msg_too_long: too long"),
    ]
    assert document(invoke(config, "log", "--state", "held", "--json"))["events"] == []


def test_follow_prints_new_events_and_new_states_until_ctrl_c(tmp_path: Path) -> None:
    stored(tmp_path)
    command = [sys.executable, "-m", "relay", "log", "--follow", "--json", "--config"]
    output = tmp_path / "output"

    def printed() -> list[list[tuple[int, str]]]:
        documents = [json.loads(line) for line in output.read_text().splitlines()]
        for each in documents:
            validate(each)
        return [[(one["id"], one["state"]) for one in each["events"]] for each in documents]

    with output.open("w") as file:
        process = subprocess.Popen([*command, str(config_file(tmp_path, DESIGN))], stdout=file)
    try:
        wait_until(lambda: len(printed()) == 1, 30)
        assert [id_ for id_, _ in printed()[0]] == [1, 2, 3, 4]
        asyncio.run(_change(tmp_path))
        wait_until(lambda: {(5, "stored"), (1, "fanned-out")} <= {*chain(*printed()[1:])}, 30)
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0
    finally:
        process.kill()
        process.wait()
    assert all((4, "stored") not in each for each in printed()[1:])  # it has not changed


async def _change(folder: Path) -> None:
    store = store_at(f"sqlite:///{folder}/relay.db")
    await store.open(service=False)
    await store.accept(
        NewEvent(
            "acme",
            "application/json",
            sample("create-file"),
            b"new",
            "create-file",
            received_at=time.time(),
        )
    )
    await store.resend([2])
    await store.close()


def test_the_log_says_what_each_state_is(tmp_path: Path) -> None:
    described = relay("log", "--help", folder=tmp_path).stdout
    for name in (*EVENT_STATES, *DELIVERY_STATES):
        assert re.search(rf"^    {name} +\w", described, re.MULTILINE), name


def test_the_log_says_what_was_delivered_and_skipped(tmp_path: Path) -> None:
    with running(tmp_path, LOG + LOG.replace("log", "files") + 'events = ["files"]\n') as service:
        for name in ("create-file", "create-project"):
            assert service.post(sample(name)) == 204
        wait_until(lambda: service.run("log", "--state", "stored").stdout == "no such events\n", 30)
        lines = [line for line in service.run("log").stdout.splitlines() if line[0] != " "]
    assert [line.split("acme  ")[1] for line in lines] == [
        "create-project  Someone created the project Brand assets  "
        "fanned-out (1 delivery; skipped: files)",
        "create-file  Someone created the file Pricing page  fanned-out (2 deliveries)",
    ]


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
