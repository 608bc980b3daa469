"""A sweep: every file of a team is looked at, one call after the other."""

import logging
from dataclasses import dataclass, field

from relay.penpot import values
from relay.penpot.api import PenpotClient
from relay.penpot.discussion import ThreadRow
from relay.penpot.rpc import PenpotError, PenpotUnexpected
from relay.sync.looks import CommentPoller

log = logging.getLogger(__name__)


class NotThere(Exception):
    """The token's user is not in the team (any more)."""


@dataclass(slots=True)
class Sweep:
    """One sweep; ``step`` again and again until it ``is_done``.

    The first one of a team takes what is there as seen.
    """

    penpot: PenpotClient
    looks: CommentPoller
    team_id: str
    is_first: bool
    begun_at: float
    is_done: bool = False
    is_whole: bool = True
    """Whether all could be listed: what could not is still to be seen."""
    is_read: bool = False
    """Whether Penpot's list of unread threads does not list all of them."""
    files: set[str] = field(default_factory=set)
    """All files of the team, at the end."""
    _unread: set[str] | None = None
    _projects: list[str] | None = None
    _left: list[str] = field(default_factory=list)

    async def step(self) -> list[ThreadRow]:
        """The next call; the threads that it shows changed, to be taken.

        Raises ``NotThere`` beside what a look raises.
        """
        if self._projects is None:
            await self._begin()
        elif self._projects:
            await self._list(self._projects[-1])
            self._projects.pop()
        elif self._left:
            try:
                rows = await self._look(self._left[-1])
            except PenpotUnexpected as error:
                log.warning("a file's comments can't be listed: %s", error)
                self.is_whole, rows = False, []
            except PenpotError:
                self._left.insert(0, self._left.pop())  # another one may work
                raise
            self._left.pop()
            return rows
        else:
            self.is_done = True
        return []

    async def _begin(self) -> None:
        try:
            unread = await self.penpot.unread_threads(self.team_id)
        except PenpotUnexpected:  # a team with more threads than one answer may have
            unread, self.is_read = (), True
        projects = await self.penpot.projects(self.team_id)
        if unread is None or projects is None:
            raise NotThere
        self._unread = {row.id for row in unread}
        self._projects = [project.id for project in projects if not project.is_deleted]

    async def _list(self, project: str) -> None:
        listed = await self.penpot.project_files(project)
        self.is_whole &= listed is not None
        for file in listed or ():
            if file.id not in self.files:
                self.files.add(file.id)
                self._left.append(file.id)

    async def _look(self, file: str) -> list[ThreadRow]:
        if self.is_first:
            rows = await self.penpot.comment_threads(file) or ()
            await self.looks.take_as_seen(rows)
            self.is_read |= any(map(self._is_hidden, rows))
            return []
        look = await self.looks.file(file, self.team_id)
        self.is_read |= any(map(self._is_hidden, look.rows))
        return list(look.changed)

    def _is_hidden(self, row: ThreadRow) -> bool:
        """Whether the list of unread threads lacks one that is no newer than the list."""
        changed_at = values.instant(row.modified_at)
        is_old = changed_at is not None and changed_at.timestamp() < self.begun_at - 60
        return not row.unread or (is_old and row.id not in (self._unread or ()))
