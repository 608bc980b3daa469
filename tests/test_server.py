"""Requests of Penpot's Java client over plain http, which offer HTTP/2."""

import contextlib
import json
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from relay.server import HEAD_LIMIT, H2cBlindProtocol

UPGRADE = (
    b"Connection: Upgrade, HTTP2-Settings\r\n"
    b"HTTP2-Settings: AAEAAEAAAAIAAAABAAMAAABkAAQBAAAAAAUAAEAA\r\n"
    b"Upgrade: h2c\r\n"
)


class Echo:
    """Responds with the request's method, path, header names and body."""

    def __init__(self) -> None:
        self.seen: list[dict[str, Any]] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        body = b""
        more = True
        while more:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
        self.seen.append({"method": scope["method"], "path": scope["path"], "body": body})
        answer = json.dumps({"length": len(body)}).encode()
        length = str(len(answer)).encode()
        headers = [(b"content-length", length)]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": answer})


@contextlib.contextmanager
def serving(app: Any) -> Iterator[int]:
    config = uvicorn.Config(
        app, port=0, http=H2cBlindProtocol, ws="none", lifespan="off", log_config=None
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.005)
    yield server.servers[0].sockets[0].getsockname()[1]
    server.should_exit = True
    thread.join()


@pytest.fixture(scope="module")
def echo() -> Echo:
    return Echo()


@pytest.fixture(scope="module")
def port(echo: Echo) -> Iterator[int]:
    with serving(echo) as port:
        yield port


def exchange(port: int, *chunks: bytes, answers: int = 1) -> bytes:
    with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
        for chunk in chunks:
            connection.sendall(chunk)
            time.sleep(0.01)
        answer = b""
        while answer.count(b"HTTP/1.1 ") < answers or not answer.endswith(b"}"):
            part = connection.recv(65536)
            if not part:
                break
            answer += part
        return answer


def request(body: bytes, extra: bytes = UPGRADE) -> bytes:
    length = str(len(body)).encode()
    return (
        b"POST /hooks/acme/s HTTP/1.1\r\n" + extra + b"Content-Length: " + length + b"\r\n"
        b"Host: relay:8080\r\nUser-Agent: penpot/2.17.0\r\ncontent-type: application/json\r\n\r\n"
        + body
    )


@pytest.mark.parametrize("size", [0, 1, 1_000, 100_000, 1_000_000])
def test_a_body_after_an_upgrade_is_complete(port: int, echo: Echo, size: int) -> None:
    body = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
    answer = exchange(port, request(body))
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert echo.seen[-1] == {"method": "POST", "path": "/hooks/acme/s", "body": body}


def test_a_request_may_arrive_in_any_pieces(port: int, echo: Echo) -> None:
    whole = request(b'{"name": "create-file"}')
    for cut in range(1, len(whole), 23):
        exchange(port, whole[:cut], whole[cut:])
        assert echo.seen[-1]["body"] == b'{"name": "create-file"}'
    exchange(port, *(whole[i : i + 1] for i in range(0, len(whole), 1)))
    assert echo.seen[-1]["body"] == b'{"name": "create-file"}'


def test_a_chunked_body_is_complete(port: int, echo: Echo) -> None:
    head = b"POST /p HTTP/1.1\r\nHost: x\r\n" + UPGRADE + b"Transfer-Encoding: chunked\r\n\r\n"
    exchange(port, head + b"5\r\nhello\r\n", b"6\r\n world\r\n0\r\n\r\n")
    assert echo.seen[-1]["body"] == b"hello world"


def test_keep_alive_and_pipelining(port: int, echo: Echo) -> None:
    before = len(echo.seen)
    pipelined = request(b"first") + request(b"second") + request(b"third", extra=b"")
    answer = exchange(port, pipelined, answers=3)
    assert answer.count(b"HTTP/1.1 200 ") == 3
    assert [seen["body"] for seen in echo.seen[before:]] == [b"first", b"second", b"third"]


def test_a_head_request_with_an_upgrade_is_answered(port: int, echo: Echo) -> None:
    head = b"HEAD /hooks/acme/s HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n" + UPGRADE + b"\r\n"
    assert exchange(port, head + request(b"x"), answers=2).count(b"HTTP/1.1 200 ") == 2
    assert [seen["method"] for seen in echo.seen[-2:]] == ["HEAD", "POST"]


def test_the_client_may_ask_to_close_the_connection(port: int) -> None:
    closing = UPGRADE.replace(b"Upgrade, HTTP2-Settings", b"close, Upgrade, HTTP2-Settings")
    with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
        connection.sendall(request(b"x", extra=closing))
        answer = b""
        while part := connection.recv(65536):
            answer += part
    assert b"connection: close" in answer.lower()


@pytest.mark.parametrize(
    "hostile",
    [
        b"\x16\x03\x01\x02\x00\x01\x00",
        b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        b"CONNECT relay:80 HTTP/1.1\r\nHost: x\r\n" + UPGRADE + b"\r\n",
        b"GET / HTTP/1.1\r\nX: " + b"y" * (HEAD_LIMIT + 1),
        b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * HEAD_LIMIT,
    ],
    ids=["tls", "negative length", "connect", "endless header", "endless headers"],
)
def test_invalid_requests_are_refused(port: int, hostile: bytes) -> None:
    with contextlib.suppress(ConnectionError):  # closed while we were still sending
        assert exchange(port, hostile).startswith(b"HTTP/1.1 400 ")
    assert exchange(port, request(b"still here")).startswith(b"HTTP/1.1 200 ")


def test_endless_trailers_are_refused(port: int) -> None:
    head = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n"
    sent = 0
    with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
        connection.sendall(head)
        with contextlib.suppress(ConnectionError):  # closed while we are still sending
            while sent < 1000:
                connection.sendall(b"a: " + b"b" * 60_000 + b"\r\n")
                time.sleep(0.001)
                sent += 1
    assert sent < 100


def test_bytes_after_the_last_request_are_ignored(port: int) -> None:
    for extra in (b"Connection: close\r\n", UPGRADE.replace(b"Upgrade, ", b"close, Upgrade, ")):
        assert exchange(port, request(b"x", extra) + b"more").startswith(b"HTTP/1.1 200 ")


@pytest.mark.skipif(shutil.which("java") is None, reason="no java: default-jdk-headless is missing")
def test_a_real_java_client_works(port: int, echo: Echo) -> None:
    """As Penpot's backend does it: java.net.http.HttpClient with its defaults."""
    before = len(echo.seen)
    source = Path(__file__).parent / "penpot" / "Post.java"
    payload = Path(__file__).parent / "penpot" / "payloads" / "create-comment" / "max-length.json"
    url = f"http://127.0.0.1:{port}/hooks/acme/secret"
    run = subprocess.run(
        ["java", str(source), url, str(payload)], capture_output=True, text=True, timeout=60
    )
    assert run.stdout.split() == ["HEAD", "200", "POST", "200", "POST", "200"], run.stderr
    first, *posts = echo.seen[before:]
    assert (first["method"], first["body"]) == ("HEAD", b"")
    assert [post["body"] for post in posts] == [payload.read_bytes()] * 2
