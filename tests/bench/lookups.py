"""The cost of lookups at Penpot."""

import asyncio
import json
import time

import httpx

from tests.bench import load
from tests.bench.common import FILE, fsync_ms, quantiles, relay, say, slack
from tests.bench.sink import open_sink
from tests.penpot.standin import TOKEN, StandIn
from tests.penpot.world import Comment, Person, Thread
from tests.service import JSON

TEAM = "2f6a1c10-5d0e-81a4-8006-9a1f00000001"
PAGE = "5d9e4f40-5d0e-81a4-8006-9a4f00000001"
THREAD = "c0000001-5d0e-81a4-8006-"
PERSON = "6eaf5050-5d0e-81a4-8007-"


async def lookups() -> None:
    """Latency at 20 events per second for 30 s, with an API that takes 50 ms: replies in unknown
    threads, then in the same threads; by 10 people."""
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
            channels = f'team_id = "{TEAM}"\n{slack(port, 1)}'
            with relay(channels, penpot=penpot.url, extra=extra) as service:
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
    """A reply in one of 600 threads, by one of 10 people, of whom it contains only the id."""
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
