"""Lookups: asks Penpot's API for the names that an event needs, before the event is rendered.

No lookup may cost a message: an event waits at most ``LOOKUP_TIMEOUT`` for it, and no event waits
while Penpot does not answer or refuses.
"""

import asyncio
import logging
import math
import time
from collections.abc import Callable, Coroutine, Mapping
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar
from weakref import WeakValueDictionary

from cachetools import TTLCache

from relay.delivery.backoff import STORE_RETRY_DELAY
from relay.delivery.fact_cache import FactCache
from relay.metrics import Metrics
from relay.penpot.client import (
    ALL,
    CallBudget,
    CallPolicy,
    CircuitBreaker,
    PenpotBehindLogin,
    PenpotBusy,
    PenpotError,
    PenpotPaused,
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
    created_object_call,
    facts_from_answer,
    lookup_plan,
    own_part,
    recently_modified,
    with_current,
)
from relay.store.base import Store
from relay.store.records import StoreUnavailable

if TYPE_CHECKING:  # httpx is only loaded where there is a token
    from relay.delivery.directory import TeamDirectory
    from relay.penpot.api import PenpotClient

log = logging.getLogger(__name__)

T = TypeVar("T")

LOOKUP_TIMEOUT = 2.0  # seconds that an event waits for all its lookups
MAX_SEARCH_CALLS = 60  # per minute, to read Penpot's lists of webhooks
MAX_TEAM_CALLS = 6
"""Calls at a time for one team, of the 8 that the client makes: the rest serves other teams."""
REPEAT_INTERVAL = 300.0  # seconds in which a call is not repeated, whatever its answer was
NAMES_TTL = 24 * 3600.0
"""Seconds after which a team's people and projects are looked up again: no event reports that a
person was renamed, and an event of a project may have been missed."""
_DAILY = (MEMBERS, PROJECTS)
_REFUSED_ADVICE = (
    ". Create an access token in Penpot (Your account, Access tokens), set penpot.access_token and "
    "restart Relay; `relay doctor` checks the token"
)
PENPOT_STATE_KEY = "penpot"
"""Key of the stored value from which `relay doctor` reports whether Penpot answers."""

_MAX_ASKED = 10_000  # calls
_MAX_FACTS = 500  # facts of one answer that are kept though no event needs them yet
_SEARCH = "search"  # key of the task that reads Penpot's lists of webhooks
_MAX_ROUNDS = 6  # such as: the library → the team's projects → their files → the people


class LookedUp(NamedTuple):
    event: Event
    """With what is true of this moment only: the id of the object that it created, whether its
    thread is resolved."""
    is_unanswered: bool = False
    """Whether Penpot could not answer a call: a name that is not known may be known later. Not
    where it has no such object, or refuses the token."""


