"""Pictures: the thumbnail of the board or file that an event is about, asked of Penpot.

Nothing here may cost a message: it goes without a picture that is not there in time.
"""

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from relay.metrics import Metrics
from relay.penpot.events import Event
from relay.penpot.rpc import PenpotError, PenpotUnexpected
from relay.picture import Picture

if TYPE_CHECKING:  # httpx is only loaded where there is a token
    from relay.penpot.answers import FileRecord, ProjectRecord
    from relay.penpot.api import PenpotClient

log = logging.getLogger(__name__)

T = TypeVar("T")

PATIENCE = 2.0
"""Seconds that a message waits for its picture when it is sent, at the most."""
FRESH = 60.0
"""Seconds for which the list of a file's thumbnails is taken as it was told."""
REST = 60.0
"""Seconds without a call after one failed."""
AT_HAND = 16 * 1024 * 1024
"""Bytes of pictures that are kept in memory."""
_NEW = 5.0
"""Seconds after which a list is asked for anew for what is not in it."""
_LISTS = 1000
_ASSET = "asset"


class Thumbnails:
    """Finds and fetches thumbnails."""

    def __init__(self, penpot: "PenpotClient", metrics: Metrics) -> None:
        """``penpot`` stays its owner's."""
        self._penpot = penpot
        self._metrics = metrics
        self._lists: dict[tuple[str, str], tuple[float, Any]] = {}
        self._pictures: OrderedDict[str, Picture] = OrderedDict()
        self._size = 0
        self._odd: OrderedDict[str, float] = OrderedDict()  # no pictures, by when that was told
        self._under_way: dict[tuple[str, str], asyncio.Task[Any]] = {}
        self._rests_until = 0.0

    async def close(self) -> None:
        """Give up what is under way."""
        tasks = tuple(self._under_way.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def of(self, event: Event, patience: float, team_id: str = "") -> str:
        """Id of the thumbnail of what an event is about, which is at hand then: that of the board
        that a comment stands on, else that of its file. Empty where there is none, or where it is
        not there within ``patience`` seconds; and, with ``team_id``, where the file is another
        team's: who knows a hook could else have any picture that the token's user may see."""
        if event.group not in ("comments", "files", "libraries") or event.name == "delete-file":
            return ""
        try:
            async with asyncio.timeout(patience):
                if team_id and await self._file(event, team_id) is None:
                    return ""
                found = await self._found(event)
                return found if found and await self._fetched(found) else ""
        except TimeoutError:
            return ""

    async def get(self, media: str) -> Picture | None:
        """The picture of that id; None where it can't be had in time."""
        try:
            async with asyncio.timeout(PATIENCE):
                return await self._fetched(media)
        except TimeoutError:
            return None

    async def _found(self, event: Event) -> str:
        file, board = event.file.id, event.thread.board
        if file and board and event.page.id:
            boards = await self._listed("get-file-object-thumbnails", file)
            if found := (boards or {}).get((event.page.id, board)):
                return str(found)
        found_file = await self._file(event)
        return found_file.thumbnail_id if found_file else ""

    async def _file(self, event: Event, team_id: str = "") -> "FileRecord | None":
        """The event's file as its project lists it, if that is this team's."""
        if not (event.file.id and event.project.id):
            return None
        for fresh in (FRESH, _NEW):  # it may be new, or have been moved there
            files: tuple[FileRecord, ...] | None
            files = await self._listed("get-project-files", event.project.id, fresh)
            found = next((one for one in files or () if one.id == event.file.id), None)
            if found is not None:
                break
        if found is None or not team_id:
            return found
        team = found.team_id
        if not team:  # an old Penpot lists files without it
            project: ProjectRecord | None = await self._listed("get-project", event.project.id)
            team = project.team_id if project else ""
        return found if team == team_id else None

    async def _listed(self, method: str, id_: str, fresh: float = FRESH) -> Any:
        """An answer of a while ago, or a new one; None where there is none."""
        told, answer = self._lists.get((method, id_), (0.0, None))
        if told and time.monotonic() - told < fresh:
            return answer
        ask: Callable[[str], Awaitable[Any]] = {
            "get-project": self._penpot.project,
            "get-file-object-thumbnails": self._penpot.object_thumbnails,
            "get-project-files": self._penpot.project_files,
        }[method]
        answer = await self._asked(method, id_, ask)
        if answer is not None:
            now = time.monotonic()
            old = [key for key, (at, _) in self._lists.items() if now - at > FRESH]
            if not old and len(self._lists) >= _LISTS:
                old = [next(iter(self._lists))]
            for key in old:
                del self._lists[key]
            self._lists[method, id_] = now, answer
        return answer

    async def _fetched(self, media: str) -> Picture | None:
        if media in self._pictures:
            self._pictures.move_to_end(media)
            return self._pictures[media]
        if time.monotonic() - self._odd.get(media, -REST) < REST:
            return None
        picture = await self._asked(_ASSET, media, self._penpot.asset)
        if picture is not None and media not in self._pictures:
            self._pictures[media] = picture
            self._size += len(picture.content)
            while self._size > AT_HAND:
                _, dropped = self._pictures.popitem(last=False)
                self._size -= len(dropped.content)
        return picture

    async def _asked(
        self, method: str, id_: str, ask: Callable[[str], Awaitable[T | None]]
    ) -> T | None:
        """One call at a time for one thing, which goes on where nobody waits for it any more."""
        if time.monotonic() < self._rests_until:
            return None
        key = method, id_
        task = self._under_way.get(key)
        if task is None:
            task = asyncio.create_task(self._call(method, id_, ask))
            self._under_way[key] = task
            task.add_done_callback(partial(self._ended, key))
        answer: T | None = await asyncio.shield(task)
        return answer

    def _ended(self, key: tuple[str, str], task: asyncio.Task[Any]) -> None:
        del self._under_way[key]
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("picture", exc_info=error)

    async def _call(
        self, method: str, id_: str, ask: Callable[[str], Awaitable[T | None]]
    ) -> T | None:
        try:
            answer = await ask(id_)
        except PenpotError as error:
            self._metrics.lookup(method, error.word)
            if method == _ASSET and isinstance(error, PenpotUnexpected):  # the others may be good
                self._odd[id_] = time.monotonic()
                while len(self._odd) > _LISTS:
                    self._odd.popitem(last=False)
                log.warning("a message goes out without its picture: %s", error)
            else:
                self._rests_until = time.monotonic() + REST
                log.warning("messages go out without pictures for a minute: %s", error)
            return None
        self._metrics.lookup(method, "nothing" if answer is None else "found")
        return answer
