"""A stand-in Penpot on loopback: its RPC API, its assets and its webhooks, with faults on demand.

    with StandIn() as penpot:
        penpot.world.files[landing].name = "Start page"
        penpot.faults["get-project"] = Fault(status=429)
        penpot.fire(PAYLOADS / "create-comment" / "plain.json")

It follows Penpot's code (2.15 to 2.17) and was not compared with an installation.
"""

import asyncio
import base64
import contextlib
import functools
import json
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qsl

from tests.penpot import methods
from tests.penpot.methods import Failed
from tests.penpot.sender import TRANSIT, Outcome, Sender
from tests.penpot.streams import read, to_bytes
from tests.penpot.world import World, load
from tests.servers.loopback import Answer, Request, Threaded

TOKEN = "eyJhbGciOiJBMjU2S1ciLCJlbmMiOiJBMjU2R0NNIn0.SecretTokenOfTheTests.aVeryLongSignature"
NEWER, OLDER = "/api/main/methods/", "/api/rpc/command/"
PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
"""A picture of one pixel."""

_ANONYMOUS = {"id": "00000000-0000-0000-0000-000000000000", "fullname": "Anonymous User"}
_HTML = "text/html"
# Type and code of Penpot's error bodies. No body comes from its middlewares (403) and its limits
# (429); 502 and 503 are a proxy's page.
_ERRORS = {
    400: ("validation", "params-validation"),
    401: ("authentication", "authentication-required"),
    404: ("not-found", "object-not-found"),
    409: ("conflict", "vern-conflict"),
    413: ("validation", "request-body-too-large"),
    500: ("server-error", "unexpected"),
    504: ("server-error", "statement-timeout"),
}


@dataclass(frozen=True)
class Call:
    method: str
    params: dict[str, Any]
    at: float
    """``time.monotonic()``."""
    path: str
    """``NEWER`` or ``OLDER``."""
    headers: dict[str, str]


@dataclass
class Fault:
    """A failure in place of the answer; after a mere ``delay`` the right answer follows."""

    status: int | None = None
    """Penpot's own answer with this status."""
    answer: Answer | None = None
    """An arbitrary answer."""
    garbage: bytes | None = None
    """Bytes instead of an HTTP answer."""
    delay: float = 0.0
    """Seconds."""
    hang: bool = False
    cut: bool = False
    """The connection is closed without an answer."""
    times: int | None = None
    """Number of calls that it applies to; None for all."""


