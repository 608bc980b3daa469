"""The system clock is set back and forward while messages wait."""

import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.faults.account import Ledger, Line
from tests.faults.places import Place, Places
from tests.faults.stage import Load, account, dead, drained, service, waiting
from tests.servers.faulty import Fault
from tests.service import Service, wait_until

pytestmark = pytest.mark.timeout(300)
Report = Callable[[str, list[Line]], None]
DAY = 24 * 3600
KINDS = ("slack", "matrix", "email")


def clocked(folder: Path, channels: list[Place]) -> tuple[Service, Path]:
    """A service, and the file with the offset of its clock."""
    relay = service(folder, channels)
    wrong = folder / "wrong"
    relay.command = [sys.executable, "-m", "tests.faults.clocked", str(wrong)]
    return relay, wrong


LONG = pytest.mark.long


@pytest.mark.parametrize(
    "jump",
    [
        pytest.param(-400 * DAY, marks=LONG),
        -DAY,
        pytest.param(DAY, marks=LONG),
        400 * DAY,
    ],
)
def test_setting_the_clock_neither_delays_nor_expires_waiting_messages(
    tmp_path: Path, places: Places, running: ExitStack, report: Report, jump: int
) -> None:
    channels = [places.make(kind, kind) for kind in KINDS]
    proxies = [places.faulty(place, Fault(refuse=True)) for place in channels]
    relay, wrong = clocked(tmp_path / "relay", channels)
    running.callback(relay.end)
    relay.start()
    ledger = Ledger()
    with Load([relay.hook], ledger, senders=2, most=4) as load:
        load.join()
    wait_until(lambda: relay.log.read_text().count("refuses connections") >= 6, 60)
    wrong.write_text(f"{jump}")
    with Load([relay.hook], ledger, first=2, most=4) as load:
        load.join()
    time.sleep(1)
    assert not dead(relay)
    assert waiting(relay).keys() == {f"acme/{kind}" for kind in KINDS}
    for proxy in proxies:
        proxy.change()
    drained(relay, within=120)
    wrong.write_text("0")
    with Load([relay.hook], ledger, first=3, most=4) as load:
        load.join()
    drained(relay, within=120)
    report(f"set by {jump / DAY:+.0f} days", account(relay, ledger, channels))


def test_a_start_with_a_clock_a_month_ahead_expires_nothing(
    tmp_path: Path, places: Places, running: ExitStack, report: Report
) -> None:
    place = places.make("slack", "slack")
    proxy = places.faulty(place, Fault(refuse=True))
    relay, wrong = clocked(tmp_path / "relay", [place])
    running.callback(relay.end)
    relay.start()
    ledger = Ledger()
    with Load([relay.hook], ledger, most=4) as load:
        load.join()
    relay.stop()
    wrong.write_text(f"{31 * DAY}")
    relay.start()
    time.sleep(1)
    assert not dead(relay)
    wrong.write_text("0")
    proxy.change()
    drained(relay, within=120)
    report("started a month ahead", account(relay, ledger, [place]))
