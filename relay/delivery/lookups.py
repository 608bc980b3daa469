"""Lookups: what is not known about an event is asked of Penpot, before the event is rendered.

Nothing here may cost a message: an event waits ``BUDGET`` for it at the most, and while Penpot
does not answer, or refuses, no event waits.
"""

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any

from relay.delivery.memory import FactCache
from relay.metrics import Metrics
from relay.penpot.answers import ThreadRecord
from relay.penpot.events import Event
from relay.penpot.rpc import PenpotBusy, PenpotError, PenpotRefused
from relay.penpot.wants import (
    FILES,
    LIBRARIES,
    MEMBERS,
    PROJECT,
    PROJECTS,
    TEMPLATES,
    THREAD,
    LookupCall,
    made,
    nearest,
    newest,
    told,
    wanted,
)
from relay.store.base import Store, StoreUnavailable

if TYPE_CHECKING:  # httpx is only loaded where there is a token
    from relay.penpot.api import PenpotClient

log = logging.getLogger(__name__)

BUDGET = 2.0
"""Seconds that an event waits for what is asked about it."""
BUSY_REST = 30.0
"""Seconds without a call after Penpot did not answer, where it does not tell how long."""
REFUSED_REST = 300.0
"""Seconds without a call after Penpot refused the token."""
ODD_REST = 300.0
"""Seconds without a call of a method that was answered with what Relay does not understand."""
QUIET = 300.0
"""Seconds in which the same is not asked again, whatever the answer was."""

NAMES_LAST = 24 * 3600.0
"""Seconds after which a team's people and projects are asked for again: no event tells that
somebody has another name by now, and one that told it of a project may have been missed."""
_DAILY = (MEMBERS, PROJECTS)
STATE = "penpot"
"""Key of the store's note about whether Penpot answers, for `relay doctor`."""

_REMEMBERED = 10_000  # calls
_MOST_TAUGHT = 500  # facts of one answer that are kept though no event needs them yet
_ROUNDS = 6  # such as: the library → the team's projects → their files → the people
_ALL = ""


