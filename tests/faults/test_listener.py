"""The hook's listener under attack: other teams' posts are answered, memory stays bounded."""

import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.faults.attacks import ATTACKS, Attack, Penpot, Target, attacking, everything
from tests.service import JSON, Service, wait_until

HOSTILE_SECRET = "the-secret-that-an-attacker-knows"
MAX_PEAK_BYTES = 128e6
CHANNEL = '[[teams.acme.channels]]\nname = "log"\ntype = "stdout"\nevents = ["*"]\n'
EVIL = f'[teams.evil]\nsecret = "{HOSTILE_SECRET}"\n'


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    service = Service(tmp_path, CHANNEL, extra=EVIL)
    service.command = ["prlimit", "--nofile=256", sys.executable, "-m", "relay"]
    service.start()
    yield service
    service.end()


@pytest.mark.timeout(240)
@pytest.mark.parametrize("attack", [*ATTACKS.values(), everything], ids=lambda item: item.__name__)
def test_posts_are_answered_under_attack(service: Service, attack: Attack, long: bool) -> None:
    target = Target(service.port, f"/hooks/evil/{HOSTILE_SECRET}")
    penpot = Penpot(service.hook)
    with attacking(attack, target):
        penpot.post_for(60 if long else 5)
    assert set(penpot.statuses) == {204}, penpot
    # Penpot waits 4 s; the long run has the machine to itself
    assert max(penpot.seconds) < (1 if long else 4), penpot
    assert service.peak_memory() < MAX_PEAK_BYTES
    print(f"{attack.__name__}: {penpot}, peak {service.peak_memory() / 1e6:.0f} MB")
    wait_until(lambda: _connections(service) < 16, 10)
    with httpx.Client(headers=JSON) as client:
        penpot.post(client)
    assert penpot.statuses[-1] == 204
    assert penpot.seconds[-1] < (0.5 if long else 4)
    log = service.log.read_text()
    assert "Traceback" not in log
    # the listener's refusals share a line, those of a team's bodies have one each
    assert len(log) < (60_000 if long else 20_000)


def _connections(service: Service) -> int:
    """How many the kernel lists as established at the service's port."""
    lines = Path("/proc/net/tcp").read_text().splitlines()[1:]
    local = f":{service.port:04X}"
    return sum(fields[1].endswith(local) and fields[3] == "01" for fields in map(str.split, lines))
