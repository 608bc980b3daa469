"""Lookups: asks Penpot's API for the names that an event needs, before the event is rendered.

No lookup may cost a message: an event waits at most ``LOOKUP_TIMEOUT`` for it, and no event waits
while Penpot does not answer or refuses.
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

from relay.delivery.facts import FactCache
from relay.metrics import Metrics
from relay.penpot.client import (
    ALL,
    CallPolicy,
    CircuitBreaker,
    PenpotBusy,
    PenpotError,
    PenpotRefused,
    SharedTasks,
)
from relay.penpot.events import Event
from relay.penpot.facts import (
    FILES,
    LIBRARIES,
    MEMBERS,
    PROJECT,
    PROJECTS,
    TEMPLATES,
    THREAD,
    LookupCall,
    closest_created,
    created_object_call,
    facts_from_answer,
    lookup_plan,
    recently_modified,
)
from relay.store.base import Store
from relay.store.records import StoreUnavailable

if TYPE_CHECKING:  # httpx is only loaded where there is a token
    from relay.penpot.api import PenpotClient

log = logging.getLogger(__name__)

LOOKUP_TIMEOUT = 2.0  # seconds that an event waits for all its lookups
REPEAT_INTERVAL = 300.0  # seconds in which a call is not repeated, whatever its answer was
NAMES_TTL = 24 * 3600.0
"""Seconds after which a team's people and projects are looked up again: no event reports that a
person was renamed, and an event of a project may have been missed."""
_DAILY = (MEMBERS, PROJECTS)
PENPOT_STATE_KEY = "penpot"
"""Key of the store's value that tells `relay doctor` whether Penpot answers."""

_MAX_ASKED = 10_000  # calls
_MAX_FACTS = 500  # facts of one answer that are kept though no event needs them yet
_MAX_ROUNDS = 6  # such as: the library → the team's projects → their files → the people


