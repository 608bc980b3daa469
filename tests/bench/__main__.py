"""The figures of the README, each from one run on this machine.

    make bench                    all of them
    python -m tests.bench NAME    one: accepts, latency, lookups, fanout, memory, backlog

Loopback only, bounded in count and time. Where the disk is not to be measured, set
``RELAY_BENCH_FOLDER=/dev/shm``.
"""

import asyncio
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from statistics import median
from typing import Any

import httpx
import uvloop

from tests.bench import load
from tests.bench.sink import Sink, open_sink
from tests.penpot.standin import TOKEN, StandIn
from tests.penpot.world import Comment, Person, Thread
from tests.service import JSON, Service, free_port, wait_until

FOLDER = os.environ.get("RELAY_BENCH_FOLDER")
TEAM = "2f6a1c10-5d0e-81a4-8006-9a1f00000001"
FILE = "4c8d3e30-5d0e-81a4-8006-9a3f00000001"
PAGE = "5d9e4f40-5d0e-81a4-8006-9a4f00000001"
THREAD = "c0000001-5d0e-81a4-8006-"
PERSON = "6eaf5050-5d0e-81a4-8007-"


def say(what: str, **figures: object) -> None:
    told = "  ".join(f"{key}={value}" for key, value in figures.items())
    print(f"{what:<10} {told}", flush=True)


def slack(port: int, count: int, events: str = '["*"]') -> str:
    return "".join(
        f'[[teams.acme.channels]]\nname = "c{number}"\ntype = "slack"\ntoken = "xoxb-bench"\n'
        f'channel = "C012345678{number}"\napi_url = "http://127.0.0.1:{port}/api/"\n'
        f"pace = 1000000\ndigest_after = 0\nevents = {events}\n"
        for number in range(count)
    )


@contextlib.contextmanager
def relay(
    channels: str, *, start: bool = True, penpot: str = "", extra: str = ""
) -> Iterator[Service]:
    with tempfile.TemporaryDirectory(dir=FOLDER) as folder:
        service = Service(Path(folder), channels, extra=f'{extra}\n[log]\nlevel = "warning"')
        if penpot:
            told = service.config.read_text()
            service.config.write_text(told.replace("http://penpot.example", penpot))
        if start:
            service.start()
        try:
            yield service
        finally:
            if service.process is not None and service.process.poll() is None:
                service.stop()


@contextlib.contextmanager
def bare() -> Iterator[str]:
    port = free_port()
    process = subprocess.Popen([sys.executable, "-m", "tests.bench.bare", str(port)])
    url = f"http://127.0.0.1:{port}/hooks/acme/secret"

    def answers() -> bool:
        try:
            return httpx.head(url).status_code == 204
        except httpx.HTTPError:
            return False

    wait_until(answers, 10)
    yield url
    process.terminate()
    process.wait()


def fsync_ms() -> float:
    """How long the disk takes to make 4 KB last."""
    with tempfile.NamedTemporaryFile(dir=FOLDER) as file:
        times = []
        for _ in range(50):
            file.write(b"x" * 4096)
            file.flush()
            started = time.perf_counter()
            os.fdatasync(file.fileno())
            times.append(time.perf_counter() - started)
    return round(sorted(times)[25] * 1e3, 2)


async def accepts() -> None:
    """Durable accepts a second at 64 connections, beside a bare endpoint, three times in turn."""
    ratios = []
    with bare() as url, relay(slack(1, 1, '["fonts"]')) as service:
        for _ in range(3):
            other = await load.run(url, 64, 4, 10**9)
            own = await load.run(service.hook, 64, 4, 10**9)
            ratios.append(round(own["rate"] / other["rate"], 2))
            say(
                "accepts",
                relay=own["rate"],
                bare=other["rate"],
                ratio=ratios[-1],
                median_ms=own["median_ms"],
                p99_ms=own["p99_ms"],
                fsync_ms=fsync_ms(),
                statuses=own["statuses"],
            )
            await asyncio.sleep(2)


