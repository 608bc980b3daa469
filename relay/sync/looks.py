"""Looks at one team's comments: what Penpot lists is compared with what was seen, and what is new
is kept together with what was seen now."""

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from relay.metrics import Metrics
from relay.penpot.api import PenpotClient
from relay.penpot.discussion import CommentRow, ThreadRow
from relay.penpot.rpc import PenpotBusy, PenpotUnexpected
from relay.store.base import Store
from relay.store.seen import Fingerprint
from relay.sync.bodies import SyntheticEvent
from relay.sync.compare import compare, needs_comments, vanished
from relay.sync.known import Known, Told, mark
from relay.sync.pace import Backoff

log = logging.getLogger(__name__)

AT_ONCE = 20
"""Threads whose comments are read before what they tell is kept."""
MOST_ASIDE = 3
"""So many threads that can't be read are left out of that: where more fail it is not them."""
MOST_TOLD = 1000
"""So many threads are remembered as told until they are looked at, the newest."""
_DAY = 24 * 3600.0


@dataclass(frozen=True, slots=True)
class FileLook:
    """What a look at a file came to."""

    is_there: bool
    """Whether the token's user may see it."""
    changed: tuple[ThreadRow, ...] = ()
    """Threads that are to be ``take``n."""
    rows: tuple[ThreadRow, ...] = ()
    """All of its threads."""
    found: int = 0
    """Events that were found on the way."""


@dataclass(slots=True)
class Aside(Backoff):
    """A thread whose comments can't be read, and when it is tried again."""

    file: str = ""


