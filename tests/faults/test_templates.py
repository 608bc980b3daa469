"""A template that exceeds its limits loses no message and delays no response; one that stays below
them delays no other team."""

import os
import re
import statistics
import subprocess
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from relay.messages import budget, rendering
from tests.faults.account import Ledger, Line
from tests.faults.places import Place, Places
from tests.faults.stage import Load, account, comment, drained, service
from tests.messages.user import busy
from tests.service import JSON, wait_until

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


HOSTILE_SECRET = "the-secret-of-the-hostile-team"
MAX_P99 = 1.0
"""Seconds from a post to the message in a channel. A quiet machine has 0.1."""
MAX_SHARED_P99 = 4.0
"""Seconds on a machine that runs other tests. With one team at a time they are 5.2."""
MAX_P99_RATIO = 5
"""On a busy machine: of the same figure without the attack."""


def write_hostile(folder: Path) -> None:
    """Templates that stay below every limit, and give almost as much as is accepted."""
    folder.mkdir()
    loops = busy(0.15)
    links = "{% for i in range(900) %}[a](http://b.example/{{ i }}) {% endfor %}"
    brackets = "{% for i in range(2000) %}![{% endfor %}"
    body = f"{{{{ comment.text | quote }}}}\n> > > {links}\n\n{brackets}{loops}"
    assert len(body) < rendering.MAX_MARKDOWN_LENGTH
    (folder / "create-comment.md.j2").write_text(f"<!-- title -->\nHostile\n<!-- body -->\n{body}")
    html = f"{loops}<b>{{{{ comment.text }}}}</b>{{% for i in range(999) %}}<i>a{{% endfor %}}"
    for kind in ("matrix", "email"):
        (folder / f"create-comment.{kind}.html.j2").write_text(html)
    block = '{"type": "section", "text": {"type": "mrkdwn", "text": "{{ comment.text }}"}}'
    (folder / "create-comment.slack.json.j2").write_text(f"[{loops}{', '.join([block] * 10)}]")


def of_team(team: str, places: list[Place]) -> str:
    return "".join(place.toml() for place in places).replace("teams.acme", f"teams.{team}")


def test_templates_below_every_limit_delay_no_other_team(
    tmp_path: Path, places: Places, running: ExitStack, long: bool
) -> None:
    folder = tmp_path / "templates"
    folder.mkdir()
    own = '{% extends "builtin/create-comment.md.j2" %}{% block title %}Mine{% endblock %}'
    (folder / "create-comment.md.j2").write_text(own)
    write_hostile(folder / "hostile")
    hostile = [places.slack("slack"), places.matrix("matrix"), places.mail("mail")]
    channels = [places.slack("ours"), places.mail("mails")]
    table = f'[teams.hostile]\nsecret = "{HOSTILE_SECRET}"\n{of_team("hostile", hostile)}'
    extra = f'[templates]\npath = "{folder}"\n{table}'
    relay = service(tmp_path / "relay", channels, extra=extra)
    running.callback(relay.end)
    relay.start()
    hook = f"{relay.url}/hooks/hostile/{HOSTILE_SECRET}"
    count = 300 if long else 40
    calm = arrivals(relay.hook, channels, range(count))

    stop, text = threading.Event(), f"templates have run for {budget.TEAM_SECONDS:g} s"

    def flood() -> None:
        with httpx.Client(headers=JSON, timeout=30, verify=False) as client:
            number = 0
            while not stop.wait(0.1):
                number += 1
                assert client.post(hook, content=comment(number, "<>*_`&" * 100)).status_code == 204
                for path in (folder / "hostile").iterdir() if number % 10 == 0 else ():
                    os.utime(path)  # ends the quarantine of what a busy machine made too slow

    thread = threading.Thread(target=flood)
    thread.start()
    try:
        seconds = arrivals(relay.hook, channels, range(count, 2 * count))
        wait_until(lambda: text in relay.log.read_text(), 60)
        for place in hostile:
            wait_until(place.count, 60)
    finally:
        stop.set()
        thread.join()
    log = relay.log.read_text()
    assert not re.search("gives (more|JSON|HTML|quotes)", log)
    figures = {
        f"{name} {when}": round(figure(values), 3)
        for when, values in (("without the attack", calm), ("with it", seconds))
        for name, figure in (("median", statistics.median), ("p99", p99), ("max", max))
    }
    print(f"from post to channel: {figures}, peak {peak_megabytes(relay.process):.0f} MB")
    # the long run has the machine to itself
    limit = MAX_P99 if long else MAX_SHARED_P99
    assert p99(seconds) < max(limit, MAX_P99_RATIO * p99(calm)), figures


def peak_megabytes(process: subprocess.Popen[bytes] | None) -> float:
    assert process is not None
    status = Path(f"/proc/{process.pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


def p99(seconds: list[float]) -> float:
    """With fewer than 100 of them, the longest but one: one delay a minute is allowed."""
    return sorted(seconds)[-max(2, len(seconds) // 100 + 1)]


def arrivals(hook: str, channels: list[Place], numbers: range) -> list[float]:
    """Seconds from each post to its message in the last of the channels."""
    seconds = []
    for number in numbers:
        body, started = comment(5_000_000 + number), time.monotonic()
        assert httpx.post(hook, content=body, headers=JSON, timeout=30).status_code == 204
        for place in channels:
            wait_until(lambda place=place, number=number: place.count() > number, 60)
        seconds.append(time.monotonic() - started)
        time.sleep(max(0.0, 0.2 - seconds[-1]))
    return seconds
