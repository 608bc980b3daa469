"""A flood at one hook: it fills the share of its team, and nothing of the others."""

import json
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.faults.attacks import Penpot
from tests.faults.stage import entries
from tests.service import JSON, Service, wait_until

SECRET = "the-secret-that-an-attacker-knows"
CHANNEL = '[[teams.acme.channels]]\nname = "log"\ntype = "stdout"\nevents = ["*"]\n'
EVIL = (
    f'[teams.evil]\nsecret = "{SECRET}"\nmax_disk = "4MB"\n'
    '[[teams.evil.channels]]\nname = "log"\ntype = "stdout"\nevents = ["!*"]\n'
)


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    service = Service(tmp_path, CHANNEL, extra=EVIL)
    service.start()
    yield service
    service.end()


@pytest.mark.timeout(240)
def test_a_flood_is_refused_when_its_teams_share_is_used_up(service: Service) -> None:
    hook, statuses = f"{service.url}/hooks/evil/{SECRET}", []
    stop = threading.Event()

    def flood() -> None:
        with httpx.Client(headers=JSON, timeout=30, trust_env=False) as client:
            for number in range(10_000):
                if stop.is_set():
                    return
                values = {"name": f"{number}", "x": "y" * 100_000}
                body = json.dumps({"name": "create-project", "props": values}).encode()
                try:
                    statuses.append(client.post(hook, content=body).status_code)
                except httpx.HTTPError:  # closed while the refused body is sent
                    statuses.append(0)

    penpot = Penpot(service.hook)
    thread = threading.Thread(target=flood)
    thread.start()
    try:
        wait_until(lambda: 429 in statuses, 60)
        penpot.post_for(5)
    finally:
        stop.set()
        thread.join()
    assert set(penpot.statuses) == {204}, penpot
    assert set(statuses) <= {204, 429, 0}
    assert 30 <= statuses.count(204) <= 45
    metrics = httpx.get(f"{service.admin}/metrics").text
    assert 'relay_requests_total{status="429",team="evil"}' in metrics
    log = service.log.read_text()
    assert log.count("team evil: events are refused, its share of 4 MB is used up") <= 1
    assert log.count("429") < 10 < statuses.count(429) + statuses.count(0)
    wait_until(lambda: "events are refused" in service.log.read_text(), 30)
    expected = statuses.count(204) + 1  # and the notice
    wait_until(lambda: [one.event.team for one in entries(service)].count("evil") == expected, 30)
