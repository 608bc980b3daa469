"""The inspector: its pages with a million events in the store, and what one open costs intake."""

import asyncio
import contextlib
import os
import sqlite3
import time
from collections.abc import AsyncIterator
from pathlib import Path
from statistics import median

import asyncpg
import httpx

from tests.bench import load
from tests.bench.common import postgres, relay, say, slack
from tests.bench.fill import fill

EVENTS = int(os.environ.get("RELAY_BENCH_EVENTS", "1000000"))
PAGES = {
    "newest": "",
    "older": f"?before={EVENTS // 2}",
    "team": "?team=acme",
    "kind": "?kind=delete-font",
    "kind_and_team": "?kind=delete-font&team=acme",
    "dead": "?state=dead",
    "waiting": "?state=waiting",
    "text": "?text=said+by+nobody",
}
_SUMMARIES = """
    INSERT INTO {schema}summaries
    SELECT id, CASE WHEN id % 50 = 0 THEN 'acme' ELSE 'gone' END,
        CASE WHEN id % 5000 = 0 THEN 'delete-font' ELSE 'create-comment' END, state, '',
        received_at, 'Ada Lovelace', 'Landing page, autumn · #12 · “Looks off. Looks off.”',
        'create-comment ada lovelace landing page, autumn · #12 · “looks off. looks off.”', '{{}}'
    FROM {schema}events
"""


async def inspector() -> None:
    """Pages on a SQLite file, each the median of five; then accepts with and without a listener."""
    with relay(slack(1, 1, '["fonts"]'), start=False) as service:
        path = Path(service.folder) / "relay.db"
        await fill(f"sqlite:///{path}", EVENTS, state="sent")
        with contextlib.closing(sqlite3.connect(path)) as db, db:
            db.execute("PRAGMA synchronous = OFF")
            db.execute(_SUMMARIES.format(schema=""))
        service.start()
        await _pages("inspector", service.url)
    with relay(slack(1, 1, '["fonts"]')) as service:
        rates: dict[bool, list[float]] = {False: [], True: []}
        for turn in range(6):
            async with _looking(service.url) if turn % 2 else contextlib.nullcontext():
                rates[bool(turn % 2)].append((await load.run(service.hook, 64, 4, 10**9))["rate"])
            await asyncio.sleep(1)
        closed, opened = median(rates[False]), median(rates[True])
        say("inspector", accepts=closed, with_one_open=opened, ratio=round(opened / closed, 3))


async def inspector_postgres() -> None:
    """The same pages on a PostgreSQL."""
    with postgres() as server:
        url = server.fresh()
        await fill(url, EVENTS, state="sent")
        db = await asyncpg.connect(url)
        await db.execute(_SUMMARIES.format(schema="relay."), timeout=600)
        await db.execute("ANALYZE", timeout=600)
        await db.close()
        with relay(slack(1, 1, '["fonts"]'), store=url) as service:
            await _pages("inspector-postgres", service.url)


async def _pages(what: str, url: str) -> None:
    figures: dict[str, float] = {}
    async with httpx.AsyncClient(base_url=url, timeout=30) as client:
        await client.get("/inspector")  # loads the pages' code
        for name, query in PAGES.items():
            times = []
            for _ in range(5):
                started = time.perf_counter()
                answer = await client.get(f"/inspector{query}")
                times.append(time.perf_counter() - started)
                assert answer.status_code == 200
            figures[f"{name}_ms"] = round(median(times) * 1e3, 1)
    say(what, events=EVENTS, **figures)


@contextlib.asynccontextmanager
async def _looking(url: str) -> AsyncIterator[None]:
    """Somebody who has the list open."""

    async def look() -> None:
        async with (
            httpx.AsyncClient(timeout=None) as client,
            client.stream("GET", f"{url}/inspector/live?after=0") as live,
        ):
            async for _ in live.aiter_bytes():
                pass

    task = asyncio.create_task(look())
    await asyncio.sleep(0.5)
    yield
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
