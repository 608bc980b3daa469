"""The cost of an event by the number of waiting messages and of queues; the cost of pruning."""

import asyncio
import contextlib
import os
import sys
import time
from pathlib import Path
from statistics import median

import httpx

from relay.delivery.retention import PRUNE_BATCH_SIZE
from relay.store import store_at
from tests.bench import load
from tests.bench.common import (
    comment,
    cpu,
    fsync_ms,
    postgres,
    quantiles,
    relay,
    say,
    slack,
)
from tests.bench.fill import fill, waiting
from tests.bench.sink import Sink, open_sink
from tests.service import JSON, SECRET, Service

SIZES = [int(size) for size in os.environ.get("RELAY_BENCH_SIZES", "1000,1000000").split(",")]
"""Waiting messages."""
QUEUES = [int(count) for count in os.environ.get("RELAY_BENCH_QUEUES", "1,100,10000").split(",")]
SHRUNK_EVENTS = 200_000
MESSAGES = 1000
"""Messages that are timed, after the first hundred."""


async def backlog() -> None:
    """Messages per second and CPU time per message, with few and with many waiting, three times
    alternating; then accepts with as many waiting. On SQLite."""
    await _backlog(None)


async def backlog_postgres() -> None:
    """``backlog`` on PostgreSQL."""
    with postgres() as server:
        await _backlog([server.fresh() for _ in SIZES])


async def _backlog(urls: list[str] | None) -> None:
    async with open_sink() as (sink, port):
        with contextlib.ExitStack() as stack:
            addresses = urls or [""] * len(SIZES)
            channels = slack(port, 1, '["fonts"]')
            services = [
                stack.enter_context(relay(channels, start=False, store=url)) for url in addresses
            ]
            rates = await _drains(sink, services)
            accepted = []
            for size, service in zip(SIZES, services, strict=True):
                paced = service.config.read_text().replace("pace = 1000000", "pace = 1")
                service.config.write_text(paced)  # only accepts are measured from here
                service.start()
                accepted.append((await load.run(service.hook, 64, 4, 10**9))["rate"])
                service.kill()
                say("backlog", waiting=size, accepts=accepted[-1], fsync_ms=fsync_ms())
    for size, rate, accepts in zip(SIZES, rates, accepted, strict=True):
        ratios = {"sent_ratio": rate / rates[0], "accepts_ratio": accepts / accepted[0]}
        say("backlog", waiting=size, **{name: round(value, 2) for name, value in ratios.items()})


async def _drains(sink: Sink, services: list[Service]) -> list[float]:
    """The median of three rates, by size."""
    rates: list[list[float]] = [[] for _ in SIZES]
    for _ in range(3):
        for size, service, measured in zip(SIZES, services, rates, strict=True):
            url = _store(service)
            begun = time.perf_counter()
            await fill(url, size + 100 - (await waiting(url) if measured else 0))
            filled = time.perf_counter() - begun
            first = sink.count
            service.start()
            await sink.reach(first + 100, 30)
            used, begun = cpu(service), time.perf_counter()
            await sink.reach(first + 100 + MESSAGES, 60)
            took, used = sink.last - begun, cpu(service) - used
            service.kill()
            measured.append(MESSAGES / took)
            say(
                "backlog",
                waiting=size,
                sent=round(measured[-1]),
                cpu_ms_each=round(used / MESSAGES * 1e3, 2),
                filled_s=round(filled, 1),
                fsync_ms=fsync_ms(),
            )
    return [median(measured) for measured in rates]


def _store(service: Service) -> str:
    line = next(
        line for line in service.config.read_text().splitlines() if line.startswith("url =")
    )
    return line.split('"')[1]