class Lookups:
    """Asks Penpot what the memory lacks, and tells the memory."""

    def __init__(
        self, penpot: "PenpotClient", memory: FactCache, store: Store, metrics: Metrics
    ) -> None:
        """``penpot`` is closed with the lookups."""
        self._penpot = penpot
        self._memory = memory
        self._store = store
        self._metrics = metrics
        self._ways: Mapping[str, Callable[..., Coroutine[Any, Any, Any]]] = {
            THREAD: penpot.comment_thread,
            MEMBERS: penpot.team_members,
            PROJECT: penpot.project,
            PROJECTS: penpot.projects,
            FILES: penpot.project_files,
            LIBRARIES: penpot.file_libraries,
            TEMPLATES: penpot.builtin_templates,
        }
        self._under_way: dict[tuple[str, LookupCall], asyncio.Task[Any]] = {}
        self._asked: OrderedDict[tuple[str, LookupCall], float] = OrderedDict()
        self._projects: dict[tuple[str, str], tuple[float, tuple[str, ...]]] = {}
        self._rests: dict[str, float] = {}  # method, or all of them → when it ends
        self._last_answer = 0.0
        self._failing_since: float | None = None
        self._is_refused = False
        self._told: str | None = None  # the state that the store was told of
        self._telling: asyncio.Task[None] | None = None
        self._names_checked: dict[tuple[str, str], float] = {}

    async def close(self) -> None:
        """Give up what is under way."""
        tasks = [*self._under_way.values(), *filter(None, [self._telling])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._penpot.close()

    async def fill(
        self, event: Event, team: str, team_id: str, received_at: float, asks: Callable[[], None]
    ) -> Event:
        """Have all that can be known of an event in the memory; the event itself comes back with
        what is of this moment: the id of what it made, whether its thread is resolved.

        ``team`` is the hook's key in the config, ``team_id`` the id there, if any. ``asks`` is
        called when it is going to take a while. Raises ``StoreUnavailable``.
        """
        if self.is_resting:
            return event
        started = time.monotonic()
        at = event.at or datetime.fromtimestamp(received_at, UTC) - timedelta(minutes=1)
        answers: dict[LookupCall, Any] = {}
        done: set[LookupCall] = set()
        try:
            async with asyncio.timeout(BUDGET):
                for _ in range(_ROUNDS):
                    seen = await self._memory.enriched(event, team, "", team_id)
                    event = _with_moment(event, seen, answers, at)
                    calls = {
                        call
                        for call in await self._wanted(seen, team)
                        if not self._is_known(team, call)
                    }
                    if (new := made(seen)) is not None:
                        calls.add(new)
                    calls = {call for call in calls - done if not self._is_resting(call.method)}
                    if not calls:
                        await self._look_after_names(seen, team, team_id)
                        break
                    asks()
                    done |= calls
                    news = await self._answers(team, team_id, calls)
                    await self._teach_needed(seen, team, team_id, news)
                    answers |= news
        except TimeoutError:
            if self._last_answer < started:
                self._rest(_ALL, PenpotBusy(f"nothing was answered within {BUDGET:g} s"))
        return event

    async def _look_after_names(self, seen: Event, team: str, team_id: str) -> None:
        """Ask for a team's people and projects once a day, without waiting for the answer."""
        key = team, seen.team.id
        if not seen.team.id or time.monotonic() < self._names_checked.get(key, 0.0):
            return
        self._names_checked[key] = time.monotonic() + NAMES_LAST / 24
        for method in _DAILY:
            call = LookupCall(method, (seen.team.id,))
            note = await self._store.note(_asked_key(team, call))
            if note is None:  # what is known is of today
                await self._store.keep_note(_asked_key(team, call), "")
            elif time.time() - note.at > NAMES_LAST:
                self._begun(team, team_id, call)

    async def _wanted(self, seen: Event, team: str) -> set[LookupCall]:
        people = [("person", person.id) for person in seen.comment.mentions]
        nameless = bool(seen.actor.id and not seen.actor.name)
        nameless = nameless or not await self._memory.has_names(team, people)
        at, projects = self._projects.get((team, seen.team.id), (0.0, None))
        is_known = projects is not None and time.monotonic() - at < QUIET
        return wanted(seen, nameless, projects if is_known else None)

    def _is_known(self, team: str, call: LookupCall) -> bool:
        """Whether it was asked a short while ago."""
        asked = self._asked.get((team, call))
        return asked is not None and time.monotonic() - asked < QUIET

    async def _answers(
        self, team: str, team_id: str, calls: set[LookupCall]
    ) -> dict[LookupCall, Any]:
        """The answers side by side, without those that failed; None stands for nothing."""
        tasks = {call: self._begun(team, team_id, call) for call in calls}
        await asyncio.wait(tasks.values())
        return {
            call: task.result()
            for call, task in tasks.items()
            if not task.cancelled() and task.exception() is None
        }

    def _begun(self, team: str, team_id: str, call: LookupCall) -> asyncio.Task[Any]:
        """The call, which goes on where no event waits for it any more."""
        key = team, call
        task = self._under_way.get(key)
        if task is None:
            task = asyncio.create_task(self._call(team, team_id, call))
            self._under_way[key] = task
            task.add_done_callback(partial(self._ended, key))
        return task

    def _ended(self, key: tuple[str, LookupCall], task: asyncio.Task[Any]) -> None:
        del self._under_way[key]
        if task.cancelled():
            return
        error = task.exception()
        if error is not None and not isinstance(error, PenpotError | StoreUnavailable):
            log.error("lookup %s", key[1].method, exc_info=error)

    async def _call(self, team: str, team_id: str, call: LookupCall) -> Any:
        """One call: asked, counted, remembered, told to the memory. Raises ``PenpotError``."""
        started = time.monotonic()
        try:
            answer = await self._ways[call.method](*call.ids)
        except PenpotError as error:
            self._metrics.lookup(call.method, error.word)
            is_of_all = isinstance(error, PenpotRefused)
            is_of_all |= isinstance(error, PenpotBusy) and not error.may_be_of_one
            self._rest(_ALL if is_of_all else call.method, error)
            raise
        self._metrics.lookup(call.method, "nothing" if answer is None else "found")
        self._works(started)
        if answer is not None:
            if call.method == PROJECTS:
                self._projects[team, call.ids[0]] = time.monotonic(), newest(answer)
            facts = islice(told(call, answer, team_id), _MOST_TAUGHT)
            await self._memory.found(team, list(facts), started)
            if call.method in _DAILY:
                await self._store.keep_note(_asked_key(team, call), "")
        self._remember(team, call)
        return answer

    def _remember(self, team: str, call: LookupCall) -> None:
        self._asked[team, call] = time.monotonic()
        self._asked.move_to_end((team, call))
        while len(self._asked) > _REMEMBERED:
            self._asked.popitem(last=False)

    async def _teach_needed(
        self, seen: Event, team: str, team_id: str, answers: Mapping[LookupCall, Any]
    ) -> None:
        """What this event needs of answers that are too long to keep all of them."""
        needed = {seen.file.id, seen.library.id, seen.previous.id, seen.actor.id}
        needed |= {file.id for file in seen.files} | {person.id for person in seen.comment.mentions}
        for call, answer in answers.items():
            if isinstance(answer, tuple) and len(answer) > _MOST_TAUGHT // 2:
                facts = [fact for fact in told(call, answer, team_id) if fact.id in needed]
                await self._memory.found(team, facts)

    # When not to ask

    @property
    def is_resting(self) -> bool:
        """Whether Penpot is not asked at all for now."""
        return self._is_resting(_ALL)

    def _is_resting(self, method: str) -> bool:
        now = time.monotonic()
        return self._rests.get(method, 0.0) > now or self._rests.get(_ALL, 0.0) > now

    def _rest(self, method: str, error: PenpotError) -> None:
        """No calls for a while; the log tells the first time."""
        now = time.monotonic()
        if isinstance(error, PenpotBusy):
            seconds = error.after or BUSY_REST
        else:
            seconds = REFUSED_REST if isinstance(error, PenpotRefused) else ODD_REST
        first = method not in self._rests
        worse = isinstance(error, PenpotRefused) and not self._is_refused
        self._rests[method] = max(now + seconds, self._rests.get(method, 0.0))
        if method == _ALL:
            self._failing_since = now
            self._tell(str(error))
        if isinstance(error, PenpotRefused):
            self._is_refused = True
            if worse:
                log.error(
                    "Penpot refuses to be asked: %s. Make an access token in Penpot (Your account, "
                    "Access tokens), set penpot.access_token and start Relay again; `relay doctor` "
                    "tells whether it is good. Until then messages have the names that are known.",
                    error,
                )
        elif first:
            log.warning("messages go out with the names that are known: %s", error)

    def _works(self, started: float) -> None:
        """An answer came to a call that began at that time."""
        self._last_answer = time.monotonic()
        if self._failing_since is not None and started > self._failing_since:
            self._failing_since = None
            self._is_refused = False
            self._rests.pop(_ALL, None)
            log.info("Penpot answers again: names are asked for")
        self._tell("")

    def _tell(self, state: str) -> None:
        """Note in the store why Penpot is not asked, or that it is."""
        if state != self._told:
            self._told = state
            if self._telling is not None:
                self._telling.cancel()
            self._telling = asyncio.create_task(self._note(state))

    async def _note(self, state: str) -> None:
        try:
            await self._store.keep_note(STATE, state)
        except StoreUnavailable as error:
            log.warning("the store can't be told of Penpot's state: %s", error)


def _asked_key(team: str, call: LookupCall) -> str:
    return "/".join(("asked", call.method, team, *call.ids))


def _with_moment(
    event: Event, seen: Event, answers: Mapping[LookupCall, Any], at: datetime
) -> Event:
    """The event with what is true of this moment and not for keeping."""
    for answer in answers.values():
        if isinstance(answer, ThreadRecord) and event.thread.resolved is None:
            event = replace(event, thread=replace(event.thread, resolved=answer.resolved))
    call = made(seen)
    if call is None or not answers.get(call):
        return event
    if call.method == PROJECTS:
        found = nearest(answers[call], seen.project.name, at)
        return replace(event, project=replace(event.project, id=found)) if found else event
    found = nearest(answers[call], seen.file.name, at)
    return replace(event, file=replace(event.file, id=found)) if found else event
