"""Quiet hours of a service that is killed again and again: nothing early, nothing lost."""

import sys
import time
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import httpx
import pytest

from tests.servers.fixtures import RunningSlack
from tests.servers.postgres import Postgres
from tests.servers.slack import TOKEN
from tests.service import Service, wait_until

HOUR = 3600


def event(number: int) -> bytes:
    return b'{"name": "create-project", "props": {"name": "Project %d"}}' % number


def is_held(service: Service, count: int) -> bool:
    return service.run("log").stdout.count("  held until ") == count


@pytest.mark.parametrize("engine", ["sqlite", "postgresql"])
def test_kills_release_nothing_early_and_lose_nothing(
    tmp_path: Path, slack_server: RunningSlack, engine: str, request: pytest.FixtureRequest
) -> None:
    store = ""
    if engine == "postgresql":
        postgres: Postgres = request.getfixturevalue("postgres")
        store = postgres.fresh()
    now = datetime.now(UTC)
    begin, end = (now + timedelta(hours=hours) for hours in (-1, 3))
    keys = (
        f'name = "design"\ntype = "slack"\ntoken = "{TOKEN}"\nchannel = "C0DESIGN0"\n'
        f'api_url = "{slack_server.api_url}"\nquiet = ["{begin:%H:%M}-{end:%H:%M}"]\n'
    )
    offset = tmp_path / "offset"
    service = Service(tmp_path, f"[[teams.acme.channels]]\n{keys}", store=store)
    service.command = [sys.executable, "-m", "tests.faults.clocked", str(offset)]
    posted = 0
    try:
        for hours in (0, 1, 2):
            offset.write_text(str(hours * HOUR))
            service.start()
            for _ in range(2):
                posted += 1
                assert service.post(event(posted)) == 204
            wait_until(partial(is_held, service, posted), 60)
            assert service.log.read_text().count(" is held until ") == posted
            assert "waiting" not in service.run("log").stdout
            pages = [
                httpx.get(f"{service.admin}/inspector{path}").text
                for path in ("", "?state=held", "/teams/acme", f"/events/{posted}")
            ]
            until = f'<time datetime="{end:%Y-%m-%dT%H:%M}:00'
            assert all(until in page for page in pages)
            assert pages[1].count(f"held until {until}") == posted
            time.sleep(1)
            assert slack_server.slack.messages == []
            service.kill()
        offset.write_text(str(4 * HOUR))
        service.start()
        wait_until(lambda: len(slack_server.slack.messages) > 0, 30)
        wait_until(lambda: "held" not in service.run("log").stdout, 30)
    finally:
        service.end()
    (digest,) = slack_server.slack.messages
    assert all(f"Project {number}" in str(digest) for number in range(1, posted + 1))
    assert service.run("log").stdout.count("  sent") == posted
