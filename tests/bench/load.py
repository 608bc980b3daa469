"""A load on a hook: different bodies of 1 KB over kept connections, as fast as it responds.

    python tests/bench/load.py http://127.0.0.1:8080/hooks/acme/SECRET --seconds 5

Prints one line of JSON: answers per second, how many of each status, latency in ms.
Loopback only.
"""

import argparse
import asyncio
import itertools
import json
import time
from typing import cast
from urllib.parse import urlsplit

import uvloop

PAD = "The hero spacing looks off on mobile. " * 14
BODY = json.dumps(
    {
        "name": "create-comment",
        "props": {
            "id": "SERIES-5d0e-81a4-8006-NUMBER",
            "threadId": "c0000001-5d0e-81a4-8006-9b0000000001",
            "fileId": "4c8d3e30-5d0e-81a4-8006-9a3f00000001",
            "ownerId": "6eaf5050-5d0e-81a4-8006-9a5f00000001",
            "ownerFullname": "Ada Lovelace",
            "content": PAD,
            "mentions": [],
            "createdAt": "TIME",
            "modifiedAt": "TIME",
        },
        "createdAt": "TIME",
        "profileId": "6eaf5050-5d0e-81a4-8006-9a5f00000001",
        "trackedAt": "RUN",
    }
)


class Client(asyncio.Protocol):
    """One connection: a request, its answer, the next request."""

    def __init__(self, load: "Load") -> None:
        self.load = load

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.load.send(self)

    def data_received(self, data: bytes) -> None:
        # an answer of these servers is one small segment
        self.load.received(self, data[9:12])

    def connection_lost(self, error: Exception | None) -> None:
        self.load.lost += not self.load.done.is_set()


class Load:
    """Requests and responses."""

    def __init__(self, path: str, limit: int, until: float) -> None:
        self.numbers = itertools.count()
        self.run = int(time.time() * 1000)
        self.path = path
        self.limit = limit
        self.until = until
        self.sent: dict[Client, float] = {}
        self.times: list[float] = []
        self.statuses: dict[str, int] = {}
        self.lost = 0
        self.done = asyncio.Event()

    def send(self, client: Client) -> None:
        now = time.perf_counter()
        number = next(self.numbers)
        if number >= self.limit or now > self.until:
            if not self.sent:
                self.done.set()
            return
        seconds, millis = divmod(number, 1000)
        minutes, seconds = divmod(seconds, 60)
        body = (
            BODY.replace("NUMBER", f"{number:012x}")
            .replace("RUN", str(self.run))
            .replace("SERIES", f"{self.run % 2**32:08x}")
            .replace("TIME", f"2026-07-25T08:{minutes:02}:{seconds:02}.{millis:03}Z")
        )
        client.transport.write(
            (
                f"POST {self.path} HTTP/1.1\r\nHost: relay\r\ncontent-type: application/json\r\n"
                f"Content-Length: {len(body)}\r\n\r\n{body}"
            ).encode()
        )
        self.sent[client] = now

    def received(self, client: Client, status: bytes) -> None:
        self.times.append(time.perf_counter() - self.sent.pop(client))
        key = status.decode()
        self.statuses[key] = self.statuses.get(key, 0) + 1
        self.send(client)


async def run(url: str, connections: int, seconds: float, limit: int) -> dict[str, object]:
    parts = urlsplit(url)
    assert parts.hostname == "127.0.0.1", "loopback only"
    started = time.perf_counter()
    load = Load(parts.path, limit, started + seconds)
    loop = asyncio.get_running_loop()
    for _ in range(connections):
        await loop.create_connection(lambda: Client(load), parts.hostname, parts.port)
    async with asyncio.timeout(seconds + 60):
        await load.done.wait()
    took = time.perf_counter() - started
    times = sorted(load.times)
    return {
        "rate": round(len(times) / took),
        "statuses": load.statuses,
        "lost": load.lost,
        "median_ms": round(times[len(times) // 2] * 1e3, 2),
        "p99_ms": round(times[len(times) * 99 // 100] * 1e3, 2),
        "seconds": round(took, 2),
    }


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("url")
    arguments.add_argument("--connections", type=int, default=64)
    arguments.add_argument("--seconds", type=float, default=5.0)
    arguments.add_argument("--limit", type=int, default=10**9)
    given = arguments.parse_args()
    print(json.dumps(uvloop.run(run(given.url, given.connections, given.seconds, given.limit))))


if __name__ == "__main__":
    main()
