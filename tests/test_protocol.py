"""Requests of Penpot's Java client, which offer HTTP/2 over plain http, and hostile ones."""

import asyncio
import contextlib
import json
import shutil
import socket
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, cast

import pytest
import uvicorn

from relay import protocol
from relay.protocol import (
    AUTHENTICATED,
    MAX_HEAD_BYTES,
    MAX_HEADER_COUNT,
    MAX_PIPELINED_COUNT,
    BoundedProtocol,
    ConnectionTable,
)
from tests.service import wait_until

UPGRADE = (
    b"Connection: Upgrade, HTTP2-Settings\r\n"
    b"HTTP2-Settings: AAEAAEAAAAIAAAABAAMAAABkAAQBAAAAAAUAAEAA\r\n"
    b"Upgrade: h2c\r\n"
)


class Echo:
    """Responds with the request's method, path, header names and body."""

    def __init__(self) -> None:
        self.seen: list[dict[str, Any]] = []
        self.versions: list[str] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        body = b""
        more = True
        while more:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
        self.seen.append({"method": scope["method"], "path": scope["path"], "body": body})
        self.versions.append(scope["http_version"])
        if scope["path"].startswith("/hooks/"):
            scope["extensions"][AUTHENTICATED](scope["path"].split("/")[2])
        answer = json.dumps({"length": len(body)}).encode()
        length = str(len(answer)).encode()
        headers = [(b"content-length", length)]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": answer})


class Refusals(Counter[str]):
    def count(self, _: str, reason: str) -> None:
        self[reason] += 1


@contextlib.contextmanager
def serving(
    app: Any, refusals: Refusals | None = None, max_connections: int = 256
) -> Iterator[int]:
    refusals = Refusals() if refusals is None else refusals
    table = ConnectionTable("test", max_connections, refusals.count)
    protocol = cast(Any, partial(BoundedProtocol, table=table))
    config = uvicorn.Config(app, port=0, http=protocol, ws="none", lifespan="off", log_config=None)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.005)
    try:
        yield server.servers[0].sockets[0].getsockname()[1]
    finally:
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
        b"GET / HTTP/1.1\r\nX: " + b"y" * (MAX_HEAD_BYTES + 1),
        b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * MAX_HEAD_BYTES,
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


def test_many_pipelined_upgrades_are_answered_one_after_the_other(port: int, echo: Echo) -> None:
    """So short that one read has more of them than Python's recursion limit."""
    upgrade = (
        b"POST / HTTP/1.1\r\nConnection: upgrade\r\nUpgrade: h2c\r\nContent-Length: 1\r\n\r\nx"
    )
    before = len(echo.seen)
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        sender = threading.Thread(target=connection.sendall, args=(upgrade * 2000,))
        sender.start()
        answer = b""
        while answer.count(b"HTTP/1.1 200 ") < 2000:
            part = connection.recv(65536)
            assert part
            answer += part
        sender.join()
    assert len(echo.seen) - before == 2000


@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_an_upgrade_keeps_the_requests_version(port: int, echo: Echo, version: str) -> None:
    exchange(port, request(b"x").replace(b"HTTP/1.1", f"HTTP/{version}".encode(), 1))
    assert echo.versions[-1] == version


@pytest.mark.parametrize(
    ("hostile", "reason"),
    [
        (b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * (MAX_HEADER_COUNT + 500), b"too many headers"),
        (b"GET / HTTP/1.1\r\n\r\n" * (MAX_PIPELINED_COUNT + 3), b""),
    ],
    ids=["headers", "requests"],
)
def test_what_is_too_much_is_refused(hostile: bytes, reason: bytes) -> None:
    release = threading.Event()

    async def slow(scope: Any, receive: Any, send: Any) -> None:
        await asyncio.to_thread(release.wait)
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    refusals = Refusals()
    with (
        serving(slow, refusals) as port,
        socket.create_connection(("127.0.0.1", port), timeout=5) as connection,
    ):
        connection.sendall(hostile)
        if reason:
            assert reason in connection.recv(65536)
        wait_until(lambda: refusals.total() > 0, 10)
        release.set()
    assert refusals.total() == 1


