"""Coverage-guided fuzzing of request heads through Relay's HTTP protocol.

    PYTHONPATH=. python tests/fuzz/fuzz_protocol.py -max_total_time=60 -rss_limit_mb=512 -timeout=5

An input describes requests on one connection. With ``Upgrade: h2c`` in each head, cut into pieces,
Relay's protocol has to give the application the same requests as uvicorn's own protocol gives for
the same bytes without that header, and to refuse the same ones. See ``fuzz_wire`` for ``atheris``.
"""

import asyncio
from typing import Any

import atheris

with atheris.instrument_imports(include=["relay"]):
    from relay.protocol import BoundedProtocol, ConnectionTable

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from tests.fuzz.fuzzing import fuzz

UPGRADE = b"Upgrade: h2c\r\n"
METHODS = (b"POST", b"HEAD", b"GET", b"OPTIONS", b"NOTIFY", b"post", b"")
VERSIONS = (b"HTTP/1.1", b"HTTP/1.0", b"HTTP/2.0", b"http/1.1", b"")
LOOP = asyncio.new_event_loop()


class Transport(asyncio.Transport):
    """Keeps what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self._is_closing = False

    def write(self, data: Any) -> None:
        self.written += bytes(data)

    def close(self) -> None:
        self._is_closing = True

    abort = close

    def is_closing(self) -> bool:
        return self._is_closing

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return default

    def pause_reading(self) -> None:
        pass

    resume_reading = pause_reading


class Application:
    """Keeps the requests whose body is complete."""

    def __init__(self) -> None:
        self.requests: list[tuple[Any, ...]] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        body, more = b"", True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            body += message["body"]
            more = message["more_body"]
        headers = [item for item in scope["headers"] if item[0] not in (b"upgrade", b"connection")]
        line = scope["method"], scope["raw_path"], scope["query_string"], scope["http_version"]
        self.requests.append((*line, headers, body))
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body", "body": b""})


def outcome(bounded: bool, pieces: list[bytes]) -> tuple[list[tuple[Any, ...]], bool]:
    """The requests that the application got, and whether the connection was closed."""
    return LOOP.run_until_complete(_outcome(bounded, pieces))


async def _outcome(bounded: bool, pieces: list[bytes]) -> tuple[list[tuple[Any, ...]], bool]:
    application, state = Application(), ServerState()
    arguments: dict[str, Any] = {"server_state": state, "app_state": {}, "_loop": LOOP}
    arguments["config"] = uvicorn.Config(application, ws="none", log_config=None, access_log=False)
    if bounded:
        table = ConnectionTable("fuzz", 8, lambda *_: None)
        protocol: HttpToolsProtocol = BoundedProtocol(**arguments, table=table)
    else:
        protocol = HttpToolsProtocol(**arguments)
    transport = Transport()
    protocol.connection_made(transport)
    for piece in pieces:
        if not transport.is_closing():
            protocol.data_received(piece)
        for _ in range(1 if bounded else 10):  # more turns of the loop than a request needs
            await asyncio.sleep(0)
    for _ in range(20):
        await asyncio.sleep(0)
    refused = transport.is_closing()
    protocol.connection_lost(ConnectionError())
    for task in state.tasks:
        task.cancel()
    await asyncio.gather(*state.tasks, return_exceptions=True)
    return application.requests, refused


def one_input(data: bytes) -> None:
    provider = atheris.FuzzedDataProvider(data)
    plain, upgrading = [], []
    for _ in range(provider.ConsumeIntInRange(1, 3)):
        first, rest = _request(provider)
        plain.append(first + b"Connection: keep-alive\r\n" + rest)
        upgrading.append(first + b"Connection: keep-alive, Upgrade\r\n" + UPGRADE + rest)
    whole = b"".join(upgrading)
    step = provider.ConsumeIntInRange(1, len(whole))
    pieces = [whole[start : start + step] for start in range(0, len(whole), step)]
    expected, closed = outcome(False, plain)
    got, got_closed = outcome(True, pieces)
    assert got_closed == closed, (plain, pieces)
    # An invalid request closes the connection also before the response to an earlier one.
    assert got == expected[: len(got)], (plain, expected, got)
    assert closed or len(got) == len(expected), (plain, expected, got)


def _request(provider: Any) -> tuple[bytes, bytes]:
    method = METHODS[provider.ConsumeIntInRange(0, len(METHODS) - 1)]
    version = VERSIONS[provider.ConsumeIntInRange(0, len(VERSIONS) - 1)]
    path = b"/" + provider.ConsumeBytes(provider.ConsumeIntInRange(0, 20)).replace(b" ", b"")
    first = method + b" " + path + b" " + version + b"\r\nHost: relay\r\n"
    names = (b"X", b"Expect", b"Content-Type", b"Accept", b"")
    for _ in range(provider.ConsumeIntInRange(0, 4)):
        name = names[provider.ConsumeIntInRange(0, len(names) - 1)]
        value = provider.ConsumeBytes(provider.ConsumeIntInRange(0, 20))
        first += name + b": " + value.replace(b"\r", b"").replace(b"\n", b"") + b"\r\n"
    body = provider.ConsumeBytes(provider.ConsumeIntInRange(0, 200))
    if provider.ConsumeBool():
        chunked = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (body,) if part)
        return first, b"Transfer-Encoding: chunked\r\n\r\n" + chunked + b"0\r\n\r\n"
    length = len(body) + provider.ConsumeIntInRange(-1, 1) * provider.ConsumeBool()
    return first, b"Content-Length: %d\r\n\r\n" % length + body


if __name__ == "__main__":
    fuzz(one_input, (), "-max_len=600", "-len_control=0")