@dataclass
class StandIn:
    """The server; a context manager. ``world`` may be changed at any time, from any thread."""

    world: World = field(default_factory=load)
    old: bool = False
    """Like Penpot before 2.12, which has the older path only."""
    token: str = TOKEN
    needs_client: bool = False
    """Whether ``x-client`` is required (client-header-check-middleware)."""
    latency: float = 0.0
    """Seconds that each RPC call takes."""
    intended: bool = False
    """Count webhook errors as Penpot's code intends, not as it does."""
    sender: Sender = field(default_factory=Sender)
    faults: dict[str, Fault] = field(default_factory=dict)
    """By method; ``*`` applies to all others."""
    calls: list[Call] = field(default_factory=list)
    max_concurrent: int = 0
    _busy: int = 0

    def __post_init__(self) -> None:
        self._server = Threaded(self._start)
        self._writers: set[asyncio.StreamWriter] = set()

    @property
    def url(self) -> str:
        return self._server.url

    def count(self, method: str) -> int:
        return sum(call.method == method for call in list(self.calls))

    def fire(self, payload: Path) -> list[Outcome]:
        """Send an event to its team's active webhooks in turn, without retries.

        ``payload`` is the ``.json`` of a pair; Transit webhooks get the other one.
        """
        team = self.world.to_team(json.loads(payload.read_bytes()))
        outcomes = []
        for webhook in list(self.world.webhooks.values()):
            if webhook.team != team or webhook.is_active is not True:
                continue
            body = payload.with_suffix(".transit.json") if webhook.mtype == TRANSIT else payload
            outcome = self.sender.deliver(webhook.uri, body, webhook.mtype)
            webhook.count(outcome.error(intended=self.intended))
            outcomes.append(outcome)
        return outcomes

    def direct(self, method: str, params: dict[str, Any]) -> tuple[int, Any]:
        """Status and value of a call without HTTP, for tests with a great many calls."""
        self.calls.append(Call(method, params, time.monotonic(), "", {}))
        try:
            value = _without_nulls(methods.run(self.world, self.sender, method, params))
        except Failed as failed:
            return failed.status, failed.body
        return (204, None) if value is None else (200, value)

    @contextlib.contextmanager
    def down(self) -> Iterator[None]:
        """Refuse connections and close the open ones."""
        self._in_loop(self._stop())
        try:
            yield
        finally:
            self._in_loop(self._start(self._server.port))

    def __enter__(self) -> Self:
        self._server.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._in_loop(self._stop())
        self._server.__exit__(kind, error, trace)

    def _in_loop(self, coroutine: Any) -> None:
        asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(5)

    async def _start(self, port: int = 0) -> asyncio.Server:
        self._loop = asyncio.get_running_loop()
        self._listening = await asyncio.start_server(self._talk, "127.0.0.1", port)
        return self._listening

    async def _stop(self) -> None:
        self._listening.close()
        for writer in self._writers:
            writer.transport.abort()

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            while request := await read(reader):
                answer = await self._answer(request)
                writer.write(answer if isinstance(answer, bytes) else to_bytes(answer))
                await writer.drain()
                if isinstance(answer, bytes):
                    return
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            return
        finally:
            self._writers.discard(writer)
            writer.close()

    async def _answer(self, request: Request) -> Answer | bytes:
        """An HTTP answer, or bytes to end the connection with."""
        for path in (NEWER, OLDER):
            if request.path.startswith(path):
                self._busy += 1
                self.max_concurrent = max(self.max_concurrent, self._busy)
                try:
                    return await self._rpc(request, path)
                finally:
                    self._busy -= 1
        if request.path.startswith("/assets/by-id/"):
            await asyncio.sleep(self.latency)
            fault = self._fault("asset") if "asset" in self.faults else None
            if fault is not None and (broken := await self._broken(fault, _plain)) is not None:
                return broken
            return self._asset(request)
        if request.path == "/":
            return Answer(b"<!doctype html><title>Penpot</title>", content_type=_HTML)
        return Answer(b"", 404)

    async def _rpc(self, request: Request, path: str) -> Answer | bytes:
        method = request.path.removeprefix(path)
        params = _params(request)
        self.calls.append(Call(method, params, time.monotonic(), path, request.headers))
        encode = functools.partial(_encode, request)
        await asyncio.sleep(self.latency)
        fault = self._fault(method)
        if fault is not None and (broken := await self._broken(fault, encode)) is not None:
            return broken
        try:
            return encode(await self._value(request, path, method, params))
        except Failed as failed:
            return _failure(failed.status, encode, failed.body)

    async def _broken(self, fault: Fault, encode: Any) -> Answer | bytes | None:
        """The answer of a fault; None if the right answer follows."""
        await asyncio.sleep(60 if fault.hang else fault.delay)
        if fault.cut:
            return b""
        if fault.garbage is not None:
            return fault.garbage
        if fault.answer is not None:
            return fault.answer
        return None if fault.status is None else _failure(fault.status, encode)

    def _fault(self, method: str) -> Fault | None:
        key = method if method in self.faults else "*"
        fault = self.faults.get(key)
        if fault is not None and fault.times is not None:
            fault.times -= 1
            if fault.times <= 0:
                del self.faults[key]
        return fault

    async def _value(self, request: Request, path: str, method: str, params: dict[str, Any]) -> Any:
        if self.needs_client and not request.headers.get("x-client"):
            raise Failed(403, "")
        if method not in methods.METHODS or (self.old and path == NEWER):
            raise Failed(404, "not-found")
        if request.method != "POST" and not (request.method == "GET" and method.startswith("get-")):
            raise Failed(405, "restriction", "method-not-allowed")
        if request.headers.get("authorization") != f"Token {self.token}":
            if method == "get-profile":
                return _ANONYMOUS
            raise Failed(401, "authentication", "authentication-required")
        call = functools.partial(methods.run, self.world, self.sender, method, params)
        # These two call a hook, which may run in this process.
        return await asyncio.to_thread(call) if method.endswith("-webhook") else call()

    def _asset(self, request: Request) -> Answer:
        asset = self.world.assets.get(request.path.rpartition("/")[2])
        if asset is None:
            return Answer(b"", 404)
        if not asset.is_public and request.headers.get("authorization") != f"Token {self.token}":
            return Answer(b"", 401)
        return Answer(asset.content, content_type=asset.type)


def _plain(value: Any, status: int = 200) -> Answer:
    return Answer(json.dumps(value).encode(), status, "application/json")


def _params(request: Request) -> dict[str, Any]:
    """Parameters with their keys in camelCase; Penpot takes them in kebab-case as well."""
    values = json.loads(request.body) if request.body else dict(parse_qsl(request.query))
    return {re.sub("-([a-z])", lambda m: m[1].upper(), name): v for name, v in values.items()}


def _encode(request: Request, value: Any, status: int = 200) -> Answer:
    """JSON on request, else Transit; None is 204 without a body."""
    if value is None:
        return Answer(b"", 204)
    value = _without_nulls(value)
    wanted = request.headers.get("accept", ""), dict(parse_qsl(request.query)).get("_fmt")
    if "application/json" in wanted[0] or wanted[1] == "json":
        body = json.dumps(value, separators=(",", ":")).encode()
        return Answer(body, status, "application/json")
    return Answer(json.dumps(_transit(value)).encode(), status, TRANSIT)


def _failure(status: int, encode: Any, body: dict[str, str] | None = None) -> Answer:
    if status == 429:
        reset = int(time.time()) + 30
        limits = {"x-rate-limit-remaining": "default=0", "x-rate-limit-reset": f"default={reset}"}
        return Answer(b"", status, headers=limits)
    if status in (502, 503):
        return Answer(b"<h1>Out of order</h1>", status, _HTML)
    if body is None and status in _ERRORS:
        kind, code = _ERRORS[status]
        body = {"type": kind, "code": code, "hint": "on demand"}
    if not body or not body["type"]:
        return Answer(b"", status)
    answer: Answer = encode(body, status)
    return answer


def _without_nulls(value: Any) -> Any:
    """NULL columns are absent from rows."""
    if isinstance(value, dict):
        return {name: _without_nulls(inner) for name, inner in value.items() if inner is not None}
    return [_without_nulls(inner) for inner in value] if isinstance(value, list) else value


def _transit(value: Any) -> Any:
    """Similar to Transit, without its cache and types: a client must not read it as JSON."""
    if isinstance(value, dict):
        kebab = {re.sub("([A-Z])", r"-\1", name).lower(): inner for name, inner in value.items()}
        return ["^ "] + [x for name, v in kebab.items() for x in (f"~:{name}", _transit(v))]
    return [_transit(inner) for inner in value] if isinstance(value, list) else value
