"""Thumbnails: fetches the image of an event's board or file from Penpot.

No thumbnail may cost a message, which is sent without an image that does not arrive in time.
"""

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from relay.messages.message import Picture
from relay.metrics import Metrics
from relay.penpot.client import PenpotError, PenpotUnexpected
from relay.penpot.events import Event

if TYPE_CHECKING:  # httpx is only loaded where there is a token
    from relay.penpot.api import PenpotClient
    from relay.penpot.records import FileRecord, ProjectRecord

log = logging.getLogger(__name__)

T = TypeVar("T")

FETCH_TIMEOUT = 2.0  # seconds that a message waits for its picture when it is sent
LIST_TTL = 60.0  # seconds for which a list of thumbnails or files is cached
FAILURE_DELAY = 60.0  # seconds without calls after a failed call
MAX_CACHE_BYTES = 16 * 1024 * 1024
_REFRESH_INTERVAL = 5.0  # seconds after which a list is fetched again for an id it does not hold
_MAX_LISTS = 1000
_ASSET = "asset"


class Thumbnails:
    def __init__(self, penpot: "PenpotClient", metrics: Metrics) -> None:
        """The caller closes ``penpot``."""
        self._penpot = penpot
        self._metrics = metrics
        self._lists: dict[tuple[str, str], tuple[float, Any]] = {}
        self._pictures: OrderedDict[str, Picture] = OrderedDict()
        self._size = 0
        self._invalid: OrderedDict[str, float] = OrderedDict()  # assets, with the time of the call
        self._running: dict[tuple[str, str], asyncio.Task[Any]] = {}
        self._paused_until = 0.0

    async def close(self) -> None:
        tasks = tuple(self._running.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def of(self, event: Event, seconds: float, team_id: str = "") -> str:
        """Fetch the event's thumbnail, within ``seconds``, and return its id: that of the board of
        a comment, else that of its file. Empty where there is none; and, with ``team_id``, where
        the file belongs to another team: otherwise whoever knows a hook's address gets any picture
        that the token's user may see."""
        if event.group not in ("comments", "files", "libraries") or event.name == "delete-file":
            return ""
        try:
            async with asyncio.timeout(seconds):
                if team_id and await self._file(event, team_id) is None:
                    return ""
                media = await self._thumbnail_id(event)
                return media if media and await self._fetch(media) else ""
        except TimeoutError:
            return ""

    async def get(self, media: str) -> Picture | None:
        """The picture of that id; None where it does not arrive in time."""
        try:
            async with asyncio.timeout(FETCH_TIMEOUT):
                return await self._fetch(media)
        except TimeoutError:
            return None

    async def _thumbnail_id(self, event: Event) -> str:
        file_id, board = event.file.id, event.thread.board
        if file_id and board and event.page.id:
            boards = await self._list("get-file-object-thumbnails", file_id)
            if media := (boards or {}).get((event.page.id, board)):
                return str(media)
        file = await self._file(event)
        return file.thumbnail_id if file else ""

    async def _file(self, event: Event, team_id: str = "") -> "FileRecord | None":
        """The event's file as its project lists it, if the team owns it."""
        if not (event.file.id and event.project.id):
            return None
        for ttl in (LIST_TTL, _REFRESH_INTERVAL):  # it may be new, or have been moved there
            files: tuple[FileRecord, ...] | None
            files = await self._list("get-project-files", event.project.id, ttl)
            file = next((file for file in files or () if file.id == event.file.id), None)
            if file is not None:
                break
        if file is None or not team_id:
            return file
        owner = file.team_id
        if not owner:  # old versions of Penpot list files without it
            project: ProjectRecord | None = await self._list("get-project", event.project.id)
            owner = project.team_id if project else ""
        return file if owner == team_id else None

    async def _list(self, method: str, id_: str, ttl: float = LIST_TTL) -> Any:
        """A cached or new answer; None where there is none."""
        fetched_at, answer = self._lists.get((method, id_), (0.0, None))
        if fetched_at and time.monotonic() - fetched_at < ttl:
            return answer
        ask: Callable[[str], Awaitable[Any]] = {
            "get-project": self._penpot.project,
            "get-file-object-thumbnails": self._penpot.object_thumbnails,
            "get-project-files": self._penpot.project_files,
        }[method]
        answer = await self._ask(method, id_, ask)
        if answer is not None:
            now = time.monotonic()
            expired = [key for key, (at, _) in self._lists.items() if now - at > LIST_TTL]
            if not expired and len(self._lists) >= _MAX_LISTS:
                expired = [next(iter(self._lists))]
            for key in expired:
                del self._lists[key]
            self._lists[method, id_] = now, answer
        return answer

    async def _fetch(self, media: str) -> Picture | None:
        if media in self._pictures:
            self._pictures.move_to_end(media)
            return self._pictures[media]
        if time.monotonic() - self._invalid.get(media, -FAILURE_DELAY) < FAILURE_DELAY:
            return None
        asset = await self._ask(_ASSET, media, self._penpot.asset)
        picture = Picture(*asset) if asset is not None else None
        if picture is not None and media not in self._pictures:
            self._pictures[media] = picture
            self._size += len(picture.content)
            while self._size > MAX_CACHE_BYTES:
                _, dropped = self._pictures.popitem(last=False)
                self._size -= len(dropped.content)
        return picture

    async def _ask(
        self, method: str, id_: str, ask: Callable[[str], Awaitable[T | None]]
    ) -> T | None:
        """One call at a time per object; it continues when its callers time out."""
        if time.monotonic() < self._paused_until:
            return None
        key = method, id_
        task = self._running.get(key)
        if task is None:
            task = asyncio.create_task(self._call(method, id_, ask))
            self._running[key] = task
            task.add_done_callback(partial(self._ended, key))
        answer: T | None = await asyncio.shield(task)
        return answer

    def _ended(self, key: tuple[str, str], task: asyncio.Task[Any]) -> None:
        del self._running[key]
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("thumbnail", exc_info=error)

    async def _call(
        self, method: str, id_: str, ask: Callable[[str], Awaitable[T | None]]
    ) -> T | None:
        try:
            answer = await ask(id_)
        except PenpotError as error:
            self._metrics.lookup(method, error.outcome)
            # One asset that is no picture says nothing about the others.
            if method == _ASSET and isinstance(error, PenpotUnexpected):
                self._invalid[id_] = time.monotonic()
                while len(self._invalid) > _MAX_LISTS:
                    self._invalid.popitem(last=False)
                log.warning("a message is sent without its picture: %s", error)
            else:
                self._paused_until = time.monotonic() + FAILURE_DELAY
                log.warning(
                    "messages are sent without pictures for %.0f s: %s", FAILURE_DELAY, error
                )
            return None
        self._metrics.lookup(method, "nothing" if answer is None else "found")
        return answer
