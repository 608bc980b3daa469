"""Several replicas on one PostgreSQL: each event is sent once, in order, despite a kill."""

import json
import re
import time
import uuid
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from relay.penpot.samples import SAMPLES
from tests.servers.channels import slack_channel
from tests.servers.fixtures import RunningSlack
from tests.servers.postgres import Postgres
from tests.service import JSON, Service, wait_until


def comment(number: int) -> bytes:
    body = json.loads(json.dumps(SAMPLES["create-comment"]))
    body["props"]["id"] = str(uuid.UUID(int=number))
    body["props"]["content"] = f"number {number:03}."
    return json.dumps(body).encode()


def numbers(slack: RunningSlack) -> list[int]:
    text = json.dumps([message["blocks"] for message in slack.slack.messages])
    return [int(digits) for digits in re.findall(r"number (\d+)", text)]


def replica(
    folder: Path, url: str, slack: RunningSlack, role: str = "all", pace: int = 3000
) -> Service:
    folder.mkdir()
    channel = slack_channel(slack.api_url, pace=pace, digest_after=0)
    service = Service(folder, channel, store=url)
    service.environ["RELAY_ROLE"] = role
    service.start()
    return service


@pytest.mark.parametrize("way", ["direct", "pooled"])
def test_replicas_send_each_event_once_in_order_despite_a_kill(
    tmp_path: Path,
    postgres: Postgres,
    slack_server: RunningSlack,
    way: str,
    request: pytest.FixtureRequest,
) -> None:
    """Also behind a pooler in transaction mode."""
    url = postgres.fresh()
    if way == "pooled":
        url = request.getfixturevalue("transaction_pooler")(url)
    one = replica(tmp_path / "one", url, slack_server)
    other = replica(tmp_path / "other", url, slack_server)
    try:
        with httpx.Client(headers=JSON) as penpot:
            for number in range(100):
                hook = (one, other)[number % 2].hook
                assert penpot.post(hook, content=comment(number)).status_code == 204
        wait_until(lambda: len(numbers(slack_server)) >= 10, 30)
        one.kill()
        killed = time.monotonic()
        seen = len(set(numbers(slack_server)))
        assert seen < 100
        wait_until(lambda: len(set(numbers(slack_server))) > seen + 5, 12)
        assert time.monotonic() - killed < 11
        with httpx.Client(headers=JSON) as penpot:
            for number in range(100, 120):
                assert penpot.post(other.hook, content=comment(number)).status_code == 204
        wait_until(lambda: len(set(numbers(slack_server))) == 120, 20)
        log = other.run("log", "--limit", "200")
        assert "waiting" not in log.stdout
    finally:
        other.stop()

    received = numbers(slack_server)
    duplicates = len(received) - len(set(received))
    assert duplicates <= 1  # what was on its way when its replica was killed
    assert list(dict.fromkeys(received)) == list(range(120))


def test_intake_and_delivery_run_in_separate_processes(
    tmp_path: Path, postgres: Postgres, slack_server: RunningSlack
) -> None:
    url = postgres.fresh()
    with ExitStack() as running:

        def start(name: str, role: str) -> Service:
            service = replica(tmp_path / name, url, slack_server, role)
            running.callback(service.stop)
            return service

        intake = start("intake", "intake")
        for number in range(10):
            assert intake.post(comment(number)) == 204
        assert numbers(slack_server) == []  # nobody delivers yet
        delivering = [start("one", "deliver"), start("other", "deliver")]
        wait_until(lambda: len(numbers(slack_server)) == 10, 30)
        delays = []
        for number in range(10, 20):
            posted = time.monotonic()
            assert intake.post(comment(number)) == 204
            wait_until(lambda number=number: len(numbers(slack_server)) == number + 1, 30)
            delays.append(time.monotonic() - posted)
        assert sorted(delays)[5] < 1  # by notification of the database, not by polling
        assert numbers(slack_server) == list(range(20))

        for service in delivering:
            for method in ("HEAD", "POST"):
                answer = httpx.request(method, service.hook, content=comment(99), headers=JSON)
                assert answer.status_code == 503
            assert httpx.post(f"{service.hook}x", content=comment(99)).status_code == 404
            assert httpx.get(f"{service.url}/healthz").status_code == 200
        sent = [httpx.get(f"{service.admin}/metrics").text for service in delivering]
        assert any('relay_deliveries_sent_total{queue="acme/slack"}' in text for text in sent)
        assert "relay_deliveries_sent_total{" not in httpx.get(f"{intake.admin}/metrics").text
