"""The client for Penpot's RPC API, bounded in time and size: the methods that Relay calls.

Paths and headers: ``rpc.clj`` and ``http/middleware.clj`` in Penpot's ``backend/src/app``.
"""

import asyncio
import math
import re
import ssl
import time
from collections.abc import Callable, Coroutine, Mapping, MutableMapping
from copy import copy
from functools import partial
from types import MappingProxyType
from typing import Any, Final, Self, TypeVar, cast

import httpx
from cachetools import LRUCache, TTLCache

from relay import bounded_http
from relay.penpot.client import (
    ADDRESS_KEY,
    BAD_TOKEN,
    CallPolicy,
    PenpotBusy,
    PenpotRefused,
    PenpotUnexpected,
    RpcResponse,
    SharedTasks,
)
from relay.penpot.events import Event, Person, Subject
from relay.penpot.records import (
    Asset,
    CommentRow,
    FileRecord,
    ProjectRecord,
    TeamRecord,
    ThreadRow,
    WebhookRecord,
    board_thumbnails,
    many,
    one,
    person,
    picture,
    template,
    thread,
)
from relay.penpot.text import uuid
from relay.proxy_variables import through_proxy

CALL_TIMEOUT = 5.0  # seconds, from the first byte sent to the last one read
MAX_ANSWER_BYTES = 8 * 1024 * 1024
MAX_VALUES = 300_000  # in an answer: about 20,000 files, parsed in a tenth of a second
MAX_PICTURE_BYTES = 2 * 1024 * 1024  # Penpot's thumbnails have some ten thousand
MAX_CONCURRENT_CALLS = 8  # Penpot's own limit, if enabled, is 10 per profile
MAX_CACHED_ANSWERS = 1000
MAX_ANSWER_AGE = 60.0  # seconds
MAX_CACHED_ASSET_BYTES = 16 * 1024 * 1024
MAX_OWNERS = 10_000  # files and projects of which the team is kept
OWNER_TTL = 3600.0  # seconds for which that is used
OTHER_OWNER_TTL = 300.0  # seconds if it is another team than expected, or none
ASSET: Final = "asset"  # in place of a method, for downloads in metrics and errors

_FILE, _PROJECT = "get-team", "get-project"  # the methods whose answers name the team
_PATHS = ("/api/main/methods", "/api/rpc/command")  # 2.12 and later; every version
_TOKEN_PATTERN = re.compile(r"[!-~]+")
_ANONYMOUS = "00000000-0000-0000-0000-000000000000"

T = TypeVar("T")
_Key = tuple[str, ...]  # method and ids
_Owned = tuple[str, str]  # method and id: people may give a file the id of another team's project
_Answers = MutableMapping[_Key, tuple[float, Any]]  # with the time of the answer