def use_timeouts(monkeypatch: pytest.MonkeyPatch, **seconds: float) -> None:
    """Short bounds; the tests wait for what they cause, not for the time itself."""
    monkeypatch.setattr(protocol, "SWEEP_INTERVAL", 0.05)
    for name, value in seconds.items():
        monkeypatch.setattr(protocol, name, value)


def without_reading(status: int) -> Any:
    """An application that responds before the request's body has arrived."""

    async def application(scope: Any, receive: Any, send: Any) -> None:
        headers = [(b"content-length", b"0")]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": b""})

    return application


def rest(connection: socket.socket) -> bytes:
    """What arrives until the server closes the connection."""
    answer = b""
    with contextlib.suppress(ConnectionError):
        while part := connection.recv(65536):
            answer += part
    return answer


@pytest.mark.parametrize(
    "beginning",
    [
        b"\r\n",
        b"POST /hooks/acme/s HT",
        request(b"", extra=UPGRADE)[:-2],
        request(b"x") + b"P",
    ],
    ids=["line end", "method", "upgrade", "second request"],
)
def test_a_head_that_is_never_complete_is_refused(
    monkeypatch: pytest.MonkeyPatch, beginning: bytes
) -> None:
    use_timeouts(monkeypatch, HEAD_TIMEOUT=0.3)
    refusals = Refusals()
    with (
        serving(Echo(), refusals) as port,
        socket.create_connection(("127.0.0.1", port), timeout=10) as connection,
    ):
        connection.sendall(beginning)
        answer = rest(connection)
    assert b"HTTP/1.1 408 Request Timeout\r\n" in answer
    assert refusals == {"The request's head is not complete in time.": 1}


