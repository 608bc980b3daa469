"""The hook endpoint: authenticate, read, store, respond. Penpot waits at most 4 s."""

import contextlib
import hashlib
import logging
import secrets
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import Any

from starlette.types import Receive, Scope, Send

from relay.bodies import BodyReader, RequestRefused
from relay.config.secret import Secret
from relay.config.settings import Config
from relay.config.types import MAX_SECRETS
from relay.metrics import Metrics
from relay.penpot.events import NotAnEvent, name_of
from relay.penpot.text import deduplication_key
from relay.penpot.wire import UnreadableBody, decode_body, media_type
from relay.protocol import AUTHENTICATED, RefusalLog
from relay.quota import Quota
from relay.store.base import Store
from relay.store.records import NewEvent, StoreUnavailable

log = logging.getLogger(__name__)

MAX_LENGTH_DIGITS = 18
LOAD_THRESHOLD = 8  # concurrent requests; one Penpot sends one at a time
USE_INTERVAL = 60.0  # seconds between two notes of a secret's use

_COMPARE = "compare the webhook's URL in Penpot with the one that `relay check` prints"
_WRONG_SECRET = f"404: the URL has another secret than the config: {_COMPARE}"
_UNKNOWN_TEAM = f"404: the URL names a team that the config does not have: {_COMPARE}"
_WRONG_PATH = (
    f"404: the URL is not of the form /hooks/<team>/<secret>: {_COMPARE}, and check whether a "
    "proxy changes the path"
)

_DUMMY_SECRETS = ((Secret(secrets.token_urlsafe(24)), ""),) * MAX_SECRETS
"""Compared in place of the secrets that a team lacks, so that each response takes as long."""


def use_key(team: str, secret: Secret) -> str:
    """The key-value entry whose time is that of the secret's last use, within ``USE_INTERVAL``."""
    digest = hashlib.sha256(f"{team}/{secret.reveal()}".encode()).hexdigest()
    return f"hook-use/{team}/{digest[:20]}"


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
        quota: Quota,
        *,
        is_open: bool = True,
    ) -> None:
        """``stored`` is called after each stored event. With ``is_open`` false a request with the
        right secret gets ``503``: the URL is right, but the load balancer should have chosen
        another replica; a ``404`` would make a person search for an error in the secret."""
        self._secrets = {}  # with their use keys
        for name, team in config.teams.items():
            own = [(secret, use_key(name, secret)) for secret in team.secret]
            self._secrets[name] = (*own, *_DUMMY_SECRETS)[:MAX_SECRETS]
        self._next_use_at: defaultdict[str, float] = defaultdict(float)  # by key; monotonic
        self._refusals = {name: RefusalLog(f"team {name}") for name in config.teams}
        self._unknown = RefusalLog("hook")
        self._max_body = int(config.server.max_body)
        self._bodies = BodyReader(self._max_body)
        self._store = store
        self._stored = stored
        self._metrics = metrics
        self._is_open = is_open
        self._load = load
        self._quota = quota

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] not in ("HEAD", "POST"):
            await _respond(send, 405, "This is a webhook for Penpot: add its URL to a team there")
            return
        team, given = scope["path_params"]["team"], scope["path_params"]["secret"]
        compared = self._secrets.get(team, _DUMMY_SECRETS)
        use_keys = [key for secret, key in compared if secret.matches(given)]
        is_known = bool(use_keys) and team in self._secrets
        if is_known and AUTHENTICATED in scope.get("extensions", {}):
            scope["extensions"][AUTHENTICATED](team)
        status, reason = 204, ""
        if not is_known:
            await self._respond_not_found(send)
            # after the response, whose time depends neither on the log nor on the team
            refusals = self._refusals.get(team)
            (refusals or self._unknown).add(_WRONG_SECRET if refusals else _UNKNOWN_TEAM)
            return
        if not self._is_open:
            status, reason = 503, "This replica only delivers: route hooks to the others"
            self._refusals[team].add(f"{status}: {reason}")
        elif scope["method"] == "HEAD":
            status = 200
        else:
            self._load.requests += 1
            try:
                await self._take(team, scope, receive)
            except RequestRefused as refusal:
                status, reason = refusal.status, str(refusal)
                self._refusals[team].add(f"{status}: {reason}")
            except StoreUnavailable as error:
                status, reason = 503, "The event could not be stored"
                log.critical("team %s: an event could not be stored: %s", team, error)
            finally:
                self._load.requests -= 1
        self._metrics.request(team, status)
        await _respond(send, status, reason)
        if status != 503:
            await self._note_use(use_keys[0])

    async def other_path(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The ASGI application at any path that the listener does not have."""
        await self._respond_not_found(send)
        if "hooks/" in scope["path"]:  # no scanner's
            self._unknown.add(_WRONG_PATH)

    async def _respond_not_found(self, send: Send) -> None:
        self._metrics.request("", 404)
        await _respond(send, 404, "Not Found")

    async def _note_use(self, key: str) -> None:
        """After the response, which does not wait for it."""
        now = time.monotonic()
        if now >= self._next_use_at[key]:
            self._next_use_at[key] = now + USE_INTERVAL
            with contextlib.suppress(StoreUnavailable):
                await self._store.put_value(key, "")

    async def _take(self, team: str, scope: Scope, receive: Receive) -> None:
        if self._quota.is_used_up(team):
            raise RequestRefused(429, "The team has used up its share of the disk")
        headers = dict(scope["headers"])
        content_type = headers.get(b"content-type", b"").decode("latin-1")
        if media_type(content_type) is None:
            raise RequestRefused(
                415, "The content type must be application/json or application/transit+json"
            )
        if headers.get(b"content-encoding", b"identity").strip().lower() not in (b"", b"identity"):
            raise RequestRefused(
                415, "Content-Encoding is not supported: send the body uncompressed"
            )
        length = headers.get(b"content-length", b"").lstrip(b"0")
        # Python refuses to convert thousands of digits
        if length.isdigit() and (len(length) > MAX_LENGTH_DIGITS or int(length) > self._max_body):
            raise RequestRefused(413, f"The body is larger than {self._max_body} bytes")
        beginning = await self._bodies.begin(receive)
        if beginning.is_small:
            await self._save(team, content_type, bytes(beginning.received))
        else:
            async with self._bodies.rest(team, receive, beginning) as body:
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
        event = event.truncated() if reason else event
        await self._store.accept(event)
        self._quota.add(event)
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
