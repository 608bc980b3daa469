"""SIGTERM during a send: it finishes, the others wait for the next start."""

import threading
import time
from pathlib import Path

import httpx
import pytest

from tests.servers.loopback import Answer, Request, in_thread
from tests.servers.slack import TOKEN, Slack
from tests.service import Service, running, wait_until

LONGER = 4.0
"""Seconds that the send takes after the signal."""


class SlowSlack:
    """A workspace that accepts messages only after ``open`` is set."""

    def __init__(self) -> None:
        self.slack = Slack()
        self.asked = threading.Event()
        self.open = threading.Event()

    def handle(self, request: Request) -> Answer:
        self.asked.set()
        self.open.wait(30)
        return self.slack.handle(request)

    @property
    def texts(self) -> list[str]:
        return [message["text"] for message in self.slack.messages]


def event(number: int) -> bytes:
    return b'{"name": "create-project", "props": {"name": "Project %d"}}' % number


def is_refused(service: Service) -> bool:
    try:
        httpx.get(f"{service.url}/healthz", timeout=1)
    except httpx.TransportError:
        return True
    return False


@pytest.mark.parametrize("posted", [1, 3])
def test_a_send_in_progress_finishes_and_the_others_wait_for_the_next_start(
    tmp_path: Path, posted: int
) -> None:
    there = SlowSlack()
    with in_thread(there.handle) as server:
        channel = (
            f'[[teams.acme.channels]]\nname = "design"\ntype = "slack"\ntoken = "{TOKEN}"\n'
            f'channel = "C0DESIGN0"\napi_url = "{server.url}/api"\n'
        )
        with running(tmp_path, channel) as service:
            assert [service.post(event(number)) for number in range(posted)] == [204] * posted
            assert there.asked.wait(10)
            opening = threading.Timer(LONGER if posted > 1 else 0.0, there.open.set)
            opening.start()
            assert service.process is not None
            started = time.monotonic()
            service.process.terminate()
            wait_until(lambda: is_refused(service), 5)
            took = time.monotonic() - started + service.stop()

            assert len(there.texts) == 1
            if posted > 1:
                assert "waiting up to 10 s for 1 message\n" in service.log.read_text()
            assert took < (LONGER + 2 if posted > 1 else 3)
            waits = service.run("log", "--state", "waiting").stdout
            assert waits.count("create-project") == posted - 1
            service.start()
            wait_until(lambda: len(there.texts) == posted, 30)
    assert [text[-1] for text in there.texts] == [str(number) for number in range(posted)]
