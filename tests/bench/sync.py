"""The calls of the sync per hour, for few teams and many, in simulated time."""

import json
import os
import tempfile
import time
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

from relay.delivery.alerts import Alerts
from relay.delivery.directory import TeamDirectory
from relay.delivery.notices import NoticeRenderer
from relay.messages.templates import Templates
from relay.metrics import Metrics
from relay.penpot.text import deduplication_key
from relay.store.records import NewEvent
from relay.store.sqlite import SqliteStore
from relay.sync.sync import PenpotSync
from tests.bench.common import FOLDER, say
from tests.penpot.people import People
from tests.penpot.standin import TOKEN, StandIn
from tests.sync.many import fill, many
from tests.sync.stage import Clock, Direct

TEAMS = [int(size) for size in os.environ.get("RELAY_BENCH_TEAMS", "1,100,1000").split(",")]
HOUR = 3600.0
COMMENT_INTERVAL = 300.0
"""Seconds between two comments in an active team."""


async def sync() -> None:
    """Calls per hour: without activity, then with one active file in every tenth team."""
    for teams in TEAMS:
        with tempfile.TemporaryDirectory(dir=FOLDER) as folder:
            await _of(teams, Path(folder))


async def _of(count: int, folder: Path) -> None:
    penpot, clock, started = StandIn(), Clock(), time.perf_counter()
    config = many(count, folder)
    files = fill(penpot, config)
    store, metrics = SqliteStore(folder / "relay.db"), Metrics()
    await store.open()
    client = Direct(penpot, TOKEN)
    alerts = Alerts({}, store, NoticeRenderer(Templates(), metrics))
    directory = TeamDirectory(config, store, alerts, clock)
    penpot_sync = PenpotSync(config, client, directory, store, metrics, alerts, lambda: None, clock)
    try:
        begun = clock.now
        while await _first_scans(store, count):
            await _pass(penpot_sync, clock, 60)
        say("sync", teams=count, first_scans=len(penpot.calls), minutes=_minutes(clock, begun))
        penpot.calls.clear()
        await _pass(penpot_sync, clock, HOUR)
        _say(count, "idle", penpot)
        for second in range(0, int(HOUR), int(COMMENT_INTERVAL)):
            for team, file in list(files.items())[:: 10 if count > 1 else 1]:
                people = People(penpot.world, file, datetime.fromtimestamp(clock.now, UTC))
                _, body = people.begin(f"at {second}")
                await _receive(store, team, json.dumps(body).encode(), clock.now)
            await _pass(penpot_sync, clock, COMMENT_INTERVAL)
        _say(count, "active", penpot)
    finally:
        await client.close()
        await store.close()
    say("sync", teams=count, simulated_in_seconds=round(time.perf_counter() - started))


async def _first_scans(store: SqliteStore, count: int) -> bool:
    """Whether the first scan of a team is not done."""
    return await store.get_value(f"sync/team{count - 1}") is None or any(
        [await store.get_value(f"sync/team{number}") is None for number in range(count)]
    )


async def _receive(store: SqliteStore, team: str, sent: bytes, now: float) -> None:
    body = json.loads(sent)
    key = deduplication_key(body, sent)
    name = body["name"]
    event = NewEvent(team, "application/json", sent, key, name, received_at=now)
    await store.accept(event)


async def _pass(penpot_sync: PenpotSync, clock: Clock, seconds: float) -> None:
    end = clock.now + seconds
    while clock.now < end:
        wait = await penpot_sync.turn()
        clock.now = min(clock.now + max(wait, 0.2), end)


def _minutes(clock: Clock, begun: float) -> float:
    return round((clock.now - begun) / 60, 1)


def _say(count: int, what: str, penpot: StandIn) -> None:
    calls = Counter(call.method.removeprefix("get-") for call in penpot.calls)
    total = sum(calls.values())
    detail = {name.replace("-", "_"): number for name, number in sorted(calls.items())}
    say(f"sync {what}", teams=count, calls_an_hour=total, a_team=round(total / count, 1), **detail)
    penpot.calls.clear()
