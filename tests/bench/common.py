"""Shared by the benchmarks: a Relay to measure, a baseline, and the output."""

import asyncio
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import httpx

from tests.bench import load
from tests.servers.postgres import Postgres
from tests.service import JSON, Service, free_port, wait_until

FOLDER = os.environ.get("RELAY_BENCH_FOLDER")
FILE = "4c8d3e30-5d0e-81a4-8006-9a3f00000001"


def say(what: str, **figures: object) -> None:
    text = "  ".join(f"{key}={value}" for key, value in figures.items())
    print(f"{what:<10} {text}", flush=True)


def slack(port: int, count: int, events: str = '["*"]') -> str:
    return "".join(
        f'[[teams.acme.channels]]\nname = "c{number}"\ntype = "slack"\ntoken = "xoxb-bench"\n'
        f'channel = "C012345678{number}"\napi_url = "http://127.0.0.1:{port}/api/"\n'
        f"pace = 1000000\ndigest_after = 0\nevents = {events}\n"
        'activity = "each"\n'
        for number in range(count)
    )


@contextlib.contextmanager
def relay(
    channels: str, *, start: bool = True, penpot: str = "", extra: str = "", store: str = ""
) -> Iterator[Service]:
    """``store`` is the URL of a store; a new file by default."""
    with tempfile.TemporaryDirectory(dir=FOLDER) as folder:
        service = Service(Path(folder), channels, extra=f'{extra}\n[log]\nlevel = "warning"')
        if store:
            text = service.config.read_text()
            own = f"sqlite:///{folder}/relay.db"
            service.config.write_text(text.replace(f'"{own}"', f'"{store}"'))
        if penpot:
            text = service.config.read_text()
            service.config.write_text(text.replace("http://penpot.example", penpot))
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
    """The median time of an fdatasync of 4 KB."""
    with tempfile.NamedTemporaryFile(dir=FOLDER) as file:
        times = []
        for _ in range(50):
            file.write(b"x" * 4096)
            file.flush()
            started = time.perf_counter()
            os.fdatasync(file.fileno())
            times.append(time.perf_counter() - started)
    return round(sorted(times)[25] * 1e3, 2)


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


async def post_all(service: Service, first: int, count: int) -> None:
    async with httpx.AsyncClient() as client:
        numbers = iter(range(first, first + count))

        async def work() -> None:
            for number in numbers:
                answer = await client.post(service.hook, content=comment(number), headers=JSON)
                assert answer.status_code == 204

        await asyncio.gather(*(work() for _ in range(16)))


def cpu(service: Service) -> float:
    """CPU seconds of the service."""
    assert service.process is not None
    stat = Path(f"/proc/{service.process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(stat[11]) + int(stat[12])) / os.sysconf("SC_CLK_TCK")


@contextlib.contextmanager
def postgres() -> Iterator[Postgres]:
    """A database server with its data in the benchmarks' folder."""
    with tempfile.TemporaryDirectory(dir=FOLDER) as folder, Postgres(Path(folder)) as running:
        yield running
