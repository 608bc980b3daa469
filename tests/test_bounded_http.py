"""Answers of a real server: too long, encoded, slow, or a redirect."""

import asyncio
import gzip
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import aiohttp
import httpx
import pytest

from relay import bounded_http
from relay.bounded_http import Answer, UnusableAnswer, read_bounded
from tests.servers.loopback import Answer as Sent
from tests.servers.loopback import Request, in_thread

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n"


@asynccontextmanager
async def endless(chunk: bytes, pause: float) -> AsyncIterator[tuple[str, list[int]]]:
    """A server whose answer never ends: its address, and the size of each chunk that it sent."""
    sent: list[int] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(HEAD)
        with suppress(ConnectionError):
            while True:
                writer.write(chunk)
                await writer.drain()
                sent.append(len(chunk))
                await asyncio.sleep(pause)
        writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", sent
        await asyncio.sleep(3 * pause)  # it sees that nobody listens


async def with_httpx(url: str, max_bytes: int = 1000, seconds: float = 10.0) -> Answer:
    async with httpx.AsyncClient() as client:
        return await bounded_http.request(
            client, "GET", url, max_bytes=max_bytes, seconds=seconds, headers={"x-own": "1"}
        )


async def with_aiohttp(url: str, max_bytes: int = 1000, seconds: float = 10.0) -> Answer:
    timeout = aiohttp.ClientTimeout(total=seconds)
    headers = bounded_http.IDENTITY | {"x-own": "1"}
    session = aiohttp.ClientSession(auto_decompress=False, timeout=timeout, headers=headers)
    async with session, session.get(url, allow_redirects=False) as response:
        chunks = response.content.iter_any()
        try:
            body = await read_bounded(chunks, response.headers, max_bytes)
        except UnusableAnswer:
            response.close()
            raise
        return Answer(response.status, response.headers, body)


pytestmark = pytest.mark.anyio
Get = Callable[..., Any]


@pytest.fixture(params=[with_httpx, with_aiohttp])
def get(request: pytest.FixtureRequest) -> Get:
    client: Get = request.param
    return client


async def test_an_answer_within_the_bounds_is_read_whole(get: Get) -> None:
    requests: list[Request] = []

    def answer(request: Request) -> Sent:
        requests.append(request)
        return Sent(b"a" * 1000, 404)

    with in_thread(answer) as server:
        response = await get(server.url)

    assert (response.status, response.body) == (404, b"a" * 1000)
    assert response.headers["content-type"].startswith("application/json")
    assert requests[0].headers["accept-encoding"] == "identity"
    assert requests[0].headers["x-own"] == "1"


async def test_an_endless_body_is_read_up_to_the_limit(get: Get) -> None:
    async with endless(b"a" * 65536, 0.001) as (url, sent):
        with pytest.raises(UnusableAnswer, match="more than 1000000 bytes"):
            await get(url, 1_000_000)

    assert sum(sent) < 20_000_000  # what fits into the buffers of the sockets


@pytest.mark.parametrize("encoding", ["gzip", "br", "identity, gzip", "GZIP"])
async def test_an_encoded_answer_is_not_expanded(get: Get, encoding: str) -> None:
    bomb = gzip.compress(b"\0" * 50_000_000)
    headers = {"Content-Encoding": encoding}
    with (
        in_thread(lambda _: Sent(bomb, headers=headers)) as server,
        pytest.raises(UnusableAnswer, match="an encoding that was not requested"),
    ):
        await get(server.url, 1_000_000)


async def test_an_answer_that_drips_ends_with_the_total_time(get: Get) -> None:
    began = time.monotonic()
    async with endless(b"a", 0.02) as (url, sent):
        with pytest.raises(TimeoutError):
            await get(url, 1_000_000, seconds=0.3)

    assert len(sent) > 1
    assert time.monotonic() - began < 3


async def test_a_redirect_is_an_answer_and_not_followed(get: Get) -> None:
    elsewhere: list[Request] = []

    def other(request: Request) -> Sent:
        elsewhere.append(request)
        return Sent(b"secret")

    with in_thread(other) as target:
        headers = {"Location": target.url}
        with in_thread(lambda _: Sent(b"", 307, headers=headers)) as server:
            response = await get(server.url)

    assert (response.status, response.body) == (307, b"")
    assert elsewhere == []


async def test_many_small_chunks_take_little_time_and_delay_no_other_task() -> None:
    turns = chunks = 0

    async def other_task() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    async def small_chunks() -> AsyncIterator[bytes]:
        nonlocal chunks
        while chunks < 1_000_000:
            chunks += 1
            yield b"a"

    task = asyncio.create_task(other_task())
    with pytest.raises(UnusableAnswer):
        await read_bounded(small_chunks(), {}, 1_000_000)
    task.cancel()
    assert chunks < 2100
    assert turns > 2000 - 10


async def status_of(url: str, seconds: float = 10.0) -> int:
    async with httpx.AsyncClient() as client:
        answer = await bounded_http.call(client, "POST", url, max_bytes=1000, seconds=seconds)
    assert answer.body == b""
    return answer.status


async def test_a_caller_that_needs_no_body_has_the_status_whatever_follows() -> None:
    async with endless(b"a" * 65536, 0.001) as (url, _):
        assert await status_of(url) == 200
    began = time.monotonic()
    async with endless(b"a", 0.02) as (url, _):
        assert await status_of(url, seconds=0.3) == 200
    assert time.monotonic() - began < 3
    bomb = Sent(gzip.compress(b"\0" * 50_000_000), 201, headers={"Content-Encoding": "gzip"})
    with in_thread(lambda _: bomb) as server:
        assert await status_of(server.url) == 201


async def test_without_a_status_it_has_an_error() -> None:
    with in_thread(lambda _: Sent(cut=True)) as server, pytest.raises(httpx.HTTPError):
        await status_of(server.url)


async def test_a_short_body_leaves_the_connection_open() -> None:
    ports: set[object] = set()
    with in_thread(lambda _: Sent(b"ok")) as server:
        async with httpx.AsyncClient() as client:
            for _ in range(3):
                await bounded_http.call(client, "POST", server.url, max_bytes=1000, seconds=5.0)
                pool = client._transport._pool  # type: ignore[attr-defined]
                ports |= set(map(id, pool.connections))
    assert len(ports) == 1