def comment(number: int) -> bytes:
    return json.dumps(
        {
            "name": "create-comment-thread",
            "props": {
                "id": f"c0000001-5d0e-81a4-8006-{number:012x}",
                "fileId": FILE,
                "pageId": "5d9e4f40-5d0e-81a4-8006-9a4f00000001",
                "pageName": "Page 1",
                "ownerId": "6eaf5050-5d0e-81a4-8006-9a5f00000001",
                "ownerFullname": "Ada Lovelace",
                "seqn": number,
                "content": f"This is no {number}. " + load.PAD,
                "mentions": [],
            },
            "createdAt": "2026-07-25T08:16:01.321Z",
            "profileId": "6eaf5050-5d0e-81a4-8006-9a5f00000001",
            "trackedAt": "2026-07-25T08:16:01.234Z",
        }
    ).encode()


def quantiles(times: list[float]) -> dict[str, float]:
    times = sorted(times)
    return {
        "median_ms": round(times[len(times) // 2] * 1e3, 2),
        "p99_ms": round(times[len(times) * 99 // 100] * 1e3, 2),
        "max_ms": round(times[-1] * 1e3, 2),
    }


async def latency() -> None:
    """From sending an event to its message's arrival, at 20 events a second for 30 s."""
    async with open_sink() as (sink, port), httpx.AsyncClient() as client:
        with relay(slack(port, 1)) as service:
            sent: dict[int, float] = {}
            started = time.perf_counter() + 0.5
            for number in range(600):
                await asyncio.sleep(started + number / 20 - time.perf_counter())
                sent[number] = time.perf_counter()
                answer = await client.post(service.hook, content=comment(number), headers=JSON)
                assert answer.status_code == 204
            await sink.reach(600, 10)
            say(
                "latency",
                **quantiles([sink.arrived[n] - at for n, at in sent.items()]),
                fsync_ms=fsync_ms(),
            )


async def lookups() -> None:
    """From sending an event to its arrival, at 20 a second for 30 s, with an API that takes 50 ms:
    replies in threads that are not known, then in the same threads; 10 people comment."""
    with StandIn(latency=0.05) as penpot:
        members = penpot.world.teams[TEAM].members
        for person in range(10):
            penpot.world.people[f"{PERSON}{person:012x}"] = Person(
                f"{PERSON}{person:012x}", f"Person {person}", f"p{person}@example.com"
            )
            members[f"{PERSON}{person:012x}"] = "editor"
        for number in range(600):
            thread = f"{THREAD}{number:012x}"
            first = Comment(thread, f"{PERSON}{number % 10:012x}", "The first comment.")
            penpot.world.threads[thread] = Thread(thread, FILE, PAGE, "Page 1", number + 1, [first])
        extra = f'access_token = "{TOKEN}"'
        async with open_sink() as (sink, port), httpx.AsyncClient() as client:
            with relay(slack(port, 1), penpot=penpot.url, extra=extra) as service:
                for turn, what in enumerate(("cold", "known")):
                    sent: dict[int, float] = {}
                    calls = len(penpot.calls)
                    started = time.perf_counter() + 0.5
                    for number in range(turn * 600, turn * 600 + 600):
                        await asyncio.sleep(started + number % 600 / 20 - time.perf_counter())
                        sent[number] = time.perf_counter()
                        answer = await client.post(
                            service.hook, content=reply(number), headers=JSON
                        )
                        assert answer.status_code == 204
                    await sink.reach(600 * (turn + 1), 10)
                    say(
                        "lookups",
                        names=what,
                        **quantiles([sink.arrived[n] - at for n, at in sent.items()]),
                        calls=len(penpot.calls) - calls,
                        fsync_ms=fsync_ms(),
                    )


def reply(number: int) -> bytes:
    """A reply in one of 600 threads, by one of 10 people of whom it tells the id alone."""
    person = f"{PERSON}{number % 10:012x}"
    return json.dumps(
        {
            "name": "create-comment",
            "props": {
                "id": f"c0000003-5d0e-81a4-8006-{number:012x}",
                "threadId": f"{THREAD}{number % 600:012x}",
                "fileId": FILE,
                "content": f"This is no {number}. " + load.PAD,
                "mentions": [],
            },
            "createdAt": "2026-07-25T08:16:01.321Z",
            "profileId": person,
            "trackedAt": "2026-07-25T08:16:01.234Z",
        }
    ).encode()


async def post_all(service: Service, first: int, count: int) -> None:
    async with httpx.AsyncClient() as client:
        numbers = iter(range(first, first + count))

        async def work() -> None:
            for number in numbers:
                answer = await client.post(service.hook, content=comment(number), headers=JSON)
                assert answer.status_code == 204

        await asyncio.gather(*(work() for _ in range(16)))


async def fanout() -> None:
    """2,000 events to 16 Slack channels: messages a second, with their receipts on disk."""
    async with open_sink() as (sink, port):
        with relay(slack(port, 16)) as service:
            started = time.perf_counter()
            await post_all(service, 0, 2000)
            posted = time.perf_counter() - started
            await sink.reach(32_000, 120)
            took = sink.last - started
            say(
                "fanout",
                messages=sink.count,
                per_second=round(sink.count / took),
                seconds=round(took, 1),
                posting=round(posted, 1),
                peak_MiB=round(service.peak_memory() / 2**20, 1),
                fsync_ms=fsync_ms(),
            )


async def memory() -> None:
    """Idle memory with a Slack channel in use, and the time from start to ready."""
    async with open_sink() as (sink, port):
        with relay(slack(port, 1), start=False) as service:
            started = time.perf_counter()
            service.start()
            ready = time.perf_counter() - started
            before = service.memory()
            await post_all(service, 0, 1)
            await sink.reach(1, 10)
            await asyncio.sleep(1)
            say(
                "memory",
                ready_s=round(ready, 2),
                fresh_MiB=round(before / 2**20, 1),
                idle_MiB=round(service.memory() / 2**20, 1),
            )


async def backlog() -> None:
    """Accepts and drain with 100,000 events waiting, beside an empty store, three times in turn."""
    async with open_sink() as (sink, port):
        figures: dict[int, list[tuple[float, float]]] = {0: [], 100_000: []}
        for _ in range(3):
            for waiting, measured in figures.items():
                with relay(slack(port, 1)) as service:
                    if waiting:
                        await fill(service, waiting)
                    accepted = (await load.run(service.hook, 64, 4, 10**9))["rate"]
                    measured.append((accepted, await drain(sink)))
                say(
                    "backlog",
                    waiting=waiting,
                    accepts=measured[-1][0],
                    drain=measured[-1][1],
                    fsync_ms=fsync_ms(),
                )
        empty, full = ([median(each) for each in zip(*of, strict=True)] for of in figures.values())
        say(
            "backlog",
            accepts_ratio=round(full[0] / empty[0], 2),
            drain_ratio=round(full[1] / empty[1], 2),
        )


async def fill(service: Service, count: int) -> None:
    """Let so many events wait."""
    await load.run(service.hook, 64, 600, count)


async def drain(sink: Sink) -> float:
    """Messages a second over 5 s."""
    first, started = sink.count, time.perf_counter()
    await asyncio.sleep(5)
    return round((sink.count - first) / (time.perf_counter() - started))


BENCHES: dict[str, Callable[[], Coroutine[Any, Any, None]]] = {
    "memory": memory,
    "accepts": accepts,
    "latency": latency,
    "lookups": lookups,
    "fanout": fanout,
    "backlog": backlog,
}


def main() -> None:
    for name in sys.argv[1:] or BENCHES:
        uvloop.run(BENCHES[name]())


if __name__ == "__main__":
    main()