class Lookups:
    """Asks Penpot for missing facts and adds them to the cache."""

    def __init__(
        self,
        penpot: "PenpotClient",
        cache: FactCache,
        store: Store,
        metrics: Metrics,
        teams: "TeamDirectory",
    ) -> None:
        """``close`` closes ``penpot``."""
        self._breaker = CircuitBreaker(self._failed, self._answered)
        self._penpot = penpot.with_policy(CallPolicy(metrics.lookup, self._breaker))
        self._teams = teams
        self._search_budget = CallBudget(MAX_SEARCH_CALLS)
        policy = CallPolicy(metrics.lookup, self._breaker, self._search_budget)
        self._searching_penpot = penpot.with_policy(policy)
        self._search_awaited_until = math.inf  # on the monotonic clock
        self._cache = cache
        self._store = store
        self._methods: Mapping[str, Callable[..., Coroutine[Any, Any, Any]]] = {
            THREAD: self._penpot.comment_thread,
            MEMBERS: self._penpot.team_members,
            PROJECT: partial(self._penpot.project, max_age=LOOKUP_TIMEOUT),
            PROJECTS: self._penpot.projects,
            FILES: self._penpot.project_files,
            LIBRARIES: self._penpot.file_libraries,
            TEMPLATES: self._penpot.builtin_templates,
        }
        self._tasks = SharedTasks(_log_bug)
        self._slots: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()
        self._asked: TTLCache[tuple[str, LookupCall], bool] = TTLCache(_MAX_ASKED, REPEAT_INTERVAL)
        # The ids of the projects that changed last, by team.
        self._projects: TTLCache[tuple[str, str], Any] = TTLCache(_MAX_ASKED, REPEAT_INTERVAL)
        self._names_checked: TTLCache[str, bool] = TTLCache(_MAX_ASKED, NAMES_TTL / 24)
        self._is_refused = False
        self._is_denied = False  # whether all calls pause because of that
        self._state = self._stored_state = "unknown"

    @property
    def is_paused(self) -> bool:
        """Whether no calls are made for now."""
        return self._breaker.is_open()

    async def close(self) -> None:
        await self._tasks.close()
        await self._penpot.close()

    async def team_id(self, team: str) -> str:
        """The verified id of a team in Penpot; empty if there is none: nothing may be read then.

        Raises ``StoreUnavailable``."""
        return await self._teams.verified(team)

    async def find_team(self, team: str, asks: Callable[[], None]) -> str:
        """As ``team_id``. Where none is verified, Penpot's lists of webhooks are read in the
        background. In the first ``LOOKUP_TIMEOUT`` of that an event waits for the result."""
        id_ = await self._teams.verified(team)
        if self.is_paused or not await self._teams.is_read_due(team):
            return id_
        task = self._tasks.start(_SEARCH, self._search)
        now = time.monotonic()
        self._search_awaited_until = min(self._search_awaited_until, now + LOOKUP_TIMEOUT)
        if not id_ and now < self._search_awaited_until:
            asks()
            await asyncio.wait({task}, timeout=self._search_awaited_until - now)
            id_ = await self._teams.verified(team)
        return id_

    async def is_search_unanswered(self, team: str) -> bool:
        """Whether Penpot could not answer which team the hook of this one belongs to."""
        return not self._is_denied and await self._teams.is_read_due(team)

    async def _search(self) -> None:
        is_done = False
        while not is_done:
            await asyncio.sleep(self._search_budget.wait())
            is_done = await self._teams.read(self._searching_penpot)

    async def fill(
        self,
        event: Event,
        team: str,
        team_id: str,
        received_at: float,
        asks: Callable[[], None],
        *,
        needs_member: bool = False,
        involved: bool = False,
    ) -> LookedUp:
        """Add all facts that an event needs to the cache.

        ``team`` is the team's key in the config, ``team_id`` its verified id in Penpot. If the
        event names a file or project of another team, no other call is made for it. ``asks`` is
        called before the first call. With ``needs_member`` a comment's author is looked up in the
        team's list of members although the event names them; ``involved``: also the names of the
        thread's participants. Raises ``StoreUnavailable``.
        """
        started = time.monotonic()
        at = event.at or datetime.fromtimestamp(received_at, UTC) - timedelta(minutes=1)
        answers: dict[LookupCall, Any] = {}
        done: set[LookupCall] = set()
        is_unanswered = False
        try:
            async with asyncio.timeout(LOOKUP_TIMEOUT):
                for _ in range(_MAX_ROUNDS):
                    enriched = await self._cache.enriched(event, team, "", team_id)
                    event = with_current(event, enriched, answers, at)
                    plan = await self._plan(enriched, team, needs_member, involved) - done
                    calls = {call for call in plan if not self._breaker.is_open(call.method)}
                    is_unanswered |= calls != plan and not self._is_denied
                    if not calls:
                        await self._refresh_names(team, team_id)
                        break
                    asks()
                    done |= calls
                    # Continues after the timeout: a later event may need the answers.
                    ask = partial(self._ask, team, team_id, calls)
                    asking = self._tasks.start((team, frozenset(calls)), ask)
                    new_answers, has_failed = await asyncio.shield(asking)
                    is_unanswered |= has_failed
                    if not new_answers:
                        break
                    await self._add_needed_facts(enriched, team, new_answers)
                    answers |= new_answers
        except TimeoutError:
            is_unanswered = True
            if self._breaker.last_answer_at < started:
                self._breaker.failed(ALL, PenpotBusy(f"no answer within {LOOKUP_TIMEOUT:g} s"))
        return LookedUp(event, is_unanswered)

    async def _refresh_names(self, team: str, team_id: str) -> None:
        """Look up a team's people and projects once a day, without waiting for the answer."""
        if self.is_paused or team in self._names_checked:
            return
        self._names_checked[team] = True
        for method in _DAILY:
            call = LookupCall(method, (team_id,))
            stored = await self._store.get_value(_asked_key(team, call))
            if stored is None:  # the known names are from today
                await self._store.put_value(_asked_key(team, call), "")
            elif time.time() - stored.at > NAMES_TTL:
                self._start(team, team_id, call)

    async def _plan(
        self, enriched: Event, team: str, needs_member: bool, involved: bool
    ) -> set[LookupCall]:
        persons = enriched.comment.mentions + (enriched.participants if involved else ())
        people = [("person", person.id) for person in persons]
        nameless = bool(enriched.actor.id and not enriched.actor.name)
        nameless |= needs_member and bool(enriched.comment.author.id and not enriched.member)
        nameless = nameless or not await self._cache.has_names(team, people)
        projects = self._projects.get((team, enriched.team.id))
        plan = lookup_plan(enriched, nameless, projects)
        calls = {call for call in plan if (team, call) not in self._asked}
        if (created := created_object_call(enriched)) is not None:
            calls.add(created)
        return calls

    async def _is_own(self, team: str, team_id: str, call: LookupCall) -> bool:
        if call.method not in (THREAD, LIBRARIES, PROJECT, FILES):
            return call.ids in ((), (team_id,))
        is_file = call.method in (THREAD, LIBRARIES)
        owner_of = self._penpot.team_of_file if is_file else self._penpot.team_of_project
        async with self._slot(team):
            return await owner_of(call.ids[0], team_id) == team_id

    def _slot(self, team: str) -> asyncio.Semaphore:
        return self._slots.setdefault(team, asyncio.Semaphore(MAX_TEAM_CALLS))

    async def _ask(
        self, team: str, team_id: str, calls: set[LookupCall]
    ) -> tuple[dict[LookupCall, Any], bool]:
        """The answers of concurrent calls, without those that failed, and whether Penpot could not
        answer one; None for "not found". Empty if one is about an object that the team does not
        have: only its team was asked for then."""
        owners = {call: self._is_own(team, team_id, call) for call in calls}
        verified, failures = await _results(owners)
        if not all(verified.values()):
            return {}, False
        started = {call: self._start(team, team_id, call) for call in verified}
        answers, more = await _results(started)
        return answers, any(map(self._is_unanswered, (*failures, *more)))

    def _is_unanswered(self, error: BaseException) -> bool:
        if isinstance(error, PenpotPaused):
            return not self._is_denied
        return not isinstance(error, PenpotRefused)

    def _start(self, team: str, team_id: str, call: LookupCall) -> asyncio.Task[Any]:
        """The task of a call, shared by all events that need it."""
        return self._tasks.start((team, call), partial(self._call, team, team_id, call))

    async def _call(self, team: str, team_id: str, call: LookupCall) -> Any:
        """Raises ``PenpotError``."""
        started = time.monotonic()
        async with self._slot(team):
            answer = own_part(call, await self._methods[call.method](*call.ids), team_id)
        if answer is not None:
            if call.method == PROJECTS:
                self._projects[team, call.ids[0]] = recently_modified(answer)
            facts = islice(facts_from_answer(answer), _MAX_FACTS)
            await self._cache.add(team, list(facts), started)
            if call.method in _DAILY:
                await self._store.put_value(_asked_key(team, call), "")
        self._asked[team, call] = True
        return answer

    async def _add_needed_facts(
        self, enriched: Event, team: str, answers: Mapping[LookupCall, Any]
    ) -> None:
        """Add what this event needs of answers with more than ``_MAX_FACTS`` facts."""
        needed = {enriched.file.id, enriched.library.id, enriched.previous.id, enriched.actor.id}
        needed |= {file.id for file in enriched.files}
        needed |= {person.id for person in (enriched.comment.author, *enriched.comment.mentions)}
        for answer in answers.values():
            if isinstance(answer, tuple) and len(answer) > _MAX_FACTS // 2:
                facts = facts_from_answer(answer)
                await self._cache.add(team, [fact for fact in facts if fact.id in needed])

    def _failed(self, method: str, error: PenpotError, is_first: bool) -> None:
        if method == ALL:
            self._is_denied = isinstance(error, PenpotRefused)
            self._set_state(str(error))
        if isinstance(error, PenpotRefused):
            is_token = not isinstance(error, PenpotBehindLogin)
            text = (
                f"Penpot refuses the access token: {error}{_REFUSED_ADVICE}" if is_token else error
            )
            if not self._is_refused:
                log.error("%s. Until then messages have the known names.", text)
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
            self._tasks.start(PENPOT_STATE_KEY, self._store_state)

    async def _store_state(self) -> None:
        while self._stored_state != (state := self._state):
            try:
                await self._store.put_value(PENPOT_STATE_KEY, state)
            except StoreUnavailable as error:
                log.warning("the store can't write Penpot's state: %s", error)
                await asyncio.sleep(STORE_RETRY_DELAY)
            else:
                self._stored_state = state


async def _results(
    pending: Mapping[LookupCall, Coroutine[Any, Any, T] | asyncio.Task[T]],
) -> tuple[dict[LookupCall, T], list[BaseException]]:
    """The results, and the errors of the calls that failed."""
    results: dict[LookupCall, T] = {}
    failures: list[BaseException] = []
    outcomes = await asyncio.gather(*pending.values(), return_exceptions=True)
    for call, outcome in zip(pending, outcomes, strict=True):
        if not isinstance(outcome, BaseException):
            results[call] = outcome
        elif isinstance(outcome, PenpotError | StoreUnavailable | asyncio.CancelledError):
            failures.append(outcome)
        else:
            raise outcome
    return results, failures


def _log_bug(key: object, error: BaseException) -> None:
    if not isinstance(error, PenpotError | StoreUnavailable):
        log.error("lookup %s", key, exc_info=error)


def _asked_key(team: str, call: LookupCall) -> str:
    return "/".join(("asked", call.method, team, *call.ids))