def test_a_connection_that_was_opened_in_advance_is_closed_without_a_response(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    use_timeouts(monkeypatch, HEAD_TIMEOUT=0.3)
    refusals = Refusals()
    with (
        serving(Echo(), refusals) as port,
        socket.create_connection(("127.0.0.1", port), timeout=10) as connection,
    ):
        assert rest(connection) == b""
    assert refusals == {}


def test_a_body_after_its_response_keeps_no_connection_open(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    use_timeouts(monkeypatch, STRANGER_KEEP_ALIVE_TIMEOUT=0.3)
    with (
        serving(without_reading(200), max_connections=1) as port,
        socket.create_connection(("127.0.0.1", port), timeout=10) as connection,
    ):
        connection.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\n")
        assert b" 200 " in connection.recv(65536)
        connection.sendall(b"x")
        assert rest(connection) == b""


def test_a_head_that_comes_byte_by_byte_gets_no_more_time(monkeypatch: pytest.MonkeyPatch) -> None:
    use_timeouts(monkeypatch, HEAD_TIMEOUT=0.3)
    with (
        serving(Echo()) as port,
        socket.create_connection(("127.0.0.1", port), timeout=10) as connection,
    ):
        sent = 0
        with contextlib.suppress(ConnectionError):
            for sent in range(400):
                connection.sendall(b"G" if sent else b"POST /")
                time.sleep(0.025)
    assert sent < 399


def test_a_body_that_nobody_reads_has_to_be_complete_in_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    use_timeouts(monkeypatch, BODY_TIMEOUT=0.3)
    refusals = Refusals()
    with (
        serving(without_reading(404), refusals) as port,
        socket.create_connection(("127.0.0.1", port), timeout=10) as connection,
    ):
        connection.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n")
        answer = rest(connection)
    assert b" 404 " in answer
    assert refusals == {"The request's body is not complete in time.": 1}


def test_a_body_that_is_awaited_gets_a_response(monkeypatch: pytest.MonkeyPatch) -> None:
    use_timeouts(monkeypatch, BODY_TIMEOUT=0.3)
    ends: list[str] = []

    async def reading(scope: Any, receive: Any, send: Any) -> None:
        while (message := await receive())["type"] == "http.request":
            assert message["more_body"]
        ends.append(message["type"])
        await send({"type": "http.response.start", "status": 400, "headers": []})
        await send({"type": "http.response.body", "body": b"not sent"})

    refusals = Refusals()
    with (
        serving(reading, refusals) as port,
        socket.create_connection(("127.0.0.1", port), timeout=10) as connection,
    ):
        connection.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nx")
        answer = rest(connection)
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert answer.count(b"HTTP/1.1") == 1
    assert ends == ["http.disconnect"]
    assert refusals == {"The request's body is not complete in time.": 1}


def test_a_response_that_nobody_reads_ends_the_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    async def large(scope: Any, receive: Any, send: Any) -> None:
        headers = [(b"content-length", b"20000000")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        for _ in range(20):
            await send({"type": "http.response.body", "body": b"x" * 1_000_000, "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    use_timeouts(monkeypatch, WRITE_TIMEOUT=0.3)
    refusals = Refusals()
    with (
        serving(large, refusals) as port,
        socket.create_connection(("127.0.0.1", port), timeout=10) as connection,
    ):
        connection.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" * 3)
        wait_until(lambda: refusals.total() == 1, 10)
        assert len(rest(connection)) < 20_000_000
    assert refusals == {"response not read in time": 1}


def test_a_slow_but_steady_reader_gets_all(monkeypatch: pytest.MonkeyPatch) -> None:
    async def large(scope: Any, receive: Any, send: Any) -> None:
        headers = [(b"content-length", b"20000000")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"x" * 20_000_000})

    use_timeouts(monkeypatch, WRITE_TIMEOUT=0.5)
    with (
        serving(large) as port,
        socket.create_connection(("127.0.0.1", port), timeout=10) as connection,
    ):
        connection.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        received = 0
        while part := connection.recv(1_000_000):
            received += len(part)
            time.sleep(0.03)
    assert received > 20_000_000


def test_an_idle_stranger_is_closed_before_who_has_delivered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    use_timeouts(monkeypatch, STRANGER_KEEP_ALIVE_TIMEOUT=0.2)
    with (
        serving(Echo(), max_connections=3) as port,
        socket.create_connection(("127.0.0.1", port), timeout=10) as known,
        socket.create_connection(("127.0.0.1", port), timeout=10) as stranger,
    ):
        known.sendall(request(b"x"))
        assert known.recv(65536)
        stranger.sendall(request(b"x").replace(b"/hooks", b"/other"))
        assert b" 200 " in rest(stranger)
        known.sendall(request(b"x"))
        assert b" 200 " in known.recv(65536)


def test_a_new_connection_replaces_the_oldest_without_an_accepted_request() -> None:
    refusals = Refusals()
    with serving(Echo(), refusals, max_connections=4) as port, contextlib.ExitStack() as stack:

        def connect() -> socket.socket:
            return stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=10))

        def accepted(connection: socket.socket, team: bytes = b"acme") -> bool:
            connection.sendall(request(b"x").replace(b"acme", team))
            return b" 200 " in connection.recv(65536)

        known, oldest, newer = connect(), connect(), connect()
        assert accepted(known)
        last = connect()
        assert accepted(connect(), b"other")
        assert rest(oldest) == b""
        assert accepted(known)
        assert accepted(newer)
        assert accepted(last)
        # Few have no accepted request: the team with the most loses one.
        assert accepted(connect(), b"third")
        assert rest(known) == b""
        assert accepted(newer)
        assert refusals == {"all connections in use": 2}


@pytest.mark.parametrize(
    ("start", "text"),
    [
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"TLS at a port for plain HTTP"),
        (b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n", b"The PROXY protocol is not supported"),
        (b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c", b"The PROXY protocol is not supported"),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"HTTP/2 is not supported"),
    ],
)
def test_what_a_wrong_setup_sends_is_named(start: bytes, text: bytes) -> None:
    with serving(Echo()) as port:
        answer = exchange(port, start + b"POST / HTTP/1.1\r\nhost: x\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert text in answer


def test_refusals_are_logged_together(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    use_timeouts(monkeypatch, REPORT_INTERVAL=0.5)
    with serving(Echo()) as port:
        for _ in range(50):
            with contextlib.suppress(ConnectionError):
                exchange(port, b"\x16\x02\x01\r\n\r\n")
        wait_until(lambda: "refused" in caplog.text, 10)
        time.sleep(0.2)
    lines = [record.getMessage() for record in caplog.records if "refused" in record.getMessage()]
    assert len(lines) <= 3
    assert "Invalid HTTP request received." in lines[0]
