"""The hook endpoint: authenticate, read, store, respond. Penpot waits at most 4 s."""

import logging
import time
from collections.abc import Callable, Mapping
from typing import Any

from starlette.types import Receive, Scope, Send

from relay.bodies import BodyReader, RequestRefused
from relay.config.secret import Secret
from relay.config.settings import Config
from relay.metrics import Metrics
from relay.penpot.events import NotAnEvent, name_of
from relay.penpot.text import deduplication_key
from relay.penpot.wire import UnreadableBody, decode_body, media_type
from relay.protocol import AUTHENTICATED
from relay.store.base import Store
from relay.store.records import NewEvent, StoreUnavailable

log = logging.getLogger(__name__)

MAX_LENGTH_DIGITS = 18
LOAD_THRESHOLD = 8  # concurrent requests; one Penpot sends one at a time

_DUMMY_SECRET = Secret("compared for an unknown team, so that the response takes as long")


class RequestLoad:
    """How many requests the hook endpoint is answering."""

    def __init__(self) -> None:
        self.requests = 0

    def is_high(self) -> bool:
        """Whether other work should yield to the requests in progress."""
        return self.requests >= LOAD_THRESHOLD


class HookEndpoint:
    """The ASGI application at ``/hooks/{team}/{secret}``: ``HEAD`` and ``POST``.

    ``204`` means that the event is on disk. Penpot accepts only 200 and 204 as success, and leaks a
    connection when it leaves a response body unread, so these have none.
    """

    def __init__(
        self,
        config: Config,
        store: Store,
        stored: Callable[[], None],
        metrics: Metrics,
        load: RequestLoad,
        *,
        is_open: bool = True,
    ) -> None:
        """``stored`` is called after each stored event. With ``is_open`` false a request with the
        right secret gets ``503``: the URL is right, but the load balancer should have chosen
        another replica; a ``404`` would make a person search for an error in the secret."""
        self._secrets = {name: team.secret for name, team in config.teams.items()}
        self._max_body = int(config.server.max_body)
        self._bodies = BodyReader(self._max_body)
        self._store = store
        self._stored = stored
        self._metrics = metrics
        self._is_open = is_open
        self._load = load

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] not in ("HEAD", "POST"):
            await _respond(send, 405, "This is a webhook for Penpot: add its URL to a team there")
            return
        team, secret = scope["path_params"]["team"], scope["path_params"]["secret"]
        expected = self._secrets.get(team)
        is_known = (expected or _DUMMY_SECRET).matches(secret) and expected is not None
        if is_known and AUTHENTICATED in scope.get("extensions", {}):
            scope["extensions"][AUTHENTICATED](team)
        status, reason = 204, ""
        if not is_known:
            team = ""
            status, reason = 404, "Not Found"
        elif not self._is_open:
            log.error("team %s: hook called, but --role deliver accepts no events", team)
            status, reason = 503, "This replica only delivers: route hooks to the others"
        elif scope["method"] == "HEAD":
            status = 200
        else:
            self._load.requests += 1
            try:
                await self._take(team, scope, receive)
            except RequestRefused as refusal:
                status, reason = refusal.status, str(refusal)
                log.warning("team %s: responded %d: %s", team, status, reason)
            except StoreUnavailable as error:
                status, reason = 503, "The event could not be stored"
                log.critical("team %s: an event could not be stored: %s", team, error)
            finally:
                self._load.requests -= 1
        self._metrics.request(team, status)
        await _respond(send, status, reason)

    async def _take(self, team: str, scope: Scope, receive: Receive) -> None:
        headers = dict(scope["headers"])
        content_type = headers.get(b"content-type", b"").decode("latin-1")
        if media_type(content_type) is None:
            raise RequestRefused(
                415, "The content type must be application/json or application/transit+json"
            )
        length = headers.get(b"content-length", b"").lstrip(b"0")
        # Python refuses to convert thousands of digits
        if length.isdigit() and (len(length) > MAX_LENGTH_DIGITS or int(length) > self._max_body):
            raise RequestRefused(413, f"The body is larger than {self._max_body} bytes")
        async with self._bodies.read(team, receive) as body:
            await self._save(team, content_type, body)

    async def _save(self, team: str, content_type: str, body: bytes) -> None:
        name = reason = ""
        values: Mapping[str, Any] = {}
        try:
            values = await decode_body(body, content_type)
            name = name_of(values)
        except (UnreadableBody, NotAnEvent) as error:
            values, reason = {}, str(error)
        key = deduplication_key(values, body)
        state = "unreadable" if reason else "stored"
        event = NewEvent(team, content_type, body, key, name, state, reason, time.time())
        await self._store.accept(event.truncated() if reason else event)
        if reason:
            self._metrics.event(team, name, state)
            raise RequestRefused(400, reason)
        self._stored()


async def _respond(send: Send, status: int, reason: str = "") -> None:
    body = reason.encode()
    headers = [(b"content-type", b"text/plain; charset=utf-8")] if body else []
    if status != 204:
        headers.append((b"content-length", str(len(body)).encode()))
    if status not in (200, 204, 400):
        headers.append((b"connection", b"close"))  # the rest of the body stays unread
    if status == 405:
        headers.append((b"allow", b"HEAD, POST"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
