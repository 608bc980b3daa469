"""A template that exceeds its limits loses no message and delays no response."""

import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from tests.faults.account import Ledger, Line
from tests.faults.places import Places
from tests.faults.stage import Load, account, drained, service
from tests.service import wait_until

pytestmark = pytest.mark.timeout(300)
Report = Callable[[str, list[Line]], None]
GREEDY = {
    "loops": "{% for a in range(9999) %}{% for b in range(9999) %}{% endfor %}{% endfor %}",
    "computes": "{{ 10 ** (10 ** 8) }}",
    "eats memory": '{{ "x" * 10 ** 9 }}',
    "talks without end": '{% for a in range(99999) %}{{ "word " * 100 }}{% endfor %}',
}
LONG = pytest.mark.long


@pytest.mark.parametrize(
    "what",
    [
        "loops",
        pytest.param("computes", marks=LONG),
        "eats memory",
        pytest.param("talks without end", marks=LONG),
    ],
)
def test_a_greedy_template_falls_back_to_the_built_in_one(
    tmp_path: Path, places: Places, running: ExitStack, report: Report, what: str
) -> None:
    folder = tmp_path / "templates"
    folder.mkdir()
    mine = folder / "create-comment.md.j2"
    mine.write_text(f"{{% block title %}}Mine{GREEDY[what]}{{% endblock %}}")
    channels = places.of_each_kind()
    relay = service(tmp_path / "relay", channels, extra=f'[templates]\npath = "{folder}"\n')
    running.callback(relay.end)
    relay.start()
    ledger = Ledger()
    slowest = 0.0
    with Load([relay.hook], ledger, senders=2, most=15) as load:
        for _ in range(30):
            begun = time.monotonic()
            assert httpx.get(f"{relay.url}/healthz", timeout=5).status_code == 200
            slowest = max(slowest, time.monotonic() - begun)
        load.join()
    assert len(ledger.acknowledged) == 30
    assert slowest < 3
    wait_until(lambda: "create-comment.md.j2" in relay.log.read_text(), 60)
    mine.unlink()
    drained(relay, within=120)
    report(f"a template that {what}", account(relay, ledger, channels))