class CommentPoller:
    """Looks for one team. They raise ``PenpotError``, ``StoreUnavailable`` and ``LeaseLost``."""

    def __init__(
        self,
        penpot: PenpotClient,
        store: Store,
        metrics: Metrics,
        stored: Callable[[], None],
        team: str,
        clock: Callable[[], float],
    ) -> None:
        """``stored`` is called after events were kept."""
        self._penpot = penpot
        self._store = store
        self._metrics = metrics
        self._stored = stored
        self._team = team
        self._clock = clock
        self.told: dict[str, Told] = {}
        """By thread: what Penpot's own events told since it was looked at."""
        self.aside: dict[str, Aside] = {}
        """By thread; they stay changed, so that a later look lists them."""

    def told_of(self, thread: str) -> Told:
        """What was told of a thread, to be added to. The longest known goes where there are many:
        nobody may ever look at the team."""
        told = self.told[thread] = self.told.pop(thread, Told())
        if len(self.told) > MOST_TOLD:
            del self.told[next(iter(self.told))]
        return told

    async def unread(self, team_id: str) -> tuple[list[ThreadRow], set[str]] | None:
        """The changed threads of a team, as far as Penpot lists them as unread, and the files that
        have known threads which it does not list; None where the token's user is not in it."""
        rows = await self._penpot.unread_threads(team_id)
        if rows is None:
            return None
        marks = {known.thread: known for known in await self._store.seen.marks(self._team)}
        listed = {row.id for row in rows}
        hidden = {
            one.file for one in marks.values() if not one.gone_at and one.thread not in listed
        }
        return self._changed(rows, marks), hidden

    async def file(self, file: str, team_id: str) -> FileLook:
        """A file's threads. Those that are gone are told of; ``changed`` ones are still to be."""
        told = {thread: one for thread, one in self.told.items() if _file_of(one) == file}
        rows = await self._penpot.comment_threads(file)
        if rows is None:
            for thread in told:
                del self.told[thread]
            return FileLook(False)
        marks = {known.thread: known for known in await self._store.seen.marks(self._team, file)}
        if any(row.team_id not in ("", team_id) for row in rows):
            await self._lost(list(marks))  # it was moved to another team
            return FileLook(False)
        listed = {row.id for row in rows}
        self._drop_aside(lambda id_, one: one.file == file and id_ not in listed)
        missing = [one.thread for one in marks.values() if not one.gone_at]
        missing += [thread for thread, one in told.items() if one.begun and thread not in marks]
        missing = [thread for thread in missing if thread not in listed]
        found = await self._vanished(file, missing, bool(rows)) if missing else 0
        return FileLook(True, tuple(self._changed(rows, marks)), tuple(rows), found)

    async def take(self, rows: Sequence[ThreadRow], since: float) -> int:
        """Read the comments of changed threads, and keep what is new; the number of events.

        ``since``: comments from before that were never seen are not new. What alone can't be read
        is put ``aside`` and holds up no other.
        """
        now = self._clock()
        self._drop_aside(lambda _, one: one.until <= now - _DAY)
        rows = [row for row in rows if row.id not in self.aside or self.aside[row.id].until <= now]
        before = await self._store.seen.threads(self._team, [row.id for row in rows])
        found: list[SyntheticEvent] = []
        threads: list[Known] = []
        told = {row.id: self.told[row.id] for row in rows if row.id in self.told}
        failed: PenpotBusy | None = None
        aside = 0
        for row in rows:
            old = Known.loads(before[row.id]) if row.id in before else None
            comments = None
            if needs_comments(old, row, told.get(row.id)):
                try:
                    comments = await self._comments(row)
                except PenpotBusy as error:
                    aside += 1
                    if aside > MOST_ASIDE or not await self._penpot.answers_others(error):
                        failed = error
                        break
                    self._put_aside(row, str(error))
                if not comments:
                    told.pop(row.id, None)
                    continue  # it can't be read, or has been deleted since it was listed
            moment = datetime.fromtimestamp(self._clock(), UTC)
            begin = datetime.fromtimestamp(since, UTC)
            events, known = compare(old, row, comments, told.get(row.id), begin, moment)
            found += events
            threads.append(known)
        count = await self._keep(sorted(found, key=lambda one: one.at), threads, now)
        for known in threads:
            self.aside.pop(known.id, None)
            if known.id in told and self.told.get(known.id) is told[known.id]:
                del self.told[known.id]
        if failed is not None:
            raise failed
        return count

    async def _comments(self, row: ThreadRow) -> tuple[CommentRow, ...] | None:
        try:
            comments = await self._penpot.comments(row.id)
        except PenpotUnexpected as error:
            self._put_aside(row, str(error))
            return None
        if not comments:
            self._put_aside(row, "Penpot has none, or does not show them")
        return comments

    def _put_aside(self, row: ThreadRow, why: str) -> None:
        rest = self.aside.setdefault(row.id, Aside(file=row.file_id))
        rest.failed(self._clock())
        if rest.failures == 2:  # what was deleted since it was listed is not listed again
            log.warning(
                "team %s: the comments of a thread can't be read, it is left out until they can: "
                "%s: %s",
                self._team,
                row.id,
                why,
            )

    def _drop_aside(self, is_over: Callable[[str, Aside], bool]) -> None:
        self.aside = {id_: one for id_, one in self.aside.items() if not is_over(id_, one)}

    async def take_as_seen(self, rows: Sequence[ThreadRow]) -> None:
        """Remember threads without telling of them: they were there before the watch."""
        marks = await self._store.seen.threads(self._team, [row.id for row in rows])
        threads = [Known.of(row, None) for row in rows if row.id not in marks]
        await self._keep([], threads, self._clock())

    async def forget(self, files: Iterable[str]) -> None:
        """The team has no such files any more."""
        lost = set(files)
        marks = await self._store.seen.marks(self._team)
        self._drop_aside(lambda _, one: one.file in lost)
        await self._lost([one.thread for one in marks if one.file in lost and not one.gone_at])

    def _changed(self, rows: Iterable[ThreadRow], marks: dict[str, Fingerprint]) -> list[ThreadRow]:
        changed = [
            row
            for row in rows
            if row.id not in marks
            or marks[row.id].mark != mark(row)
            or marks[row.id].gone_at
            or row.id in self.told
        ]
        return sorted(changed, key=lambda row: row.modified_at)

    async def _vanished(self, file: str, threads: Sequence[str], is_there: bool) -> int:
        """Threads that a file has no longer; nothing is told where the file itself is gone, which
        Penpot tells by a file without threads."""
        now = datetime.fromtimestamp(self._clock(), UTC)
        before = await self._store.seen.threads(self._team, threads)
        known = [Known.loads(one) for one in before.values()]
        for thread in threads:
            told = self.told.get(thread)
            if thread not in before and told is not None and told.begun is not None:
                known.append(Known.begun(thread, told.begun))
        if not is_there and not await self._exists(file, known):
            ended: list[tuple[list[SyntheticEvent], Known]]
            ended = [([], one.gone(now.timestamp())) for one in known]
        else:
            ended = [vanished(one, now) for one in known]
        events = [event for events, _ in ended for event in events]
        count = await self._keep(events, [one for _, one in ended], now.timestamp())
        for thread in threads:
            self.told.pop(thread, None)
        return count

    async def _exists(self, file: str, known: Sequence[Known]) -> bool:
        projects = {str(one.row["projectId"]) for one in known if one.row.get("projectId")}
        for project in projects:
            if any(one.id == file for one in await self._penpot.project_files(project) or ()):
                return True
        return False

    async def _lost(self, threads: Sequence[str]) -> None:
        """Threads are out of sight, without a word about it."""
        now = self._clock()
        before = await self._store.seen.threads(self._team, threads)
        known = [Known.loads(one) for one in before.values() if not one.gone_at]
        await self._keep([], [one.gone(now) for one in known], now)

    async def _keep(
        self, found: Sequence[SyntheticEvent], threads: Sequence[Known], now: float
    ) -> int:
        if not found and not threads:
            return 0
        events = [one.event(self._team, now) for one in found]
        new = await self._store.seen.notice(self._team, events, [one.stored() for one in threads])
        for one in found:
            self._metrics.found(self._team, one.name)
        if new:
            log.info("team %s: the watch found %d events", self._team, new)
            self._stored()
        return new


def _file_of(told: Told) -> str:
    row = told.begun or next(iter(told.comments.values()), {})
    return str(row.get("fileId", ""))
