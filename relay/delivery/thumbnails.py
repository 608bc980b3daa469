"""Thumbnails: fetches the image of an event's board or file from Penpot.

No thumbnail may cost a message, which is sent without an image that does not arrive in time.
"""

import asyncio
import logging
from typing import TYPE_CHECKING

from relay.messages.message import Picture
from relay.metrics import Metrics
from relay.penpot.client import CallPolicy, CircuitBreaker, PenpotError
from relay.penpot.events import Event

if TYPE_CHECKING:  # httpx is only loaded where there is a token
    from relay.penpot.api import PenpotClient
    from relay.penpot.records import FileRecord

log = logging.getLogger(__name__)

FETCH_TIMEOUT = 2.0  # seconds that a message waits for its picture when it is sent
FAILURE_DELAY = 60.0  # seconds without calls of a method after a failed call
_LIST_TTL = 60.0  # seconds for which a list of thumbnails or files is used
_REFRESH_INTERVAL = 5.0  # seconds after which a list is fetched again for an id it does not hold


class Thumbnails:
    def __init__(self, penpot: "PenpotClient", metrics: Metrics) -> None:
        """The caller closes ``penpot``."""
        self._breaker = CircuitBreaker(_log_failure, delay=FAILURE_DELAY)
        self._penpot = penpot.with_policy(CallPolicy(metrics.lookup, self._breaker))

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
        except (TimeoutError, PenpotError):
            return ""

    async def get(self, media: str) -> Picture | None:
        """The picture of that id; None where it does not arrive in time."""
        try:
            async with asyncio.timeout(FETCH_TIMEOUT):
                return await self._fetch(media)
        except (TimeoutError, PenpotError):
            return None

    async def _thumbnail_id(self, event: Event) -> str:
        file_id, board = event.file.id, event.thread.board
        if file_id and board and event.page.id:
            boards = await self._penpot.object_thumbnails(file_id, _LIST_TTL)
            if media := (boards or {}).get((event.page.id, board)):
                return media
        file = await self._file(event)
        return file.thumbnail_id if file else ""

    async def _file(self, event: Event, team_id: str = "") -> "FileRecord | None":
        """The event's file as its project lists it, if the team owns it."""
        if not (event.file.id and event.project.id):
            return None
        for ttl in (_LIST_TTL, _REFRESH_INTERVAL):  # it may be new, or have been moved there
            files = await self._penpot.project_files(event.project.id, ttl)
            file = next((file for file in files or () if file.id == event.file.id), None)
            if file is not None:
                break
        if file is None or not team_id:
            return file
        owner = file.team_id
        if not owner:  # old versions of Penpot list files without it
            project = await self._penpot.project(event.project.id, _LIST_TTL)
            owner = project.team_id if project else ""
        return file if owner == team_id else None

    async def _fetch(self, media: str) -> Picture | None:
        asset = await self._penpot.asset(media)
        return Picture(*asset) if asset is not None else None


def _log_failure(method: str, error: PenpotError, is_first: bool) -> None:
    log.warning("messages are sent without pictures for %.0f s: %s", FAILURE_DELAY, error)
