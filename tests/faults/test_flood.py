"""A flood at one hook: it fills the share of its team, and nothing of the others."""

import asyncio
import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from relay.store import store_at
from tests.faults.attacks import Penpot
from tests.faults.stage import comment, entries
from tests.service import JSON, Service, wait_until

SECRET = "the-secret-that-an-attacker-knows"
CHANNEL = (
    '[[teams.acme.channels]]\nname = "log"\ntype = "stdout"\nevents = ["*"]\nactivity = "each"\n'
)
MAX_DISK = 4_000_000  # bytes


def evil(*channels: str) -> str:
    """The config of the flooded team, with the ``events`` of each of its channels."""
    table = f'[teams.evil]\nsecret = "{SECRET}"\nmax_disk = {MAX_DISK}\n'
    return table + "".join(
        f'[[teams.evil.channels]]\nname = "log{number}"\ntype = "stdout"\nevents = ["{events}"]\n'
        for number, events in enumerate(channels)
    )


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Callable[[str], Service]]:
    """Starts the service with a part of the config."""
    services: list[Service] = []

    def start(extra: str) -> Service:
        services.append(Service(tmp_path, CHANNEL, extra=extra))
        services[0].start()
        return services[0]

    yield start
    for service in services:
        service.end()


@pytest.mark.timeout(240)
def test_the_messages_of_a_flood_stay_within_the_share(run: Callable[[str], Service]) -> None:
    """Words that are escaped make each message six times as large as its event."""
    service = run(evil(*["*"] * 5))
    hook, words = f"{service.url}/hooks/evil/{SECRET}", "<&*" * 3000
    statuses = []
    with httpx.Client(headers=JSON, timeout=30, trust_env=False) as client:
        while 429 not in statuses and len(statuses) < 100:
            body = comment(len(statuses), words)
            statuses.append(client.post(hook, content=body).status_code)
    wait_until(lambda: all(one.event.state == "fanned-out" for one in entries(service)), 120)

    async def used() -> int:
        store = store_at(service.store)
        await store.open(service=False)
        try:
            return (await store.usage.by_team({}))["evil"]
        finally:
            await store.close()

    assert len(statuses) > 10
    assert asyncio.run(used()) < 1.2 * MAX_DISK


@pytest.mark.timeout(240)
def test_a_flood_is_refused_when_its_teams_share_is_used_up(run: Callable[[str], Service]) -> None:
    service = run(evil("!*"))
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
    assert 20 <= statuses.count(204) <= 45
    metrics = httpx.get(f"{service.admin}/metrics").text
    assert 'relay_requests_total{status="429",team="evil"}' in metrics
    log = service.log.read_text()
    assert log.count("team evil: events are refused, its share of 4 MB is used up") <= 1
    assert log.count("429") < 10 < statuses.count(429) + statuses.count(0)
    wait_until(lambda: "events are refused" in service.log.read_text(), 30)
    expected = statuses.count(204) + 1  # and the notice
    wait_until(lambda: [one.event.team for one in entries(service)].count("evil") == expected, 30)
