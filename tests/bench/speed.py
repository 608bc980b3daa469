"""Speed and size of one service: accepts, latency, fan-out, memory."""

import asyncio
import time

import httpx

from tests.bench import load
from tests.bench.common import bare, comment, fsync_ms, post_all, quantiles, relay, say, slack
from tests.bench.sink import open_sink
from tests.service import JSON


async def accepts() -> None:
    """Durable accepts per second at 64 connections and those of a bare endpoint, alternating."""
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


async def latency() -> None:
    """Latency from event to message, at 20 events per second for 30 s."""
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


async def fanout() -> None:
    """2,000 events to 16 Slack channels: messages per second, with their receipts on disk."""
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
    """Idle memory after a message to Slack, and the time from start to ready."""
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