async def queues() -> None:
    """Idle, then 2,000 events over many teams of one channel: memory, CPU time, rate."""
    async with open_sink() as (sink, port):
        for count in QUEUES:
            with relay(_teams(port, count), start=False) as service:
                begun = time.perf_counter()
                service.start()
                ready = time.perf_counter() - begun
                await asyncio.sleep(1)
                idle, used = service.memory(), cpu(service)
                await asyncio.sleep(10)
                share = (cpu(service) - used) / 10
                first, used, begun = sink.count, cpu(service), time.perf_counter()
                await _post(service, count, 2000)
                await sink.reach(first + 2000, 120)
                took = sink.last - begun
                say(
                    "queues",
                    count=count,
                    ready_s=round(ready, 2),
                    idle_MiB=round(idle / 2**20, 1),
                    idle_cpu_percent=round(share * 100, 2),
                    sent=round(2000 / took),
                    cpu_ms_each=round((cpu(service) - used) / 2000 * 1e3, 2),
                    used_MiB=round(service.memory() / 2**20, 1),
                )


def _teams(port: int, count: int) -> str:
    channel = slack(port, 1).replace("teams.acme", "teams.t{0}")
    more = (f'[teams.t{n}]\nsecret = "{SECRET}"\n{channel.format(n)}' for n in range(count))
    return "".join(more)


async def _post(service: Service, teams: int, count: int) -> None:
    numbers = iter(range(count))
    async with httpx.AsyncClient(headers=JSON) as client:

        async def work() -> None:
            for number in numbers:
                hook = f"{service.url}/hooks/t{number * 7919 % teams}/{SECRET}"
                answer = await client.post(hook, content=comment(number))
                assert answer.status_code == 204

        await asyncio.gather(
            *(work() for _ in range(4))
        )  # more would exceed the limit of connections under load


PRUNE_AT_ONCE = """
from relay.cli import main
from relay.delivery import backoff as clock
clock.SETTLE_SECONDS = -1e6  # prune at once, not an hour and a quarter after the start
main()
"""


async def retention() -> None:
    """Response times at 50 events/s for 15 s: alone, then while 30,000 events are pruned."""
    with relay(slack(1, 1, '["fonts"]'), extra="", start=False) as service:
        service.command = [sys.executable, "-c", PRUNE_AT_ONCE]
        for old in (0, 30_000):
            await fill(_store(service), old, age=40 * 86400.0, state="sent")
            service.start()
            times = []
            async with httpx.AsyncClient(headers=JSON) as client:
                begun = time.perf_counter()
                for number in range(750):
                    await asyncio.sleep(begun + number / 50 - time.perf_counter())
                    sent = time.perf_counter()
                    body = comment(old + number)
                    assert (await client.post(service.hook, content=body)).status_code == 204
                    times.append(time.perf_counter() - sent)
            service.stop()
            pruned = old - await _old(service)
            assert bool(pruned) == bool(old)
            say("retention", pruned=pruned, **quantiles(times))


async def shrink() -> None:
    """The size of a file in MB, before and after three quarters of its events are deleted, and how
    long intake waits for one step in which the file shrinks."""
    with relay(slack(1, 1, '["fonts"]'), start=False) as service:
        await fill(_store(service), SHRUNK_EVENTS, age=40 * 86400.0, state="sent")
        file = Path(_store(service).removeprefix("sqlite:///"))
        before = file.stat().st_size
        store = store_at(_store(service))
        await store.open()
        for _ in range(SHRUNK_EVENTS * 3 // 4 // PRUNE_BATCH_SIZE):
            await store.prune(time.time(), PRUNE_BATCH_SIZE)
        times, has_more = [], True
        while has_more:
            begun = time.perf_counter()
            has_more = await store.shrink()
            times.append(time.perf_counter() - begun)
        await store.close()
        say(
            "shrink", before=before // 10**6, after=file.stat().st_size // 10**6, **quantiles(times)
        )


async def _old(service: Service) -> int:
    """The number of old events that are left."""
    store = store_at(_store(service))
    await store.open()
    left = await store.prune(time.time() - 35 * 86400, 10**6)
    await store.close()
    return left
