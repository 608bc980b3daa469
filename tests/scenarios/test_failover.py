"""The database restarts, hangs or has no free connection, or a replica hangs: no event is lost."""

import asyncio
import contextlib
import itertools
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import asyncpg
import httpx
import pytest

from tests.scenarios.test_replicas import comment, numbers, replica
from tests.servers.fixtures import RunningSlack
from tests.servers.postgres import Postgres
from tests.service import JSON, Service, wait_until

PENPOT_WAITS = 4.0


@pytest.fixture(scope="module")
def own_postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    """A database server that may be stopped."""
    with Postgres(tmp_path_factory.mktemp("failover")) as running:
        yield running


class Penpot:
    """Posts comments to the hooks in turn and records the responses."""

    def __init__(self, *services: Service, first: int = 0, pause: float = 0.02) -> None:
        """``first`` is the first comment's number; ``pause`` in seconds."""
        self.services = services
        self._first = first
        self._pause = pause
        self.answers: dict[int, int] = {}
        self.slowest = 0.0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> "Penpot":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    @property
    def acknowledged(self) -> list[int]:
        return [number for number, status in self.answers.items() if status == 204]

    def _run(self) -> None:
        with httpx.Client(headers=JSON, timeout=30) as client:
            for number in itertools.count(self._first):
                if self._stop.wait(self._pause):
                    return
                service = self.services[number % len(self.services)]
                begun = time.monotonic()
                answer = client.post(service.hook, content=comment(number))
                self.slowest = max(self.slowest, time.monotonic() - begun)
                self.answers[number] = answer.status_code


@pytest.fixture
def replicas(
    tmp_path: Path, own_postgres: Postgres, slack_server: RunningSlack
) -> Iterator[tuple[str, Callable[..., Service]]]:
    """The address of a database, and what starts a replica on it."""
    url = own_postgres.fresh()
    with ExitStack() as running:

        def start(name: str, **settings: object) -> Service:
            service = replica(tmp_path / name, url, slack_server, **settings)
            running.callback(service.stop)
            return service

        yield url, start


@contextlib.contextmanager
def every_connection_busy(url: str) -> Iterator[None]:
    """Queries for events block, so that no connection is free."""
    locked, done = threading.Event(), threading.Event()

    async def lock() -> None:
        admin = await asyncpg.connect(url)
        async with admin.transaction():
            await admin.execute("LOCK TABLE relay.events")
            locked.set()
            await asyncio.to_thread(done.wait)
        await admin.close()

    thread = threading.Thread(target=lambda: asyncio.run(lock()))
    thread.start()
    locked.wait()
    try:
        yield
    finally:
        done.set()
        thread.join()


Replicas = tuple[str, Callable[..., Service]]


def settled(slack: RunningSlack, penpot: Penpot) -> list[int]:
    """Waits for all acknowledged events, in order; returns the numbers that arrived twice."""
    wanted = set(penpot.acknowledged)
    wait_until(lambda: wanted <= set(numbers(slack)), 30)
    received = numbers(slack)
    first = list(dict.fromkeys(received))
    assert first == sorted(first)
    return [number for number in first if received.count(number) > 1]


def test_a_database_restart_loses_no_acknowledged_event(
    replicas: Replicas, own_postgres: Postgres, slack_server: RunningSlack
) -> None:
    _, start = replicas
    services = [start("one"), start("other")]
    with Penpot(*services) as penpot:
        wait_until(lambda: len(numbers(slack_server)) > 30, 20)
        own_postgres.stop()
        try:
            stopped = time.monotonic()
            wait_until(lambda: list(penpot.answers.values()).count(503) >= 2, 20)
            for service in services:
                assert httpx.get(f"{service.admin}/readyz", timeout=10).status_code == 503
                assert httpx.get(f"{service.url}/healthz").status_code == 200
            time.sleep(max(0.0, stopped + 7 - time.monotonic()))  # a lease outlives its holder by 6
        finally:
            own_postgres.start()
        back = time.monotonic()
        known = len(penpot.acknowledged)
        wait_until(lambda: len(penpot.acknowledged) > known + 50, 20)
        took = time.monotonic() - back
        wait_until(lambda: all(service.is_ready() for service in services), 30)
    assert set(penpot.answers.values()) == {204, 503}
    assert penpot.slowest < PENPOT_WAITS
    assert took < 10
    assert settled(slack_server, penpot) == []  # who held a queue holds it still


@pytest.mark.parametrize("trouble", ["hangs", "has no connection free"])
def test_an_unresponsive_database_gets_503_in_time(
    replicas: Replicas, own_postgres: Postgres, slack_server: RunningSlack, trouble: str
) -> None:
    url, start = replicas
    service = start("one")
    with Penpot(service) as penpot:
        wait_until(lambda: len(numbers(slack_server)) > 10, 20)
        with httpx.Client(headers=JSON, timeout=30) as client, ExitStack() as over:
            crowd = over.enter_context(ThreadPoolExecutor(20))
            if trouble == "hangs":
                own_postgres.hang()
                over.callback(own_postgres.go_on)
            else:
                over.enter_context(every_connection_busy(url))
            bodies = [comment(900 + number) for number in range(20)]
            answers = crowd.map(lambda body: client.post(service.hook, content=body), bodies)
            responses = [(answer.status_code, answer.elapsed.total_seconds()) for answer in answers]
            assert {status for status, _ in responses} == {503}
            assert max(seconds for _, seconds in responses) < PENPOT_WAITS
            wait_until(lambda: len(penpot.answers) - len(penpot.acknowledged) > 1, 20)
        known = len(penpot.acknowledged)
        wait_until(lambda: len(penpot.acknowledged) > known + 20, 20)
    assert set(penpot.answers.values()) == {204, 503}
    assert penpot.slowest < PENPOT_WAITS
    wanted = set(penpot.acknowledged)
    wait_until(lambda: wanted <= set(numbers(slack_server)), 30)


def test_a_hanging_replica_is_replaced_and_its_late_writes_are_refused(
    replicas: Replicas, slack_server: RunningSlack
) -> None:
    _, start = replicas
    intake = start("intake", role="intake")
    for number in range(100):
        assert intake.post(comment(number)) == 204
    hung = start("hung", role="deliver", pace=600)
    wait_until(lambda: numbers(slack_server), 20)  # it has the queue, and work for ten seconds
    start("other", role="deliver", pace=600)
    assert hung.process is not None
    with Penpot(intake, first=100, pause=0.5) as penpot:
        penpot.answers |= dict.fromkeys(range(100), 204)
        hung.process.send_signal(signal.SIGSTOP)
        stopped = time.monotonic()
        try:
            time.sleep(0.5)
            seen = len(set(numbers(slack_server)))
            wait_until(lambda: len(set(numbers(slack_server))) > seen, 12)
            took = time.monotonic() - stopped
            time.sleep(max(0.0, stopped + 12 - time.monotonic()))
        finally:
            hung.process.send_signal(signal.SIGCONT)
        known = len(penpot.acknowledged)
        wait_until(lambda: len(penpot.acknowledged) > known + 3, 20)
    print(f"another took over after {took:.1f} s")
    assert 2 < took < 10
    assert set(penpot.answers.values()) == {204}
    assert len(settled(slack_server, penpot)) <= 1
    assert "queue acme/slack: lease lost, another replica may serve it" in hung.log.read_text()
