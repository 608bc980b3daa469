"""`kill -9` at any moment, under load: all acknowledged events arrive, in order.

Matrix and mail never show duplicates, because of transaction id and Message-ID. Slack has no such
id: each kill duplicates at most the message that was being sent. No message is dead: an interrupted
attempt counts, but kills that come soon after a start do not add up to five in a row.
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
from tests.faults.stage import Load, account, dead, drained, service
from tests.servers.postgres import Postgres
from tests.service import Service, wait_until

pytestmark = pytest.mark.timeout(300)
Report = Callable[[str, list[Line]], None]


KILL_SECONDS = 330.0
"""Seconds for the kills of one test; a slow machine does fewer."""


def kill_repeatedly(relay: Service, most: int, chance: random.Random) -> int:
    """Kill repeatedly, also during starts; the number of kills."""
    end = time.monotonic() + KILL_SECONDS
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
def test_kills_of_a_service_with_sqlite(
    tmp_path: Path, running: ExitStack, places: Places, report: Report, long: bool
) -> None:
    channels = places.of_each_kind()
    relay = service(tmp_path / "relay", channels)
    running.callback(relay.end)
    ledger = Ledger()
    relay.start()
    relay.kill()
    with Load([relay.hook], ledger, senders=3, rate=4 if long else 20):
        kills = kill_repeatedly(relay, 200 if long else 8, random.Random(7))
        time.sleep(0.3)
    drained(relay, within=120)
    assert dead(relay) == {}
    lines = account(relay, ledger, channels, doubles=kills)
    assert len(ledger.acknowledged) > kills * 3
    report(f"{kills} kills", lines)


@pytest.mark.timeout(1200)
def test_kills_of_two_replicas_on_one_database(
    tmp_path: Path,
    running: ExitStack,
    places: Places,
    postgres: Postgres,
    report: Report,
    long: bool,
) -> None:
    """Kill one or both: several times until a lease expires, and again when the queue sends."""
    most, each = (200, 5) if long else (3, 3)
    channels = places.of_each_kind()
    url = postgres.fresh()
    replicas = [service(tmp_path / name, channels, store=url) for name in ("one", "other")]
    for relay in replicas:
        running.callback(relay.end)
        relay.start()
    ledger, chance, kills = Ledger(), random.Random(11), 0
    with Load([relay.hook for relay in replicas], ledger, senders=3, rate=3 if long else 15):
        end = time.monotonic() + KILL_SECONDS
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
    assert dead(replicas[0]) == {}
    lines = account(replicas[0], ledger, channels, doubles=kills)
    assert len(ledger.acknowledged) > kills * 3
    report(f"{kills} kills", lines)


def test_a_graceful_stop_while_sending(
    tmp_path: Path, running: ExitStack, places: Places, report: Report, long: bool
) -> None:
    """Messages being sent are completed and recorded, so that nothing is duplicated; the others
    wait."""
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
    report(f"{ends} ends", account(relay, ledger, channels, doubles=0))


def test_a_kill_at_each_write(
    tmp_path: Path, running: ExitStack, places: Places, report: Report, long: bool
) -> None:
    """At each fsync: of an event, of deliveries, of a digest, of a receipt."""
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
    assert dead(relay) == {}
    report(f"{kills} kills at a write", account(relay, ledger, channels, doubles=kills))