class RpcClient:
    """Calls any RPC method with an access token. All failures raise ``PenpotError``.

    Concurrent lookups of the same thing share one call. It continues, until its timeout, when one
    of the callers is cancelled. All parts of Relay share one client: each calls it through a view
    with a ``CallPolicy`` of its own.
    """

    def __init__(
        self,
        url: str,
        token: str,
        *,
        timeout: float = CALL_TIMEOUT,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        """``url`` is Penpot's public address. ``timeout`` is in seconds and covers a whole call.
        ``tls`` replaces the default certificate authorities."""
        self._url = url.rstrip("/")
        self._place = f"{self._url}{through_proxy(self._url)}"
        self._timeout = timeout
        self._path = _PATHS[0]
        # httpx shows an invalid header value in its error, so an invalid token is never sent.
        self._is_token = _TOKEN_PATTERN.fullmatch(token) is not None
        self._client = bounded_http.open_client(
            headers={
                "accept": "application/json",
                "authorization": f"Token {token}" if self._is_token else "",
                "user-agent": "penpot-relay",
                "x-client": "relay",
            },
            timeout=timeout,
            verify=(tls or True) if self._url.startswith("https:") else False,
        )
        self._pending = SharedTasks()
        self._slots = asyncio.Semaphore(MAX_CONCURRENT_CALLS)
        self._answers: _Answers = TTLCache(MAX_CACHED_ANSWERS, MAX_ANSWER_AGE)
        self._assets: _Answers = LRUCache(
            MAX_CACHED_ASSET_BYTES, lambda answer: len(answer[1].content)
        )
        # By file or project: the time of the answer, and the team's id or an empty text.
        self._owners: TTLCache[_Owned, tuple[float, str]] = TTLCache(MAX_OWNERS, OWNER_TTL)
        self._policy = CallPolicy()
        self._root = self

    def with_policy(self, policy: CallPolicy) -> Self:
        """A view of this client, with which it shares everything else."""
        view = copy(self)
        view._policy = policy
        return view

    async def close(self) -> None:
        """Cancel pending calls and close the connections."""
        await self._pending.close()
        await self._client.aclose()

    async def _lookup(
        self,
        method: str,
        read: Callable[[Any], T | None],
        ids: Mapping[str, str] = MappingProxyType({}),
        max_age: float = 0.0,
        **constants: str,
    ) -> T | None:
        """One lookup; None without a call if an id is not a UUID. ``constants`` are parameters
        that every call of the method has. An earlier answer is returned if it is less than
        ``max_age`` seconds old."""
        params = {name: uuid(value) for name, value in ids.items()}
        if not all(params.values()):
            return None
        call = partial(self._call, method, read, params | constants)
        key = (method, *params.values())
        if not max_age:
            return await self._share(key, call)
        return await self._cached(self._answers, max_age, key, call)

    async def _cached(
        self,
        cache: _Answers,
        max_age: float,
        key: _Key,
        call: Callable[[], Coroutine[Any, Any, T | None]],
    ) -> T | None:
        answered_at, answer = cache.get(key, (-math.inf, None))
        if time.monotonic() - answered_at < max_age:
            return cast(T, answer)

        async def run() -> T | None:
            if (answer := await call()) is not None:
                cache[key] = time.monotonic(), answer
            return answer

        return await self._share(key, run)

    async def _share(
        self, key: _Key, call: Callable[[], Coroutine[Any, Any, T | None]]
    ) -> T | None:
        task = self._pending.start(key, call)
        try:
            result: T | None = await asyncio.shield(task)
        except asyncio.CancelledError:
            caller = asyncio.current_task()
            if task.cancelled() and caller is not None and not caller.cancelling():
                raise PenpotBusy(f"{key[0]} was cancelled: Relay is stopping") from None
            raise
        return result

    async def _call(
        self, method: str, read: Callable[[Any], T | None], params: Mapping[str, Any]
    ) -> T | None:
        """One call; None if the object does not exist or the token's user may not see it."""

        async def call() -> T | None:
            response = await self._with_timeout(method, partial(self._post, method, params))
            if response.is_not_found:
                return None
            return response.read(method, lambda response: read(response.values()))

        return await self._policy.run(method, call)

    async def _with_timeout(
        self, method: str, request: Callable[[], Coroutine[Any, Any, RpcResponse]]
    ) -> RpcResponse:
        if not self._is_token:
            raise PenpotRefused("the access token is empty or has characters that no token has")
        try:
            # The timeout begins after the wait for a slot, which is not Penpot's delay.
            async with self._slots, asyncio.timeout(self._timeout):
                return await request()
        except (TimeoutError, httpx.TimeoutException):
            text = f"{method}: no answer from {self._place} within {self._timeout:g} s"
            raise PenpotBusy(f"{text}: check {ADDRESS_KEY}") from None
        except (httpx.InvalidURL, httpx.UnsupportedProtocol):
            raise PenpotUnexpected(f"{ADDRESS_KEY} is not a valid address") from None
        except httpx.HTTPError as error:
            kind = type(error).__name__
            text = f"{method}: no answer from {self._place} ({kind})"
            raise PenpotBusy(f"{text}: check {ADDRESS_KEY}") from None

    async def _post(self, method: str, params: Mapping[str, Any]) -> RpcResponse:
        """The response of the first path that has the method; later calls try that path first."""
        root = self._root
        first = root._path
        for path in sorted(_PATHS, key=lambda path: path != first):
            response = await root._fetch("POST", f"{path}/{method}", params)
            if not response.is_unknown_method:
                if response.status == 200 or response.is_not_found:
                    root._path = path
                break
        return response

    async def _fetch(
        self, verb: str, path: str, params: Mapping[str, Any] | None = None
    ) -> RpcResponse:
        """One request. Without ``params`` it is a download, with the size limit of a picture."""
        limits: dict[str, int] = {"max_bytes": MAX_ANSWER_BYTES, "max_values": MAX_VALUES}
        if params is None:
            limits = {"max_bytes": MAX_PICTURE_BYTES}
        try:
            answer = await bounded_http.request(
                self._client,
                verb,
                self._url + path,
                seconds=self._timeout,
                json=params,
                **limits,
            )
        except bounded_http.UnusableAnswer as error:
            method = ASSET if params is None else path.rpartition("/")[2]
            raise PenpotUnexpected(f"{method} returned {error}") from None
        return RpcResponse(*answer)


def _by_id(
    method: str, id_name: str, read: Callable[[Any], T]
) -> Callable[[RpcClient, str], Coroutine[Any, Any, T | None]]:
    """A method that looks up what belongs to one id."""

    async def lookup(self: RpcClient, id_: str) -> T | None:
        return await self._lookup(method, read, {id_name: id_})

    return lookup


class PenpotClient(RpcClient):
    """Never requests a whole file, and changes nothing but webhooks.

    Lookups return None if the object does not exist *or* the token's user may not see it, which
    Penpot does not distinguish. They raise ``PenpotError``.
    """

    team_members = _by_id("get-team-members", "teamId", many(person))  # without former ones
    file_libraries = _by_id("get-file-libraries", "fileId", many(FileRecord.from_row))
    comments = _by_id("get-comments", "threadId", many(CommentRow.from_row))  # oldest first
    comment_threads = _by_id("get-comment-threads", "fileId", many(ThreadRow.from_row))
    unread_threads = _by_id("get-unread-comment-threads", "teamId", many(ThreadRow.from_row))
    """Those with comments that the token's user has not read: all threads if nobody reads with that
    account. Depending on its notification settings, none, or only those that mention the user."""
    webhooks = _by_id("get-webhooks", "teamId", many(WebhookRecord.from_row))

    async def profile(self) -> Person:
        """The token's user. A bad token raises ``PenpotRefused``, as for every method, although
        Penpot answers this one with an anonymous profile."""
        profile = await self._lookup("get-profile", _profile)
        if profile is None:
            raise PenpotUnexpected("get-profile returned nothing")
        return profile

    async def still_responds(self, error: PenpotBusy) -> bool:
        """Whether ``error`` concerns its request only: Penpot asked for no pause and answers
        another call."""
        if error.retry_after is not None:
            return False
        try:
            await self.profile()
        except PenpotBusy:
            return False
        return True

    async def comment_thread(self, file_id: str, thread_id: str) -> Event | None:
        read = one(thread, uuid(thread_id))
        return await self._lookup("get-comment-thread", read, {"fileId": file_id, "id": thread_id})

    async def project(self, project_id: str, max_age: float = 0.0) -> ProjectRecord | None:
        read = one(ProjectRecord.from_row, uuid(project_id))
        return await self._lookup(_PROJECT, read, {"id": project_id}, max_age)

    async def projects(self, team_id: str) -> tuple[ProjectRecord, ...] | None:
        """Includes deleted projects that can be restored."""
        read = many(ProjectRecord.from_row)
        projects = await self._lookup("get-projects", read, {"teamId": team_id})
        for project in projects or ():
            self._set_owner(_PROJECT, project.id, project.team_id)
        return projects

    async def project_files(
        self, project_id: str, max_age: float = 0.0
    ) -> tuple[FileRecord, ...] | None:
        read = many(FileRecord.from_row)
        ids = {"projectId": project_id}
        files = await self._lookup("get-project-files", read, ids, max_age)
        _, owner = self._owners.get((_PROJECT, uuid(project_id)), (0.0, ""))
        for file in files or ():  # old versions list files without their team
            self._set_owner(_FILE, file.id, file.team_id or owner)
        return files

    async def team_of_file(self, file_id: str, expected: str) -> str:
        """The id of the team that owns a file. Empty if the token's user is not in that team, or
        there is no such file. The call reveals nothing else, so it comes first for an id that
        Penpot did not give. It is repeated after ``OWNER_TTL``, or earlier unless the team is
        ``expected``: files can be moved."""
        return await self._owner(_FILE, file_id, expected)

    async def team_of_project(self, project_id: str, expected: str) -> str:
        """As ``team_of_file``."""
        return await self._owner(_PROJECT, project_id, expected)

    async def _owner(self, method: str, id_: str, expected: str) -> str:
        answered_at, team = self._owners.get((method, id_), (-math.inf, ""))
        max_age = OWNER_TTL if team == expected else OTHER_OWNER_TTL
        if time.monotonic() - answered_at >= max_age:
            if method == _FILE:
                owner = await self._lookup(_FILE, one(TeamRecord.from_row), {"fileId": id_})
                team = owner.id if owner else ""
            else:
                project = await self.project(id_, MAX_ANSWER_AGE)
                team = project.team_id if project else ""
            self._owners[method, id_] = time.monotonic(), team
        return team

    def _set_owner(self, method: str, id_: str, team: str) -> None:
        if team:
            self._owners[method, id_] = time.monotonic(), team

    async def builtin_templates(self) -> tuple[Subject, ...] | None:
        """The templates that ``clone-template`` refers to by id."""
        return await self._lookup("get-builtin-templates", many(template))

    async def object_thumbnails(
        self, file_id: str, max_age: float = 0.0
    ) -> dict[tuple[str, str], str] | None:
        """The thumbnails of a file's boards: (page id, board id) → media id."""
        read = partial(board_thumbnails, file_id=uuid(file_id))
        method = "get-file-object-thumbnails"
        return await self._lookup(method, read, {"fileId": file_id}, max_age, tag="frame")

    async def asset(self, media_id: str) -> Asset | None:
        """A picture. What an id refers to never changes, so that answers are cached."""
        media = uuid(media_id)
        if not media:
            return None
        call = partial(self._policy.run, ASSET, partial(self._download, media), f" {media}")
        return await self._cached(self._assets, math.inf, (ASSET, media), call)

    async def _download(self, media: str) -> Asset | None:
        request = partial(self._root._fetch, "GET", f"/assets/by-id/{media}")
        response = await self._with_timeout(ASSET, request)
        if response.status == 404:
            return None
        return response.read(ASSET, lambda response: picture(response.body))

    async def teams(self) -> tuple[TeamRecord, ...] | None:
        """The teams that the token's user is in."""
        return await self._lookup("get-teams", many(TeamRecord.from_row))

    async def enable_webhook(self, webhook: WebhookRecord) -> WebhookRecord | None:
        """Activate a webhook and reset its error count; None if the token's user may not: its
        creator and the team's editors may. Penpot sends no test request to an unchanged address."""
        params = {"id": webhook.id, "uri": webhook.uri, "mtype": webhook.mtype, "isActive": True}
        return await self._call("update-webhook", one(WebhookRecord.from_row), params)

    async def create_webhook(self, team_id: str, uri: str) -> WebhookRecord | None:
        """A new active webhook that receives JSON. Penpot first sends ``HEAD`` to the address; if
        that fails, this raises ``PenpotError`` with ``webhook-validation``."""
        params = {"teamId": team_id, "uri": uri, "mtype": "application/json", "isActive": True}
        return await self._call("create-webhook", one(WebhookRecord.from_row), params)


def _profile(value: Any) -> Person:
    if isinstance(value, dict) and value.get("id") == _ANONYMOUS:
        raise PenpotRefused(BAD_TOKEN)
    return one(person)(value)
