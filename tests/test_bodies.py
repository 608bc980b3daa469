"""Bodies that stall, pile up or break off."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from relay import bodies
from relay.bodies import MAX_LARGE_BODIES, BodyReader, RequestRefused
from relay.penpot.wire import LARGE_BODY_BYTES

MAX_BODY = 1_000_000

pytestmark = pytest.mark.anyio


class Client:
    """An ASGI ``receive`` whose parts arrive when the test sends them."""

    def __init__(self, *parts: bytes, complete: bool = False) -> None:
        self.parts: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        for part in parts:
            self.send(part)
        if complete:
            self.send(b"", more=False)

    def send(self, part: bytes, *, more: bool = True) -> None:
        self.parts.put_nowait({"type": "http.request", "body": part, "more_body": more})

    async def __call__(self) -> dict[str, Any]:
        return await self.parts.get()


def reading(reader: BodyReader, client: Client, team: str = "acme") -> "asyncio.Task[int]":
    async def read() -> int:
        beginning = await reader.begin(client)
        if beginning.is_small:
            return len(beginning.received)
        async with reader.rest(team, client, beginning) as body:
            return len(body)

    return asyncio.create_task(read())


async def status(task: Awaitable[int]) -> int:
    with pytest.raises(RequestRefused) as refusal:
        await task
    return refusal.value.status


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "BODY_TIMEOUT", 0.2)


@pytest.mark.parametrize("size", [0, 1, LARGE_BODY_BYTES, LARGE_BODY_BYTES + 1, MAX_BODY])
async def test_a_body_is_read_whole(size: int) -> None:
    parts = [b"x" * min(10_000, size - at) for at in range(0, size, 10_000)]
    assert await reading(BodyReader(MAX_BODY), Client(*parts, complete=True)) == size


async def test_a_body_over_the_limit_is_refused() -> None:
    client = Client(*[b"x" * 250_000] * 5)
    assert await status(reading(BodyReader(MAX_BODY), client)) == 413
    assert client.parts.qsize() == 0


async def test_a_connection_that_closes_is_refused() -> None:
    client = Client(b"x")
    client.parts.put_nowait({"type": "http.disconnect"})
    assert await status(reading(BodyReader(MAX_BODY), client)) == 400


@pytest.mark.usefixtures("short")
@pytest.mark.parametrize("beginning", [0, 1, LARGE_BODY_BYTES + 1])
async def test_a_body_that_never_ends_is_refused(beginning: int) -> None:
    """Also one without a first byte. The listener closes the connection of a small one."""
    client = Client(*[b"x" * beginning] if beginning else [])
    task = reading(BodyReader(MAX_BODY), client)
    if beginning <= LARGE_BODY_BYTES:
        await asyncio.sleep(0.3)
        client.parts.put_nowait({"type": "http.disconnect"})
    assert await status(task) == 408


async def test_a_stalled_large_body_delays_only_its_own_team() -> None:
    reader = BodyReader(MAX_BODY)
    stalled = reading(reader, Client(b"x" * 500_000))
    await asyncio.sleep(0)
    large = [b"x" * 500_000] * 2
    async with asyncio.timeout(5):
        assert await reading(reader, Client(*large, complete=True), "other") == MAX_BODY
        assert await reading(reader, Client(b"small", complete=True)) == 5
    same_team = reading(reader, Client(*large, complete=True))
    await asyncio.sleep(0.05)
    assert not same_team.done()
    stalled.cancel()
    assert await same_team == MAX_BODY


async def test_the_oldest_incomplete_body_makes_room() -> None:
    reader = BodyReader(MAX_BODY)
    clients = [Client(b"x" * 900_000) for _ in range(MAX_LARGE_BODIES)]
    tasks = [reading(reader, client, f"team-{n}") for n, client in enumerate(clients)]
    await asyncio.sleep(0.05)
    async with asyncio.timeout(5):
        assert await reading(reader, Client(b"x" * 900_000, complete=True), "other") == 900_000
        assert await status(tasks[0]) == 503
    for client, task in zip(clients[1:], tasks[1:], strict=True):
        client.send(b"", more=False)
        assert await task == 900_000


async def test_large_bodies_are_handed_out_one_at_a_time() -> None:
    reader = BodyReader(MAX_BODY)
    at_once = 0
    most = 0

    async def take(team: str) -> None:
        nonlocal at_once, most
        client = Client(b"x" * 300_000, complete=True)
        async with reader.rest(team, client, await reader.begin(client)):
            at_once += 1
            most = max(most, at_once)
            await asyncio.sleep(0.01)
            at_once -= 1

    await asyncio.gather(*(take(f"team-{n}") for n in range(4)))
    assert most == 1


@pytest.mark.usefixtures("short")
async def test_a_refused_body_leaves_nothing_behind() -> None:
    reader = BodyReader(MAX_BODY)
    runs: list[Callable[[], Client]] = [
        lambda: Client(b"x" * 500_000),
        lambda: Client(b"x" * 500_000, b"y" * 600_000),
    ]
    for make in runs * 5:
        await status(reading(reader, make()))
    assert await reading(reader, Client(b"x" * MAX_BODY, complete=True)) == MAX_BODY


async def test_many_bodies_that_grow_together_stay_within_the_bound() -> None:
    reader = BodyReader(MAX_BODY)
    clients = [Client(b"x" * 300_000) for _ in range(8)]
    tasks = [reading(reader, client, f"team-{n}") for n, client in enumerate(clients)]
    await asyncio.sleep(0.05)
    for _ in range(3):
        for client in clients:
            client.send(b"x" * 200_000)
        await asyncio.sleep(0.01)
        assert sum(item.size for item in reader._large) <= MAX_LARGE_BODIES * MAX_BODY
    for client in clients:
        client.send(b"", more=False)
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    refused = [item for item in outcomes if isinstance(item, RequestRefused)]
    assert [item.status for item in refused] == [503] * len(refused)
    assert outcomes.count(900_000) + len(refused) == 8
    assert outcomes.count(900_000) >= 2
