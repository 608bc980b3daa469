"""The hook endpoint: authenticate, read, keep, answer. Nothing slow stands before the answer."""

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Callable

from starlette.types import Receive, Scope, Send

from relay.config import Config
from relay.delivery.plan import LARGE_BODY, read
from relay.metrics import Metrics
from relay.penpot.events import NotAnEvent, name_of
from relay.penpot.identity import digest
from relay.penpot.wire import UnreadableBody, media_type
from relay.secret import Secret
from relay.store.base import NewEvent, Store, StoreUnavailable

log = logging.getLogger(__name__)

BODY_TIME = 30.0
"""Seconds that what follows a body's first piece may take; Penpot itself gives up after 4."""
CROWD = 8
"""Requests under way at once from which intake counts as crowded; Penpot sends one at a time."""

_NOBODY = Secret("no team has this secret, but comparing with it takes as long")


class _RequestRefused(Exception):
    """An answer other than success, with its status and a reason for a person."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


class HookEndpoint:
    """``HEAD`` and ``POST`` at ``/hooks/{team}/{secret}``, as a plain ASGI application.

    ``204`` says that the event is on disk. Penpot counts only 200 and 204 as success and leaks a
    connection on a large body that it does not read, so there is no body on success.
    """

    def __init__(
        self,
        config: Config,
        store: Store,
        stored: Callable[[], None],
        metrics: Metrics,
        *,
        is_open: bool = True,
    ) -> None:
        """``stored`` is called after each event that was kept. A hook that is not open answers
        ``503`` to who has the secret: the address is right, but the balancer should have chosen
        another replica. A ``404`` would send a person after the secret instead."""
        self._secrets = {name: team.secret for name, team in config.teams.items()}
        self._max_body = int(config.server.max_body)
        self._store = store
        self._stored = stored
        self._metrics = metrics
        self._is_open = is_open
        self._one_large = asyncio.Lock()
        self._under_way = 0

    @property
    def crowded(self) -> bool:
        """Whether so many requests are under way that other work should stand back."""
        return self._under_way >= CROWD

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["method"] not in ("HEAD", "POST"):
            await _answer(send, 405, "This is a hook for Penpot: add its address to a team there")
            return
        team, secret = scope["path_params"]["team"], scope["path_params"]["secret"]
        known = self._secrets.get(team)
        if not (known or _NOBODY).matches(secret) or known is None:
            self._metrics.answered("", 404)
            await _answer(send, 404, "Not Found")
            return
        if not self._is_open:
            log.error("team %s: a hook was called here, but --role deliver takes no events", team)
            self._metrics.answered(team, 503)
            await _answer(send, 503, "This replica only delivers: send hooks to the others")
            return
        if scope["method"] == "HEAD":
            self._metrics.answered(team, 200)
            await _answer(send, 200)
            return
        self._under_way += 1
        try:
            await self._take(team, scope, receive)
        except _RequestRefused as refusal:
            log.warning("team %s: answered %d: %s", team, refusal.status, refusal)
            self._metrics.answered(team, refusal.status)
            await _answer(send, refusal.status, str(refusal))
            return
        finally:
            self._under_way -= 1
        self._metrics.answered(team, 204)
        await _answer(send, 204)

    async def _take(self, team: str, scope: Scope, receive: Receive) -> None:
        headers = dict(scope["headers"])
        content_type = headers.get(b"content-type", b"").decode("latin-1")
        if media_type(content_type) is None:
            raise _RequestRefused(
                415, "The content type must be application/json or application/transit+json"
            )
        length = headers.get(b"content-length", b"")
        if length.isdigit() and int(length) > self._max_body:
            raise _RequestRefused(413, f"The body is larger than {self._max_body} bytes")
        try:
            await self._read_and_keep(team, content_type, receive)
        except StoreUnavailable as error:
            log.critical("an event of team %s could not be kept: %s", team, error)
            raise _RequestRefused(503, "The event could not be kept") from error

    async def _read_and_keep(self, team: str, content_type: str, receive: Receive) -> None:
        body = bytearray()
        if not await self._receive(receive, body):
            await self._keep(team, content_type, bytes(body))
            return
        more = True
        async with _in_time():
            while more and len(body) <= LARGE_BODY:
                more = await self._receive(receive, body)
        if len(body) <= LARGE_BODY:
            await self._keep(team, content_type, bytes(body))
            return
        async with self._one_large:  # so that memory stays bounded
            async with _in_time():
                while more:
                    more = await self._receive(receive, body)
            whole = bytes(body)
            body.clear()
            await self._keep(team, content_type, whole)

    async def _receive(self, receive: Receive, body: bytearray) -> bool:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise _RequestRefused(400, "The connection was closed before the body was complete")
        body += message.get("body", b"")
        if len(body) > self._max_body:
            raise _RequestRefused(413, f"The body is larger than {self._max_body} bytes")
        return bool(message.get("more_body", False))

    async def _keep(self, team: str, content_type: str, body: bytes) -> None:
        name, key, reason = await _identify(body, content_type)
        state = "unreadable" if reason else "stored"
        await self._store.accept(
            NewEvent(team, content_type, body, key, name, state, reason, time.time())
        )
        if reason:
            self._metrics.event(team, name, state)
            raise _RequestRefused(400, reason)
        self._stored()


@contextlib.asynccontextmanager
async def _in_time() -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(BODY_TIME):
            yield
    except TimeoutError as error:
        raise _RequestRefused(408, f"The body took longer than {BODY_TIME:.0f} s") from error


async def _identify(body: bytes, content_type: str) -> tuple[str, bytes, str]:
    """An event's name and digest, and the reason where it is none or can't be read."""
    try:
        values = await read(body, content_type)
        return name_of(values), digest(values, body), ""
    except (UnreadableBody, NotAnEvent) as error:
        return "", digest({}, body), str(error)


async def _answer(send: Send, status: int, reason: str = "") -> None:
    body = reason.encode()
    headers = [(b"content-type", b"text/plain; charset=utf-8")] if body else []
    if status != 204:
        headers.append((b"content-length", str(len(body)).encode()))
    if status not in (200, 204, 400):
        headers.append((b"connection", b"close"))  # what is left of the body is not read
    if status == 405:
        headers.append((b"allow", b"HEAD, POST"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