class Lookups:
    """Asks Penpot for missing facts and adds them to the cache."""

    def __init__(
        self, penpot: "PenpotClient", cache: FactCache, store: Store, metrics: Metrics
    ) -> None:
        """``close`` closes ``penpot``."""
        self._breaker = CircuitBreaker(self._failed, self._answered)
        self._penpot = penpot.with_policy(CallPolicy(metrics.lookup, self._breaker))
        self._cache = cache
        self._store = store
        self._methods: Mapping[str, Callable[..., Coroutine[Any, Any, Any]]] = {
            THREAD: self._penpot.comment_thread,
            MEMBERS: self._penpot.team_members,
            PROJECT: self._penpot.project,
            PROJECTS: self._penpot.projects,
            FILES: self._penpot.project_files,
            LIBRARIES: self._penpot.file_libraries,
            TEMPLATES: self._penpot.builtin_templates,
        }
        self._tasks = SharedTasks(_log_bug)
        self._asked_at: OrderedDict[tuple[str, LookupCall], float] = OrderedDict()
        self._projects: dict[tuple[str, str], tuple[float, tuple[str, ...]]] = {}
        self._is_refused = False
        self._state: str | None = None  # as written to the store
        self._state_task: asyncio.Task[None] | None = None
        self._next_names_check: dict[tuple[str, str], float] = {}

    @property
    def is_paused(self) -> bool:
        """Whether no calls are made for now."""
        return self._breaker.is_open()

    async def close(self) -> None:
        await self._tasks.close()
        if self._state_task is not None:
            self._state_task.cancel()
            await asyncio.gather(self._state_task, return_exceptions=True)
        await self._penpot.close()

    async def fill(
        self, event: Event, team: str, team_id: str, received_at: float, asks: Callable[[], None]
    ) -> Event:
        """Add all facts that an event needs to the cache. Returns the event with what is true of
        this moment only: the id of the object that it created, whether its thread is resolved.

        ``team`` is the team's key in the config, ``team_id`` its id there, if any. ``asks`` is
        called before the first call. Raises ``StoreUnavailable``.
        """
        if self.is_paused:
            return event
        started = time.monotonic()
        at = event.at or datetime.fromtimestamp(received_at, UTC) - timedelta(minutes=1)
        answers: dict[LookupCall, Any] = {}
        done: set[LookupCall] = set()
        try:
            async with asyncio.timeout(LOOKUP_TIMEOUT):
                for _ in range(_MAX_ROUNDS):
                    enriched = await self._cache.enriched(event, team, "", team_id)
                    event = _with_current(event, enriched, answers, at)
                    calls = {
                        call
                        for call in await self._plan(enriched, team)
                        if not self._is_recent(team, call)
                    }
                    if (created := created_object_call(enriched)) is not None:
                        calls.add(created)
                    calls = {
                        call for call in calls - done if not self._breaker.is_open(call.method)
                    }
                    if not calls:
                        await self._refresh_names(enriched, team, team_id)
                        break
                    asks()
                    done |= calls
                    new_answers = await self._ask(team, team_id, calls)
                    await self._add_needed_facts(enriched, team, team_id, new_answers)
                    answers |= new_answers
        except TimeoutError:
            if self._breaker.last_answer_at < started:
                error = PenpotBusy(f"no answer within {LOOKUP_TIMEOUT:g} s")
                self._breaker.failed(ALL, error)
        return event

    async def _refresh_names(self, enriched: Event, team: str, team_id: str) -> None:
        """Look up a team's people and projects once a day, without waiting for the answer."""
        key = team, enriched.team.id
        if not enriched.team.id or time.monotonic() < self._next_names_check.get(key, 0.0):
            return
        self._next_names_check[key] = time.monotonic() + NAMES_TTL / 24
        for method in _DAILY:
            call = LookupCall(method, (enriched.team.id,))
            stored = await self._store.get_value(_asked_key(team, call))
            if stored is None:  # the known names are from today
                await self._store.put_value(_asked_key(team, call), "")
            elif time.time() - stored.at > NAMES_TTL:
                self._start(team, team_id, call)

    async def _plan(self, enriched: Event, team: str) -> set[LookupCall]:
        people = [("person", person.id) for person in enriched.comment.mentions]
        nameless = bool(enriched.actor.id and not enriched.actor.name)
        nameless = nameless or not await self._cache.has_names(team, people)
        at, projects = self._projects.get((team, enriched.team.id), (0.0, None))
        is_known = projects is not None and time.monotonic() - at < REPEAT_INTERVAL
        return lookup_plan(enriched, nameless, projects if is_known else None)

    def _is_recent(self, team: str, call: LookupCall) -> bool:
        asked_at = self._asked_at.get((team, call))
        return asked_at is not None and time.monotonic() - asked_at < REPEAT_INTERVAL

    async def _ask(self, team: str, team_id: str, calls: set[LookupCall]) -> dict[LookupCall, Any]:
        """The answers of concurrent calls, without those that failed; None for "not found"."""
        tasks = {call: self._start(team, team_id, call) for call in calls}
        await asyncio.wait(tasks.values())
        return {
            call: task.result()
            for call, task in tasks.items()
            if not task.cancelled() and task.exception() is None
        }

    def _start(self, team: str, team_id: str, call: LookupCall) -> asyncio.Task[Any]:
        """The task of a call, shared by all events that need it; it continues when they time
        out."""
        return self._tasks.start((team, call), partial(self._call, team, team_id, call))

    async def _call(self, team: str, team_id: str, call: LookupCall) -> Any:
        """Raises ``PenpotError``."""
        started = time.monotonic()
        answer = await self._methods[call.method](*call.ids)
        if answer is not None:
            if call.method == PROJECTS:
                self._projects[team, call.ids[0]] = time.monotonic(), recently_modified(answer)
            facts = islice(facts_from_answer(call, answer, team_id), _MAX_FACTS)
            await self._cache.add(team, list(facts), started)
            if call.method in _DAILY:
                await self._store.put_value(_asked_key(team, call), "")
        self._asked_at[team, call] = time.monotonic()
        self._asked_at.move_to_end((team, call))
        while len(self._asked_at) > _MAX_ASKED:
            self._asked_at.popitem(last=False)
        return answer

    async def _add_needed_facts(
        self, enriched: Event, team: str, team_id: str, answers: Mapping[LookupCall, Any]
    ) -> None:
        """Add what this event needs of answers with more than ``_MAX_FACTS`` facts."""
        needed = {enriched.file.id, enriched.library.id, enriched.previous.id, enriched.actor.id}
        needed |= {file.id for file in enriched.files}
        needed |= {person.id for person in enriched.comment.mentions}
        for call, answer in answers.items():
            if isinstance(answer, tuple) and len(answer) > _MAX_FACTS // 2:
                facts = facts_from_answer(call, answer, team_id)
                await self._cache.add(team, [fact for fact in facts if fact.id in needed])

    def _failed(self, method: str, error: PenpotError, is_first: bool) -> None:
        if method == ALL:
            self._set_state(str(error))
        if isinstance(error, PenpotRefused):
            if not self._is_refused:
                log.error(
                    "Penpot refuses the access token: %s. Create an access token in Penpot (Your "
                    "account, Access tokens), set penpot.access_token and restart Relay; "
                    "`relay doctor` checks the token. Until then messages have the known names.",
                    error,
                )
            self._is_refused = True
        elif is_first:
            log.warning("lookup failed, messages are sent with the known names: %s", error)

    def _answered(self, is_recovery: bool) -> None:
        if is_recovery:
            self._is_refused = False
            log.info("Penpot answers again: lookups continue")
        self._set_state("")

    def _set_state(self, state: str) -> None:
        """``state`` is why Penpot is not called; empty where it is."""
        if state != self._state:
            self._state = state
            if self._state_task is not None:
                self._state_task.cancel()
            self._state_task = asyncio.create_task(self._store_state(state))

    async def _store_state(self, state: str) -> None:
        try:
            await self._store.put_value(PENPOT_STATE_KEY, state)
        except StoreUnavailable as error:
            log.warning("the store can't write Penpot's state: %s", error)


def _log_bug(key: tuple[str, LookupCall], error: BaseException) -> None:
    if not isinstance(error, PenpotError | StoreUnavailable):
        log.error("lookup %s", key[1].method, exc_info=error)


def _asked_key(team: str, call: LookupCall) -> str:
    return "/".join(("asked", call.method, team, *call.ids))


def _with_current(
    event: Event, enriched: Event, answers: Mapping[LookupCall, Any], at: datetime
) -> Event:
    """The event with what is true of this moment and must not be cached."""
    for answer in answers.values():
        if isinstance(answer, Event) and event.thread.resolved is None:
            event = replace(event, thread=replace(event.thread, resolved=answer.thread.resolved))
    call = created_object_call(enriched)
    if call is None or not answers.get(call):
        return event
    if call.method == PROJECTS:
        id_ = closest_created(answers[call], enriched.project.name, at)
        return replace(event, project=replace(event.project, id=id_)) if id_ else event
    id_ = closest_created(answers[call], enriched.file.name, at)
    return replace(event, file=replace(event.file, id=id_)) if id_ else event
