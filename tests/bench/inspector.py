"""The inspector: its pages with a million stored events, and what an open page costs intake."""

import asyncio
import contextlib
import os
import sqlite3
import time
from collections.abc import AsyncIterator
from pathlib import Path
from statistics import median
from urllib.parse import urlsplit

import asyncpg
import httpx

from tests.bench import load
from tests.bench.common import postgres, relay, say, slack
from tests.bench.fill import fill

EVENTS = int(os.environ.get("RELAY_BENCH_EVENTS", "1000000"))
PAIRS = 6
PAGES = {
    "newest": "",
    "older": f"?before={EVENTS // 2}",
    "team": "?team=acme",
    "kind": "?kind=delete-font",
    "kind_and_team": "?kind=delete-font&team=acme",
    "dead": "?state=dead",
    "waiting": "?state=waiting",
    "text": "?text=said+by+nobody",
    "channel": "?channel=acme/none",
    "channel_and_dead": "?channel=acme/none&state=dead",
    "days": "?from=2001-01-01&to=2001-01-02",
}
_SUMMARIES = """
    INSERT INTO {schema}summaries
    SELECT id, CASE WHEN id % 50 = 0 THEN 'acme' ELSE 'gone' END,
        CASE WHEN id % 5000 = 0 THEN 'delete-font' ELSE 'create-comment' END, state, '',
        received_at, 'Ada Lovelace', 'Landing page, autumn · #12 · “Looks off. Looks off.”',
        'create-comment ada lovelace landing page, autumn · #12 · “looks off. looks off.”', '{{}}',
        '{{}}'
    FROM {schema}events
"""


async def inspector() -> None:
    """Pages on SQLite, each the median of five; then accepts with and without an open page."""
    with relay(slack(1, 1, '["fonts"]'), start=False) as service:
        path = Path(service.folder) / "relay.db"
        await fill(f"sqlite:///{path}", EVENTS, state="sent")
        with contextlib.closing(sqlite3.connect(path)) as db, db:
            db.execute("PRAGMA synchronous = OFF")
            db.execute(_SUMMARIES.format(schema=""))
        service.start()
        await _pages("inspector", service.admin)
    with relay(slack(1, 1, '["fonts"]')) as service:
        rates: dict[bool, list[float]] = {False: [], True: []}
        for turn in range(PAIRS):
            for is_open in (False, True) if turn % 2 else (True, False):
                async with _open_page(service.admin) if is_open else contextlib.nullcontext():
                    rates[is_open].append((await load.run(service.hook, 64, 4, 10**9))["rate"])
                await _fanned_out(Path(service.folder) / "relay.db")
        ratios = sorted(opened / closed for closed, opened in zip(*rates.values(), strict=True))
        say(
            "inspector",
            accepts=median(rates[False]),
            with_one_open=median(rates[True]),
            ratio=round(median(ratios), 3),
            least=round(ratios[0], 3),
            most=round(ratios[-1], 3),
        )


async def inspector_postgres() -> None:
    """The same pages on PostgreSQL."""
    with postgres() as server:
        url = server.fresh()
        await fill(url, EVENTS, state="sent")
        db = await asyncpg.connect(url)
        await db.execute(_SUMMARIES.format(schema="relay."), timeout=600)
        await db.execute("ANALYZE", timeout=600)
        await db.close()
        with relay(slack(1, 1, '["fonts"]'), store=url) as service:
            await _pages("inspector-postgres", service.admin)


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


async def _fanned_out(path: Path) -> None:
    """Wait until the events of this turn are fanned out."""
    with contextlib.closing(sqlite3.connect(path)) as db:
        while db.execute("SELECT 1 FROM events WHERE state = 'stored' LIMIT 1").fetchone():  # noqa: ASYNC110
            await asyncio.sleep(0.2)
    await asyncio.sleep(0.5)


@contextlib.asynccontextmanager
async def _open_page(url: str) -> AsyncIterator[None]:
    """An open list, read at the least cost, as the load runs in this process too."""
    address = urlsplit(url)
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    writer.write(f"GET /inspector/live HTTP/1.1\r\nHost: {address.netloc}\r\n\r\n".encode())
    assert b" 200 " in await reader.readline()

    async def look() -> None:
        while await reader.read(65536):
            pass

    task = asyncio.create_task(look())
    await asyncio.sleep(0.5)
    yield
    assert not task.done()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    writer.close()
