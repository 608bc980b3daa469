"""A message whose send ends the process: it becomes dead, and delays only its own queue."""

import json
import signal
import sys
import time
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.faults.account import numbers_in
from tests.faults.deadly import DELAY_RATIO
from tests.faults.stage import comment, dead, drained
from tests.servers.postgres import Postgres
from tests.service import Service, wait_until

pytestmark = pytest.mark.timeout(300)


def channels(folder: Path) -> str:
    return "".join(
        f'[[teams.acme.channels]]\nname = "{name}"\ntype = "file"\npath = "{folder}/{name}"\n'
        'events = ["*"]\n'
        for name in ("deadly", "other")
    )


def delivered(path: Path) -> list[int]:
    lines = path.read_text().splitlines() if path.exists() else []
    return [number for line in lines for number in numbers_in(json.loads(line)["text"])]


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_a_message_that_ends_the_process_becomes_dead(
    tmp_path: Path, running: ExitStack, kind: str, request: pytest.FixtureRequest
) -> None:
    store = ""
    if kind == "postgresql":
        postgres: Postgres = request.getfixturevalue("postgres")
        store = postgres.fresh()
    relay = Service(tmp_path, channels(tmp_path), store=store)
    relay.command = [sys.executable, "-m", "tests.faults.deadly"]
    running.callback(relay.end)
    held = tmp_path / "deadly.down"
    held.touch()
    relay.start()
    for number, words in enumerate(["", "DEADLY", ""], 1):
        assert relay.post(comment(number, words)) == 204
    wait_until(lambda: delivered(tmp_path / "other") == [1, 2, 3], 60)
    lived, begun = [], time.monotonic()
    held.unlink()
    for deaths in range(1, 6):
        assert relay.process is not None
        assert relay.process.wait(60) == -signal.SIGKILL
        lived.append(time.monotonic() - begun)
        begun = time.monotonic()
        relay.begin()
        if deaths == 4:  # while the message waits
            wait_until(relay.is_ready, 30)
            assert relay.post(comment(4)) == 204
            wait_until(lambda: delivered(tmp_path / "other") == [1, 2, 3, 4], 60)
    wait_until(relay.is_ready, 30)
    drained(relay, within=60)
    assert dead(relay) == {
        "deadly": {2: "interrupted: the process ended during 5 attempts in a row"}
    }
    assert delivered(tmp_path / "deadly") == [1, 3, 4]
    assert lived[3] > 8 * DELAY_RATIO
    assert lived[4] > 32 * DELAY_RATIO
