"""Faults of Penpot's API: a message waits two seconds for names, and is sent without them."""

import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.faults.account import Ledger, Line
from tests.faults.places import Places
from tests.faults.stage import Load, account, drained, service
from tests.penpot.standin import TOKEN, Fault, StandIn
from tests.service import wait_until

pytestmark = pytest.mark.timeout(300)
Report = Callable[[str, list[Line]], None]
FAULTS = {
    "hangs": Fault(hang=True),
    "cuts": Fault(cut=True),
    "fails": Fault(status=500),
    "garbles": Fault(garbage=b"\x00\x01 no protocol at all\r\n\r\n"),
}


LONG = pytest.mark.long


@pytest.mark.parametrize(
    "what", ["hangs", *(pytest.param(what, marks=LONG) for what in ("cuts", "fails", "garbles"))]
)
def test_messages_are_sent_without_names_if_penpot_fails(
    tmp_path: Path, places: Places, running: ExitStack, report: Report, what: str
) -> None:
    penpot = running.enter_context(StandIn())
    penpot.faults["*"] = FAULTS[what]
    channels = [places.make(kind, kind) for kind in ("slack", "matrix", "email")]
    table = f'url = "{penpot.url}"\naccess_token = "{TOKEN}"'
    relay = service(tmp_path / "relay", channels, penpot=table)
    running.callback(relay.end)
    relay.start()
    ledger = Ledger()
    begun = time.monotonic()
    with Load([relay.hook], ledger, senders=2, most=10):
        wait_until(lambda: all(place.posts() for place in channels), 60)
        assert time.monotonic() - begun < 8
        drained(relay, within=120)
    assert time.monotonic() - begun < 25  # not two seconds for each message
    assert penpot.calls
    penpot.faults.clear()
    with Load([relay.hook], ledger, first=2, most=5) as load:
        load.join()
    drained(relay, within=120)
    report(f"Penpot {what}", account(relay, ledger, channels))
