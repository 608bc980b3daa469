"""What strangers and hook holders can do to a listener; bounded in count and time."""

import asyncio
import contextlib
import statistics
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from tests.service import JSON

ROOT = Path(__file__).parents[2]
UPGRADE = b"Connection: upgrade\r\nUpgrade: h2c\r\n"
"""As short as it can be: one read has many of them."""


@dataclass
class Target:
    port: int
    hostile_hook: str
    """The path of the hook that the attacker knows."""


Attack = Callable[[Target], Awaitable[None]]


async def _send(target: Target, *parts: bytes, pause: float = 0.0, reads: bool = False) -> None:
    """Open a connection, send ``parts``, and hold it until the server closes it."""
    with contextlib.suppress(OSError):
        # another address than Penpot's
        local = ("127.0.0.2", 0)
        reader, writer = await asyncio.open_connection("127.0.0.1", target.port, local_addr=local)
        try:
            for part in parts:
                writer.write(part)
                await writer.drain()
                await asyncio.sleep(pause)
            while reads and await reader.read(65536):
                pass
            if not reads:
                await writer.wait_closed()
        finally:
            writer.transport.abort()


async def _repeat(count: int, make: Callable[[], Awaitable[None]]) -> None:
    """Keep ``count`` connections open; each is replaced at most 5 times a second."""

    async def connection() -> None:
        while True:
            await make()
            await asyncio.sleep(0.2)

    await asyncio.gather(*(connection() for _ in range(count)))


async def unfinished_heads(target: Target) -> None:
    head = b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 10_000
    await _repeat(250, lambda: _send(target, head))


async def half_heads(target: Target) -> None:
    await _repeat(300, lambda: _send(target, b"POST /hooks/acme/x HTTP/1.1\r\nHost: re"))


async def slow_heads(target: Target) -> None:
    parts = [b"GET / HTTP/1.1\r\n", *[b"X: y\r\n"] * 50]
    await _repeat(100, lambda: _send(target, *parts, pause=0.5))


async def unread_responses(target: Target) -> None:
    requests = b"GET /healthz HTTP/1.1\r\nHost: relay\r\n\r\n" * 4500
    await _repeat(60, lambda: _send(target, requests))


async def idle_connections(target: Target) -> None:
    await _repeat(400, lambda: _send(target))


async def bodies_without_a_first_byte(target: Target) -> None:
    head = _post(target, 1000)
    await _repeat(60, lambda: _send(target, head))


async def stalled_large_bodies(target: Target) -> None:
    head = _post(target, 15_000_000)
    await _repeat(10, lambda: _send(target, head, b" " * 1_000_000))


async def pipelined_upgrades(target: Target) -> None:
    head = b"HEAD " + target.hostile_hook.encode() + b" HTTP/1.1\r\n" + UPGRADE
    await _repeat(4, lambda: _send(target, (head + b"\r\n") * 2000, reads=True))


def _post(target: Target, length: int) -> bytes:
    return (
        f"POST {target.hostile_hook} HTTP/1.1\r\nHost: relay\r\n"
        f"Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n"
    ).encode()


ATTACKS: dict[str, Attack] = {
    attack.__name__: attack
    for attack in (
        unfinished_heads,
        half_heads,
        slow_heads,
        unread_responses,
        idle_connections,
        bodies_without_a_first_byte,
        stalled_large_bodies,
        pipelined_upgrades,
    )
}


async def everything(target: Target) -> None:
    await asyncio.gather(*(attack(target) for attack in ATTACKS.values()))


@contextlib.contextmanager
def attacking(attack: Attack, target: Target) -> Iterator[None]:
    """Run the attack in a process of its own: what it costs must not delay the measured posts."""
    code = (
        "import asyncio, sys; from tests.faults import attacks; asyncio.run(attacks.run(sys.argv))"
    )
    arguments = (attack.__name__, str(target.port), target.hostile_hook)
    process = subprocess.Popen(
        [sys.executable, "-c", code, *arguments], cwd=ROOT, stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == b"started\n"
        yield
        assert process.poll() is None  # else it has ended with an error
    finally:
        process.kill()
        process.communicate()


async def run(arguments: Sequence[str]) -> None:
    """``arguments``: a program's name, the attack's, the port and the hook's path."""
    _, name, port, hook = arguments
    attack = {**ATTACKS, everything.__name__: everything}[name]
    print("started", flush=True)
    await attack(Target(int(port), hook))


@dataclass
class Penpot:
    """Posts once a second, as Penpot's one webhook thread, and notes what it gets."""

    hook: str
    seconds: list[float] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)

    def post_for(self, seconds: float) -> None:
        """Through one connection that is kept, and as often through a new one."""
        end = time.monotonic() + seconds
        with httpx.Client(headers=JSON, timeout=10, trust_env=False) as kept:
            while time.monotonic() < end:
                self.post(kept)
                with httpx.Client(headers=JSON, timeout=10, trust_env=False) as new:
                    self.post(new)
                time.sleep(max(0.0, 1 - sum(self.seconds[-2:])))

    def post(self, client: httpx.Client) -> None:
        body = b'{"name": "create-project", "props": {"name": "P%d"}}' % time.monotonic_ns()
        started = time.monotonic()
        self.statuses.append(client.post(self.hook, content=body).status_code)
        self.seconds.append(time.monotonic() - started)

    def __str__(self) -> str:
        return (
            f"{len(self.seconds)} posts, median {statistics.median(self.seconds) * 1000:.0f} ms,"
            f" longest {max(self.seconds) * 1000:.0f} ms"
        )
