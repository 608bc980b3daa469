"""The bodies of requests at the hook, read within bounds of bytes and time."""

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from starlette.types import Receive

from relay.errors import RelayError
from relay.penpot.wire import LARGE_BODY_BYTES
from relay.protocol import BODY_TIMEOUT

MAX_LARGE_BODIES = 2
"""Bodies of the largest size that may be in memory at once; smaller ones are more."""


class RequestRefused(RelayError):
    """The request gets ``status`` with a reason for a person."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


class Beginning(NamedTuple):
    """The first bytes of a body: all of a small one."""

    received: bytearray
    has_more: bool
    deadline: float  # by the clock of the event loop

    @property
    def is_small(self) -> bool:
        return len(self.received) <= LARGE_BODY_BYTES


@dataclass(eq=False)
class _LargeBody:
    timeout: asyncio.Timeout
    size: int = 0
    is_complete: bool = False
    is_evicted: bool = False


class BodyReader:
    """Reads bodies of at most ``max_body`` bytes.

    A body over ``LARGE_BODY_BYTES`` waits for the other large ones of its team, never for those of
    another, and they are handed out one at a time. When all together take more bytes than
    ``MAX_LARGE_BODIES`` of the largest size, the one that has been incomplete longest is refused.

    All methods raise ``RequestRefused``: 413, 503, 408 after ``BODY_TIMEOUT``, or 400 when the
    connection closes before.
    """

    def __init__(self, max_body: int) -> None:
        self._max_body = max_body
        self._team_locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._hand_out_lock = asyncio.Lock()
        self._large: list[_LargeBody] = []  # the oldest first

    async def begin(self, receive: Receive) -> Beginning:
        """The listener closes the connection at the deadline: a timer for each body would take a
        tenth of the time of an event."""
        received = bytearray()
        deadline = asyncio.get_running_loop().time() + BODY_TIMEOUT
        has_more = True
        while has_more and len(received) <= LARGE_BODY_BYTES:
            has_more = await self._receive(receive, received, deadline)
        return Beginning(received, has_more, deadline)

    @contextlib.asynccontextmanager
    async def rest(self, team: str, receive: Receive, beginning: Beginning) -> AsyncIterator[bytes]:
        """A large body, whole."""
        body, has_more, deadline = beginning
        large = _LargeBody(asyncio.timeout_at(deadline))
        async with contextlib.AsyncExitStack() as stack:
            try:
                async with large.timeout:
                    await stack.enter_async_context(self._team_locks[team])
                    stack.enter_context(self._counted(large))
                    self._grow(large, len(body))
                    while has_more:
                        has_more = await self._receive(receive, body, deadline)
                        self._grow(large, len(body))
                    large.is_complete = True
            except TimeoutError as error:
                raise (_too_many() if large.is_evicted else _too_slow()) from error
            await stack.enter_async_context(self._hand_out_lock)
            whole = bytes(body)
            body.clear()
            yield whole

    @contextlib.contextmanager
    def _counted(self, large: _LargeBody) -> Iterator[None]:
        self._large.append(large)
        try:
            yield
        finally:
            self._large.remove(large)

    def _grow(self, large: _LargeBody, size: int) -> None:
        large.size = size
        while sum(item.size for item in self._large) > MAX_LARGE_BODIES * self._max_body:
            incomplete = (item for item in self._large if not item.is_complete and item.size)
            victim = next(incomplete, large)
            victim.size, victim.is_evicted = 0, True
            if victim is large:
                raise _too_many()
            if not victim.timeout.expired():
                victim.timeout.reschedule(asyncio.get_running_loop().time())

    async def _receive(self, receive: Receive, body: bytearray, deadline: float) -> bool:
        """Append the next part; whether more follow."""
        message = await receive()
        if message["type"] == "http.disconnect":
            if asyncio.get_running_loop().time() >= deadline:
                raise _too_slow()
            raise RequestRefused(400, "The connection closed before the body was complete")
        body += message.get("body", b"")
        if len(body) > self._max_body:
            raise RequestRefused(413, f"The body is larger than {self._max_body} bytes")
        return bool(message.get("more_body", False))


def _too_slow() -> RequestRefused:
    return RequestRefused(408, f"The body took longer than {BODY_TIMEOUT:.0f} s")


def _too_many() -> RequestRefused:
    return RequestRefused(503, "Too many large bodies at once")
