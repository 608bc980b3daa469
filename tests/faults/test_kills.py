"""`kill -9` at any moment, under load: all that was acknowledged arrives, in order.

Matrix and mail never double: the transaction id, the Message-ID. Slack, which knows no such id,
doubles at most what was under way, each time.
"""

import random
import shutil
import signal
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.faults.account import Ledger, Line
from tests.faults.places import Places
from tests.faults.stage import Load, account, drained, service
from tests.servers.postgres import Postgres
from tests.service import Service, wait_until

pytestmark = pytest.mark.timeout(300)
Tell = Callable[[str, list[Line]], None]


BUDGET = 330.0
"""Seconds for the kills of one test; a busy machine manages fewer than are asked for."""


def kill_now_and_then(relay: Service, most: int, chance: random.Random) -> int:
    """How many kills there were; some come while it starts."""
    end = time.monotonic() + BUDGET
    kills = 0
    while kills < most and time.monotonic() < end:
        relay.begin()
        if chance.random() < 0.75:
            wait_until(relay.is_ready, 60)
        time.sleep(chance.uniform(0, 0.5))
        relay.kill()
        kills += 1
    relay.start()
    return kills


@pytest.mark.timeout(1200)
def test_kills_of_a_service_with_a_file(
    tmp_path: Path, running: ExitStack, places: Places, tell: Tell, long: bool
) -> None:
    channels = places.of_each_kind()
    relay = service(tmp_path / "relay", channels)
    running.callback(relay.end)
    ledger = Ledger()
    relay.start()
    relay.kill()
    with Load([relay.hook], ledger, senders=3, rate=4 if long else 20):
        kills = kill_now_and_then(relay, 200 if long else 8, random.Random(7))
        time.sleep(0.3)
    drained(relay, within=120)
    lines = account(relay, ledger, channels, doubles=kills)
    assert len(ledger.acknowledged) > kills * 3
    tell(f"{kills} kills", lines)


@pytest.mark.timeout(1200)
def test_kills_of_two_replicas_on_one_database(
    tmp_path: Path,
    running: ExitStack,
    places: Places,
    postgres: Postgres,
    tell: Tell,
    long: bool,
) -> None:
    """One or the other, at times both: several times while a lease runs out and its queue rests,
    and once more when the queue sends again."""
    most, each = (200, 5) if long else (3, 3)
    channels = places.of_each_kind()
    url = postgres.fresh()
    replicas = [service(tmp_path / name, channels, store=url) for name in ("one", "other")]
    for relay in replicas:
        running.callback(relay.end)
        relay.start()
    ledger, chance, kills = Ledger(), random.Random(11), 0
    with Load([relay.hook for relay in replicas], ledger, senders=3, rate=3 if long else 15):
        end = time.monotonic() + BUDGET
        while kills < most and time.monotonic() < end:
            for _ in range(each):
                for relay in chance.sample(replicas, chance.choice([1, 1, 1, 2])):
                    relay.kill()
                    kills += 1
                time.sleep(chance.uniform(0, 0.3))
                for relay in replicas:
                    if relay.process is None or relay.process.poll() is not None:
                        relay.begin()
                time.sleep(chance.uniform(0, 0.9))
            enough = len(channels[0].posts()) + chance.randrange(1, 10)
            wait_until(lambda enough=enough: len(channels[0].posts()) >= enough, 60)
    drained(replicas[0], within=120)
    lines = account(replicas[0], ledger, channels, doubles=kills)
    assert len(ledger.acknowledged) > kills * 3
    tell(f"{kills} kills", lines)


def test_a_service_that_is_told_to_end_while_it_sends(
    tmp_path: Path, running: ExitStack, places: Places, tell: Tell, long: bool
) -> None:
    """What is under way arrives and is noted, so that nothing doubles; the rest waits."""
    ends = 20 if long else 2
    channels = places.of_each_kind()
    relay = service(tmp_path / "relay", channels)
    running.callback(relay.end)
    ledger, chance = Ledger(), random.Random(5)
    relay.start()
    with Load([relay.hook], ledger, senders=3, rate=20):
        for _ in range(ends):
            time.sleep(chance.uniform(0.2, 0.8))
            assert relay.stop() < 12
            assert relay.process is not None
            assert relay.process.returncode in (0, -15)
            relay.start()
    drained(relay, within=120)
    tell(f"{ends} ends", account(relay, ledger, channels, doubles=0))


def test_a_kill_at_each_write(
    tmp_path: Path, running: ExitStack, places: Places, tell: Tell, long: bool
) -> None:
    """In the moment in which the disk is asked to make a change last: of an event, of what it
    became, of a digest, of a receipt."""
    if shutil.which("strace") is None:
        pytest.skip("needs strace")
    channels = places.of_each_kind()
    relay = service(tmp_path / "relay", channels)
    running.callback(relay.end)
    relay.start()
    relay.stop()
    ledger, command, kills = Ledger(), relay.command, 0
    for count in range(1, 41) if long else (5, 12):
        killed = f"inject=fsync,fdatasync:signal=KILL:when={count}"
        trace = ["strace", "-qq", "-f", "-o", "/dev/null", "-e", "trace=fsync,fdatasync"]
        relay.command = [*trace, "-e", killed, *command]
        relay.begin()
        process = relay.process
        assert process is not None
        with Load([relay.hook], ledger, first=count, senders=1):
            process.wait(60)
        assert process.returncode == -signal.SIGKILL
        kills += 1
    relay.command = command
    relay.start()
    drained(relay, within=120)
    tell(f"{kills} kills at a write", account(relay, ledger, channels, doubles=kills))
