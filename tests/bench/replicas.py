"""PostgreSQL: accepts over HTTP, several replicas, and the time of a takeover."""

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import Iterator

import httpx

from tests.bench import load
from tests.bench.common import bare, cpu, fsync_ms, post_all, postgres, relay, say, slack
from tests.bench.fill import fill
from tests.bench.sink import open_sink
from tests.service import Service

COUNTS = [int(count) for count in os.environ.get("RELAY_BENCH_REPLICAS", "1,2,4").split(",")]


async def accepts_postgres() -> None:
    """``accepts`` with PostgreSQL on the same machine."""
    with contextlib.ExitStack() as stack:
        url = stack.enter_context(bare())
        store = stack.enter_context(postgres()).fresh()
        service = stack.enter_context(relay(slack(1, 1, '["fonts"]'), store=store))
        for _ in range(3):
            other = await load.run(url, 64, 4, 10**9)
            own = await load.run(service.hook, 64, 4, 10**9)
            say(
                "accepts",
                store="postgresql",
                relay=own["rate"],
                bare=other["rate"],
                ratio=round(own["rate"] / other["rate"], 2),
                median_ms=own["median_ms"],
                p99_ms=own["p99_ms"],
                fsync_ms=fsync_ms(),
                statuses=own["statuses"],
            )
            await asyncio.sleep(2)


async def replicas() -> None:
    """1,000 events to 16 Slack channels, with 1, 2 and 4 replicas on one PostgreSQL."""
    with postgres() as server:
        for count in COUNTS:
            async with open_sink() as (sink, port):
                with _replicas(slack(port, 16), server.fresh(), count) as running:
                    before = sum(map(cpu, running))
                    begun = time.perf_counter()
                    each = 1000 // count
                    await asyncio.gather(
                        *(post_all(one, n * each, each) for n, one in enumerate(running))
                    )
                    posted = time.perf_counter() - begun
                    await sink.reach(16 * each * count, 120)
                    took = sink.last - begun
                    sent = [await _sent(one) for one in running]
                    say(
                        "replicas",
                        count=count,
                        shares=[round(each / sink.count, 2) for each in sent],
                        messages=sink.count,
                        per_second=round(sink.count / took),
                        posting_s=round(posted, 1),
                        cpu_ms_each=round((sum(map(cpu, running)) - before) / sink.count * 1e3, 2),
                        fsync_ms=fsync_ms(),
                    )


@contextlib.contextmanager
def _replicas(channels: str, url: str, count: int) -> Iterator[list[Service]]:
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(relay(channels, store=url)) for _ in range(count)]


async def _sent(service: Service) -> int:
    """The number of messages that a replica has sent."""
    async with httpx.AsyncClient() as client:
        text = (await client.get(f"{service.admin}/metrics")).text
    lines = [line for line in text.splitlines() if line.startswith("relay_deliveries_sent_total{")]
    return sum(round(float(line.rpartition(" ")[2])) for line in lines)


async def takeover() -> None:
    """Time from the last message of a killed or hanging replica to the first of another, three
    times each."""
    with postgres() as server:
        for how in (signal.SIGKILL, signal.SIGSTOP) * 3:
            async with open_sink() as (sink, port):
                channels = slack(port, 1).replace("pace = 1000000", "pace = 1200")
                url = server.fresh()
                await fill(url, 1000)
                with _replicas(channels, url, 1) as (first,):
                    await sink.reach(20, 30)
                    with _replicas(channels, url, 1):
                        assert first.process is not None
                        first.process.send_signal(how)
                        gone = time.perf_counter()
                        await asyncio.sleep(1)
                        seen = sink.count
                        await sink.reach(seen + 1, 15)
                        took = sink.last - gone
                        say("takeover", by=how.name, seconds=round(took, 1))
                        first.kill()
