"""Thumbnails: fetches the image of an event's board or file from Penpot.

No thumbnail may cost a message, which is sent without an image that does not arrive in time.
"""

import asyncio
import logging
from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

from relay.messages.message import Picture
from relay.metrics import Metrics
from relay.penpot.client import CallPolicy, CircuitBreaker, PenpotError
from relay.penpot.events import Event

if TYPE_CHECKING:  # httpx is only loaded where there is a token
    from relay.penpot.api import PenpotClient

log = logging.getLogger(__name__)

FETCH_TIMEOUT = 2.0  # seconds that a message waits for its picture when it is sent
MAX_TEAM_FETCHES = 2  # at a time for one team, beside ``lookups.MAX_TEAM_CALLS``
FAILURE_DELAY = 60.0  # seconds without calls of a method after a failed call
_LIST_TTL = 60.0  # seconds for which a list of thumbnails or files is used
_REFRESH_INTERVAL = 5.0  # seconds after which a list is fetched again for an id it does not hold


def has_thumbnail(event: Event) -> bool:
    """Whether Penpot may have a thumbnail of the event's file."""
    is_about_file = event.group in ("comments", "files", "libraries")
    return is_about_file and event.name != "delete-file" and event.file.id != ""


class Thumbnails:
    def __init__(self, penpot: "PenpotClient", metrics: Metrics) -> None:
        """The caller closes ``penpot``."""
        self._breaker = CircuitBreaker(_log_failure, delay=FAILURE_DELAY)
        self._penpot = penpot.with_policy(CallPolicy(metrics.lookup, self._breaker))
        self._slots: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()

    async def of(self, event: Event, seconds: float, team_id: str) -> str:
        """Fetch the event's thumbnail, within ``seconds``, and return its id: that of the board of
        a comment, else that of its file. Empty where there is none, and where file or project
        belong to another team than ``team_id``: otherwise whoever knows a hook's address gets any
        picture that the token's user may see."""
        if not has_thumbnail(event):
            return ""
        try:
            slots = self._slots.setdefault(team_id, asyncio.Semaphore(MAX_TEAM_FETCHES))
            async with asyncio.timeout(seconds), slots:
                media = (
                    await self._thumbnail_id(event) if await self._is_own(event, team_id) else ""
                )
                return media if media and await self._fetch(media) else ""
        except (TimeoutError, PenpotError):
            return ""

    async def get(self, media: str) -> Picture | None:
        """The picture of that id; None where it does not arrive in time."""
        try:
            async with asyncio.timeout(FETCH_TIMEOUT):
                return await self._fetch(media)
        except (TimeoutError, PenpotError):
            return None

    async def _is_own(self, event: Event, team_id: str) -> bool:
        if await self._penpot.team_of_file(event.file.id, team_id) != team_id:
            return False
        project = event.project.id
        return not project or await self._penpot.team_of_project(project, team_id) == team_id

    async def _thumbnail_id(self, event: Event) -> str:
        file, board, project = event.file.id, event.thread.board, event.project.id
        if board and event.page.id:
            boards = await self._penpot.object_thumbnails(file, _LIST_TTL)
            if media := (boards or {}).get((event.page.id, board)):
                return media
        for ttl in (_LIST_TTL, _REFRESH_INTERVAL) if project else ():  # new, or moved there
            for listed in await self._penpot.project_files(project, ttl) or ():
                if listed.id == file:
                    return listed.thumbnail_id
        return ""

    async def _fetch(self, media: str) -> Picture | None:
        asset = await self._penpot.asset(media)
        return Picture(*asset) if asset is not None else None


def _log_failure(method: str, error: PenpotError, is_first: bool) -> None:
    log.warning("messages are sent without pictures for %.0f s: %s", FAILURE_DELAY, error)
